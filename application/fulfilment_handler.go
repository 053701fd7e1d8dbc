package application

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// Handle is the Handler of FulfilmentGroup. Orders are advanced side by side, the deliveries about one
// order one after the other. Most deliveries tell nothing new: what the process recorded itself is no
// reason to look again, for whoever recorded it carries on, and if it died its own delivery comes back.
func (f *Fulfilment) Handle(ctx context.Context, batch []domain.Delivery) []error {
	outcomes := make([]error, len(batch))
	orders := map[string][]int{}
	for i, d := range batch {
		if id := f.concerned(d); id != "" {
			orders[id] = append(orders[id], i)
		}
	}
	var running sync.WaitGroup
	slots := make(chan struct{}, f.options.Parallel)
	for id, indexes := range orders {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := recovered(func() error { f.handleOrder(ctx, id, batch, indexes, outcomes); return nil }); err != nil {
				for _, i := range indexes {
					outcomes[i] = err
				}
			}
		})
	}
	running.Wait()
	return outcomes
}

// recovered makes an error of a panic: one order that trips a defect of ours must not end all the others.
func recovered(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			failure := defect("A defect was met.")
			failure.Err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			err = failure
		}
	}()
	return do()
}

// handleOrder settles the deliveries about one order. They tell no more than that it is to be looked at,
// so one look answers all of them.
func (f *Fulfilment) handleOrder(ctx context.Context, orderID string, batch []domain.Delivery, indexes []int, outcomes []error) {
	var looked bool
	var err error
	for _, i := range indexes {
		d := batch[i]
		switch domain.Category(d.Stream) {
		case Stocks.Category, Accounts.Category:
			outcomes[i] = f.undoLate(ctx, orderID, d)
		default:
			if !looked {
				looked = true
				err = f.advance(ctx, orderID, cause{eventID: d.ID, traceParent: d.Meta.TraceParent})
			}
			outcomes[i] = err
		}
	}
}

// concerned is the order that a delivery is a reason to look at; empty if there is none.
func (f *Fulfilment) concerned(d domain.Delivery) string {
	own := d.Err == nil && d.Meta.Actor == FulfilmentActor
	switch domain.Category(d.Stream) {
	case Orders.Category:
		switch d.Event.(type) {
		case order.Created:
			f.options.Wake(d.Meta.At.Add(f.options.Limits.OpenFor))
			return ""
		case order.ItemAdded, order.ItemRemoved:
			return ""
		}
		if own {
			return ""
		}
		return domain.StreamID(d.Stream)
	case Fulfilments.Category:
		if own {
			return ""
		}
		return domain.StreamID(d.Stream)
	case Stocks.Category:
		if e, ok := d.Event.(inventory.Reserved); ok && own {
			return e.OrderID
		}
	case Accounts.Category:
		if e, ok := d.Event.(account.Withdrawn); ok && own {
			return e.OrderID
		}
	}
	return ""
}

// undoLate undoes a reservation or a payment that a worker made after the process had turned away from
// it. No append can prevent that, for the process and the stock are different streams; but the event
// that does the harm is delivered like any other, and its delivery heals it.
func (f *Fulfilment) undoLate(ctx context.Context, orderID string, d domain.Delivery) error {
	ctx, cancel := context.WithTimeout(ctx, f.options.Within)
	defer cancel()
	process, err := Load(ctx, f.service.Executor, Fulfilments, orderID)
	if err != nil {
		return err
	}
	command := Command{
		ID: fulfilment.CommandID(orderID, "late", d.ID), Operation: "fulfilment.late", Actor: FulfilmentActor,
		CorrelationID: d.Meta.CorrelationID, CausationID: d.ID, TraceParent: d.Meta.TraceParent,
	}
	r := &run{Fulfilment: f, orderID: orderID, process: process.State}
	id := domain.StreamID(d.Stream)
	switch d.Event.(type) {
	case inventory.Reserved:
		if !process.State.Unwanted(fulfilment.StepReserve, id) {
			return nil
		}
		err = r.releaseLate(ctx, command, id, d.Revision)
	case account.Withdrawn:
		if !process.State.Unwanted(fulfilment.StepPay, "") || id != process.State.AccountID {
			return nil
		}
		err = r.credit(ctx, command)
	}
	if errors.Is(err, errNoChange) {
		return nil
	}
	f.options.Late(orderID, d.Stream, err)
	return err
}

