package application

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// Fulfilments says how fulfilment processes are folded; the id is the order's.
var Fulfilments = &Aggregate[fulfilment.Process]{
	Category: "fulfilment", Noun: "fulfilment of order", Fold: fulfilment.FoldVersion,
	Apply: fulfilment.Process.Apply,
	Owner: func(p fulfilment.Process) string { return p.CustomerID },
	Weigh: func(p fulfilment.Process) int { return 200 * (len(p.Steps) + 1) },
}

// FulfilmentActor is who the process' commands and events are recorded as.
const FulfilmentActor = "process:fulfilment"

// FulfilmentGroup is the consumer group that drives the process. It also takes the streams that the
// process writes to: a reservation or a payment that comes too late is itself the sign to undo it.
func FulfilmentGroup() domain.Group {
	return domain.Group{Name: "process-fulfilment", Prefixes: []string{"order-", "fulfilment-", "inventory-", "account-"}}
}

// FulfilmentOptions of a Fulfilment. Zero means the default.
type FulfilmentOptions struct {
	Limits   fulfilment.Limits // 24 h, 15 min, 30 s
	Parallel int               // how many orders of a batch are advanced at once; 16
	Within   time.Duration     // how long one order may take before its delivery is tried again; 20 s

	Wake func(at time.Time)                      // told of each order's next deadline: Timers.Wake
	Step func(step, outcome string)              // told of each step that was sent
	Late func(orderID, stream string, err error) // told of each late reservation or payment that was undone
}

// Fulfilment is the process manager that takes confirmed orders to shipped, or undoes them. Any number of
// them may run side by side: what a process does next follows from what is stored, its commands have ids
// that derive from process and step, and whoever records an outcome second finds it recorded.
type Fulfilment struct {
	service *Service
	options FulfilmentOptions
	turns   *queue // deliveries of one order wait for each other instead of doing the same work twice
}

// NewFulfilment makes the process manager. It has no goroutine of its own.
func NewFulfilment(service *Service, options FulfilmentOptions) *Fulfilment {
	options.Limits.OpenFor = cmp.Or(options.Limits.OpenFor, 24*time.Hour)
	options.Limits.PrepareWithin = cmp.Or(options.Limits.PrepareWithin, 15*time.Minute)
	options.Limits.Nudge = cmp.Or(options.Limits.Nudge, 30*time.Second)
	options.Parallel = cmp.Or(options.Parallel, 16)
	options.Within = cmp.Or(options.Within, 20*time.Second)
	if options.Wake == nil {
		options.Wake = func(time.Time) {}
	}
	if options.Step == nil {
		options.Step = func(string, string) {}
	}
	if options.Late == nil {
		options.Late = func(string, string, error) {}
	}
	return &Fulfilment{service: service, options: options, turns: newQueue(1024)}
}

// cause is what made the process look at an order; the zero value is a deadline.
type cause struct {
	eventID     string
	traceParent string
}

// Advance takes an order's process as far as it can go now, and expires an order that was left
// unconfirmed. It fails with KindUnavailable, KindUnknown or KindConflict where it should be called
// again, and with KindUndecodable where the order or the process can't be read.
func (f *Fulfilment) Advance(ctx context.Context, orderID string) error {
	return f.advance(ctx, orderID, cause{})
}

func (f *Fulfilment) advance(ctx context.Context, orderID string, because cause) error {
	ctx, cancel := context.WithTimeout(ctx, f.options.Within)
	defer cancel()
	leave, _, err := f.turns.enter(ctx, orderID)
	if err != nil {
		return err
	}
	defer leave(nil)
	return (&run{Fulfilment: f, orderID: orderID, because: because}).toTheEnd(ctx)
}

// run is one worker's way through one order's process.
type run struct {
	*Fulfilment
	orderID string
	because cause

	order   Loaded[order.Order]
	facts   fulfilment.Order
	process fulfilment.Process // as it was last seen
	meta    domain.Meta        // of its last event
	send    *fulfilment.Step   // whose command is to be sent now

	settled *fulfilment.Step   // whose command was sent,
	outcome fulfilment.Outcome // and what came of it
}

// roundsPerStep bounds a run: every round takes a step further, or finds that somebody else did.
const roundsPerStep = 4

