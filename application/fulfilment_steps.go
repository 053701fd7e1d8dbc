package application

import (
	"context"
	"errors"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// Refusals that only the process' own decisions give.
var (
	errGone     = domain.Refuse("reservation_gone", "The reservation is no longer what the order needs.")
	errMovedOn  = domain.Refuse("order_moved_on", "The order has moved on.")
	errNoChange = domain.Refuse("nothing_to_do", "There is nothing to do.")
)

// sendStep sends a step's command and says what came of it. An error means that nobody knows yet: the
// step stays open and is sent again, by this worker or another one.
func (r *run) sendStep(ctx context.Context, step fulfilment.Step) (fulfilment.Outcome, error) {
	command := r.command(string(step.Name), step.SKU, step.IntentID)
	var err error
	switch step.Name {
	case fulfilment.StepReserve:
		_, err = r.service.HoldStock(ctx, command, step.SKU, r.orderID, r.process.Quantity(step.SKU))
		return settle(err, fulfilment.NotPossible)
	case fulfilment.StepPay:
		return settle(r.pay(ctx, command), fulfilment.NotPossible)
	case fulfilment.StepPrepare:
		return settle(r.prepare(ctx, command), fulfilment.Unsettled)
	case fulfilment.StepShip:
		return settle(r.moveOut(ctx, command, step.SKU), fulfilment.Stuck)
	case fulfilment.StepRelease:
		_, err = r.service.ReleaseStock(ctx, command, step.SKU, r.orderID)
		return settle(err, fulfilment.NothingTo)
	case fulfilment.StepCredit:
		return settle(r.credit(ctx, command), fulfilment.Stuck)
	case fulfilment.StepCancel:
		return settle(r.cancel(ctx, command), fulfilment.Stuck)
	case fulfilment.StepCheck:
		return fulfilment.Outcome{Result: fulfilment.CarriedOut}, r.check(ctx) // whatever fails, it is looked at again
	default:
		// A step of a newer release: that release's workers take it.
		return fulfilment.Outcome{Result: fulfilment.Stuck, Code: "unknown_step"}, nil
	}
}

// settle sorts what a command said. A refusal is a decision and means what the step says it means; what
// may pass by itself is given back as an error; what won't waits for a repair.
func settle(err error, refused fulfilment.Result) (fulfilment.Outcome, error) {
	switch {
	case err == nil:
		return fulfilment.Outcome{Result: fulfilment.CarriedOut}, nil
	case errors.Is(err, errNoChange):
		return fulfilment.Outcome{Result: fulfilment.NothingTo}, nil
	case errors.Is(err, errMovedOn):
		return fulfilment.Outcome{Result: fulfilment.Unsettled}, nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fulfilment.Outcome{}, err
	}
	switch domain.KindOf(err) {
	case domain.KindRefused, domain.KindNotFound, domain.KindInvalid, domain.KindForbidden:
		return fulfilment.Outcome{Result: refused, Code: domain.CodeOf(err)}, nil
	case domain.KindUndecodable, domain.KindInternal:
		return fulfilment.Outcome{Result: fulfilment.Stuck, Code: domain.CodeOf(err)}, nil
	default:
		return fulfilment.Outcome{}, err
	}
}

// pay takes the total from the order's account, if that is the customer's own. Another's does not exist here
// either: customers read what declined their payment.
func (r *run) pay(ctx context.Context, command Command) error {
	p := r.process
	_, err := Execute(ctx, r.service.Executor, command, Task[account.Account]{
		Aggregate: Accounts, ID: named(p.AccountID),
		Decide: decide(func(a account.Account) ([]domain.Event, error) {
			if a.CustomerID != p.CustomerID {
				return nil, domain.NotFound(Accounts.Noun, p.AccountID)
			}
			return a.Withdraw(account.Withdrawn{Amount: p.Total, Currency: p.Currency, OrderID: r.orderID})
		}),
	})
	return err
}

// named is an id that a task may be given: an empty one would make a new aggregate.
func named(id string) string {
	if id == "" {
		return "-"
	}
	return id
}

// credit gives the payment back, if there was one. It looks at the payment first, for an account that
// declined because it is closed has nothing to be given back.
func (r *run) credit(ctx context.Context, command Command) error {
	p := r.process
	_, err := Execute(ctx, r.service.Executor, command, Task[account.Account]{
		Aggregate: Accounts, ID: named(p.AccountID),
		Decide: decide(func(a account.Account) ([]domain.Event, error) {
			paid, ok := a.Payment(r.orderID)
			if !ok || paid.Credited {
				return nil, errNoChange
			}
			return a.Credit(account.Credited{Amount: paid.Amount, Currency: a.Currency, OrderID: r.orderID, Reason: creditReason(p.Reason)})
		}),
	})
	if domain.KindOf(err) == domain.KindNotFound {
		return errNoChange
	}
	return err
}

// creditReason fits an order's reason, which may be longer, into that of a credit.
func creditReason(reason string) string {
	if text := []rune(reason); len(text) > account.MaxReason {
		return string(text[:account.MaxReason])
	}
	return reason
}

// prepare moves the order on, unless it was cancelled meanwhile.
func (r *run) prepare(ctx context.Context, command Command) error {
	return r.onOrder(ctx, command, func(o order.Order) ([]domain.Event, error) {
		if o.Status != order.StatusConfirmed {
			return nil, errMovedOn
		}
		return o.Prepare()
	})
}

// cancel ends the order. Where the process is still on its way to prepared, an order that turns out to
// be prepared stays so.
func (r *run) cancel(ctx context.Context, command Command) error {
	p := r.process
	return r.onOrder(ctx, command, func(o order.Order) ([]domain.Event, error) {
		switch {
		case o.Status == order.StatusCancelled:
			return nil, errNoChange
		case p.Status == fulfilment.StatusRunning && o.Status != order.StatusConfirmed:
			return nil, errMovedOn
		}
		return o.Cancel(cancelReason(p.Reason))
	})
}

// cancelReason fits an operator's reason, which may be longer, into that of an order.
func cancelReason(reason string) string {
	if text := []rune(reason); len(text) > order.MaxReason {
		return string(text[:order.MaxReason])
	}
	return reason
}

func (r *run) onOrder(ctx context.Context, command Command, decision func(order.Order) ([]domain.Event, error)) error {
	_, err := Execute(ctx, r.service.Executor, command, Task[order.Order]{
		Aggregate: Orders, ID: r.orderID, Decide: decide(decision),
	})
	return err
}

// moveOut books that an order's pieces of a SKU have left. Normally they are reserved for it. If somebody
// took the reservation away by hand, the pieces left all the same: the reservation is made good first,
// which waits until there are enough pieces.
func (r *run) moveOut(ctx context.Context, command Command, sku string) error {
	quantity := r.process.Quantity(sku)
	ship := func(decision func(inventory.Stock) ([]domain.Event, error)) error {
		_, err := Execute(ctx, r.service.Executor, command, Task[inventory.Stock]{
			Aggregate: Stocks, ID: sku, Decide: decide(decision),
		})
		return err
	}
	err := ship(func(s inventory.Stock) ([]domain.Event, error) {
		if s.ReservedFor(r.orderID) != quantity {
			return nil, errGone
		}
		return s.Ship(r.orderID)
	})
	if !errors.Is(err, errGone) {
		return err
	}
	// The stream remembers only its newest commands without being read back, so make sure.
	if found, err := r.shippedBefore(ctx, sku); err != nil || found {
		return err
	}
	return ship(func(s inventory.Stock) ([]domain.Event, error) {
		held, err := s.Hold(r.orderID, quantity)
		if err != nil {
			return nil, err
		}
		return append(held, inventory.Shipped{OrderID: r.orderID, Quantity: quantity}), nil
	})
}

// shippedBefore reads a SKU's whole stream for the order's shipment.
func (r *run) shippedBefore(ctx context.Context, sku string) (found bool, err error) {
	err = r.service.read(ctx, domain.Stream(Stocks.Category, sku), 0, func(e domain.Recorded) error {
		if shipped, ok := e.Event.(inventory.Shipped); ok && shipped.OrderID == r.orderID {
			found = true
			return errPast
		}
		return nil
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	return found, err
}