// releaseLate releases the reservation that a delivery is about, if it is still the live one.
func (r *run) releaseLate(ctx context.Context, command Command, sku string, from int64) error {
	live, err := r.holdsItself(ctx, sku, from)
	if err != nil {
		return err
	}
	if !live {
		return errNoChange
	}
	_, err = r.service.ReleaseStock(ctx, command, sku, r.orderID)
	if kind := domain.KindOf(err); err != nil && (kind == domain.KindRefused || kind == domain.KindNotFound) {
		return errNoChange
	}
	return err
}

// holdsItself tells whether a SKU's stock, read from a revision on, has a live reservation for the order
// that the process made. One that somebody made by hand is none of its business.
func (r *run) holdsItself(ctx context.Context, sku string, from int64) (own bool, err error) {
	err = r.service.read(ctx, domain.Stream(Stocks.Category, sku), from, func(e domain.Recorded) error {
		switch event := e.Event.(type) {
		case inventory.Reserved:
			if event.OrderID == r.orderID {
				own = e.Meta.Actor == FulfilmentActor
			}
		case inventory.Released:
			own = own && event.OrderID != r.orderID
		case inventory.Shipped:
			own = own && event.OrderID != r.orderID
		}
		return nil
	})
	return own, err
}

// check looks once more at everything that a compensated process may have left behind, but for what was
// settled by hand.
func (r *run) check(ctx context.Context) error {
	late := r.command("late", "", "")
	late.ID = "" // a new one each time: the decisions see for themselves whether anything is left
	for _, step := range r.process.Steps {
		if step.Attempts == 0 || !r.process.Unwanted(step.Name, step.SKU) {
			continue
		}
		var err error
		switch step.Name {
		case fulfilment.StepReserve:
			err = r.releaseLeft(ctx, late, step.SKU)
		case fulfilment.StepPay:
			err = r.credit(ctx, late)
		default:
			continue
		}
		if errors.Is(err, errNoChange) {
			continue
		}
		r.options.Late(r.orderID, string(step.Name), err)
		if err != nil {
			return err
		}
	}
	return nil
}

// releaseLeft reads a SKU's whole stream only if the order holds anything there.
func (r *run) releaseLeft(ctx context.Context, command Command, sku string) error {
	stock, err := Load(ctx, r.service.Executor, Stocks, sku)
	if err != nil {
		return err
	}
	if stock.State.ReservedFor(r.orderID) == 0 {
		return errNoChange
	}
	return r.releaseLate(ctx, command, sku, 0)
}

// RetryProcess makes the failed steps of an order's fulfilment due now, on record; the workers hear of it.
// Code: fulfilment_ended.
func (s *Service) RetryProcess(ctx context.Context, command Command, orderID string) (Result[fulfilment.Process], error) {
	return s.onProcess(ctx, command, orderID, fulfilment.Process.Retry)
}

// ResolveProcess takes the steps that hang as settled by hand, on record with a reason.
// Codes: fulfilment_ended, nothing_to_resolve.
func (s *Service) ResolveProcess(ctx context.Context, command Command, orderID, reason string) (Result[fulfilment.Process], error) {
	return s.onProcess(ctx, command, orderID, func(p fulfilment.Process) ([]domain.Event, error) {
		return p.Resolve(reason)
	})
}

func (s *Service) onProcess(ctx context.Context, command Command, orderID string, decision func(fulfilment.Process) ([]domain.Event, error)) (Result[fulfilment.Process], error) {
	if orderID == "" {
		return Result[fulfilment.Process]{}, domain.NotFound(Fulfilments.Noun, orderID)
	}
	return Execute(ctx, s.Executor, command, Task[fulfilment.Process]{
		Aggregate: Fulfilments, ID: orderID, Decide: decide(decision),
	})
}