// toTheEnd goes round: look at the order, record what came of the last step and what is intended next,
// send it. It ends where nothing is left to be recorded or sent.
func (r *run) toTheEnd(ctx context.Context) error {
	for round := 0; ; round++ {
		if round > roundsPerStep*(len(r.process.Steps)+8) {
			return &domain.Error{Kind: domain.KindConflict, Code: "revision_conflict",
				Message: "Others kept changing the order while it was being fulfilled."}
		}
		if err := r.look(ctx); err != nil || !r.order.Exists() {
			return err
		}
		if r.facts.Expired(r.now(), r.options.Limits) {
			return r.expire(ctx)
		}
		moved, err := r.record(ctx)
		if err != nil {
			return err
		}
		if r.send == nil {
			if moved {
				continue
			}
			if at, ok := fulfilment.Attention(r.facts, r.process, r.options.Limits); ok {
				r.options.Wake(at)
			}
			return nil
		}
		r.outcome, err = r.sendStep(ctx, *r.send)
		if err != nil {
			r.options.Step(string(r.send.Name), "error")
			return err
		}
		r.options.Step(string(r.send.Name), r.outcome.Result.String())
		r.settled = r.send
	}
}

func (r *run) now() time.Time { return stamp(r.service.options.Clock) }

func (r *run) look(ctx context.Context) error {
	loaded, err := Load(ctx, r.service.Executor, Orders, r.orderID)
	if err != nil {
		return err
	}
	r.order, r.facts = loaded, factsOf(loaded.State)
	return nil
}

// factsOf is what the process needs to know of an order.
func factsOf(o order.Order) fulfilment.Order {
	facts := fulfilment.Order{
		Status: string(o.Status), CustomerID: o.CustomerID, AccountID: o.AccountID, Currency: o.Currency,
		Total: o.Total, CancelReason: o.CancelReason,
		CreatedAt: o.CreatedAt, ConfirmedAt: o.ConfirmedAt, UpdatedAt: o.UpdatedAt,
	}
	for _, line := range o.Items {
		facts.Lines = append(facts.Lines, fulfilment.Line{SKU: line.SKU, Quantity: line.Quantity})
	}
	return facts
}

// errIdle is a decision that finds nothing to record.
var errIdle = domain.Refuse("idle", "There is nothing to record.")

// record appends what came of the last step and the intent of the next to the process' stream, and leaves
// in r.send what is to be sent. The decision is taken anew on whatever state the append meets.
func (r *run) record(ctx context.Context) (moved bool, err error) {
	decide := func(_ context.Context, current Loaded[fulfilment.Process]) ([]domain.Event, error) {
		now, p := r.now(), current.State
		r.process, r.meta = p, current.Meta
		var events []domain.Event
		if r.settled != nil {
			events = p.Settle(r.settled.Name, r.settled.SKU, r.outcome, now)
		}
		for _, e := range events {
			p = p.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: now}})
		}
		more, send := p.Advance(r.facts, now, r.options.Limits)
		r.send = send
		if events = append(events, more...); len(events) == 0 {
			return nil, errIdle
		}
		return events, nil
	}
	result, err := Execute(ctx, r.service.Executor, Command{
		Operation: "fulfilment.record", Actor: FulfilmentActor,
		CorrelationID: r.order.Meta.CorrelationID, CausationID: r.because.eventID, TraceParent: r.because.traceParent,
	}, Task[fulfilment.Process]{Aggregate: Fulfilments, ID: r.orderID, Creates: true, Decide: decide})
	r.settled = nil
	switch {
	case errors.Is(err, errIdle):
		return false, nil
	case err != nil:
		return false, err
	}
	r.process, r.meta = result.State, result.Meta
	if r.send != nil {
		step, _ := r.process.Step(r.send.Name, r.send.SKU)
		r.send = &step // with the id of the intent
	}
	return true, nil
}

// expire cancels an order that was left unconfirmed. The order's own stream decides against a customer
// who confirms at the same moment.
func (r *run) expire(ctx context.Context) error {
	_, err := Execute(ctx, r.service.Executor, r.command("expire", "", ""), Task[order.Order]{
		Aggregate: Orders, ID: r.orderID,
		Decide: decide(func(o order.Order) ([]domain.Event, error) {
			if !factsOf(o).Expired(r.now(), r.options.Limits) {
				return nil, errIdle
			}
			return o.Cancel(fulfilment.ReasonExpired)
		}),
	})
	if errors.Is(err, errIdle) {
		return nil
	}
	if err == nil {
		r.options.Step("expire", fulfilment.CarriedOut.String())
	}
	return err
}

// command is the envelope of a step's command. Its id derives from the process and the step alone.
func (r *run) command(step, sku, intentID string) Command {
	because := intentID
	if because == "" {
		because = r.because.eventID
	}
	correlation := r.meta.CorrelationID
	if correlation == "" {
		correlation = r.order.Meta.CorrelationID
	}
	return Command{
		ID:        fulfilment.CommandID(r.orderID, fulfilment.StepName(step), sku),
		Operation: "fulfilment." + step, Actor: FulfilmentActor,
		CorrelationID: correlation, CausationID: because, TraceParent: r.because.traceParent,
	}
}
