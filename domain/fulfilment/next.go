package fulfilment

import (
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// The reasons for which the process itself cancels an order.
const (
	ReasonOutOfStock      = "out_of_stock"
	ReasonPaymentDeclined = "payment_declined"
	ReasonExpired         = "expired"
)

// Order is what the process needs to know of its order. The statuses are the order's own words.
type Order struct {
	Status       string // empty: there is no such order
	CustomerID   string
	AccountID    string
	Currency     string
	Total        int64 // minor units
	Lines        []Line
	CancelReason string
	CreatedAt    time.Time
	ConfirmedAt  *time.Time
	UpdatedAt    time.Time
}

const (
	orderCreated   = "created"
	orderConfirmed = "confirmed"
	orderPrepared  = "prepared"
	orderShipped   = "shipped"
	orderCancelled = "cancelled"
)

// Limits are the deadlines of the process. All are above 0.
type Limits struct {
	OpenFor       time.Duration // an order left in created for longer expires
	PrepareWithin time.Duration // an order not prepared this long after its confirmation expires
	Nudge         time.Duration // after this long without progress somebody looks again; no command may be under way for longer
}

// Advance gives the events that bring the process up to date with its order, and the step whose command
// is to be sent once they are on record; nil means that there is nothing to send now. An intent is
// among the events, so a crash behind it leaves the step to be found again.
func (p Process) Advance(o Order, now time.Time, limits Limits) (events []domain.Event, send *Step) {
	for {
		event, step := p.next(o, now, limits)
		if event == nil {
			return events, step
		}
		events = append(events, event)
		p = p.Apply(domain.Recorded{Event: event, Meta: domain.Meta{At: now}})
		if intended, ok := event.(StepIntended); ok {
			step, _ := p.Step(intended.Step, intended.SKU)
			return events, &step
		}
	}
}

// next is one event, or a step to send, or neither.
func (p Process) next(o Order, now time.Time, limits Limits) (domain.Event, *Step) {
	switch p.Status {
	case "":
		return start(o, limits), nil
	case StatusRunning:
		return p.forward(o, now)
	case StatusPrepared:
		return p.shipping(o, now)
	case StatusCompensating:
		if step := p.firstReady(now, false); step != nil {
			return take(step)
		}
		if p.anyOpen() {
			return nil, nil
		}
		return Compensated{Check: slices.ContainsFunc(p.Steps, Step.undoable)}, nil
	case StatusCompensated:
		if p.Unchecked && !now.Before(p.EndedAt.Add(limits.Nudge)) {
			return nil, &Step{Name: StepCheck, Status: Running}
		}
		return nil, nil
	default:
		return nil, nil
	}
}

// start begins the process of a confirmed order, also of one that was cancelled since: every confirmed
// order has a process, and every process an end.
func start(o Order, limits Limits) domain.Event {
	if o.ConfirmedAt == nil || o.Status != orderConfirmed && o.Status != orderCancelled {
		return nil
	}
	started := Started{
		CustomerID: o.CustomerID, AccountID: o.AccountID, Currency: o.Currency, Total: o.Total,
		Lines: []Line{}, PrepareBy: o.ConfirmedAt.Add(limits.PrepareWithin),
	}
	for _, line := range o.Lines {
		if line.Quantity > 0 {
			started.Lines = append(started.Lines, line)
			started.Steps = append(started.Steps, Planned{Step: StepReserve, SKU: line.SKU})
		}
	}
	if o.Total > 0 {
		started.Steps = append(started.Steps, Planned{Step: StepPay})
	}
	started.Steps = append(started.Steps, Planned{Step: StepPrepare})
	return started
}

// forward leads from confirmed to prepared, or out of it. The order's own stream decides whether it is
// prepared or cancelled: once the command that prepares it may be under way, the order is cancelled
// before anything is undone. Before that it is cancelled last, so that a cancelled order holds nothing.
func (p Process) forward(o Order, now time.Time) (domain.Event, *Step) {
	switch o.Status {
	case orderCancelled:
		return Compensating{Reason: o.whyCancelled(), Steps: p.undo(false)}, nil
	case orderPrepared, orderShipped:
		return Prepared{}, nil
	}
	if cancel, ok := p.Step(StepCancel, ""); ok {
		if !cancel.Open() {
			return Compensating{Reason: p.Reason, Steps: p.undo(false)}, nil
		}
		return takeReady(cancel, now)
	}
	if reason := p.giveUp(now); reason != "" {
		if prepare, _ := p.Step(StepPrepare, ""); prepare.Attempts > 0 {
			return GivingUp{Reason: reason, Steps: []Planned{{Step: StepCancel}}}, nil
		}
		return Compensating{Reason: reason, Steps: p.undo(true)}, nil
	}
	return take(p.firstReady(now, true))
}

// shipping waits for what becomes of a prepared order, then moves its goods out.
func (p Process) shipping(o Order, now time.Time) (domain.Event, *Step) {
	switch o.Status {
	case orderCancelled:
		return Compensating{Reason: o.whyCancelled(), Steps: p.undo(false)}, nil
	case orderShipped:
	default:
		return nil, nil
	}
	if plan := p.moveOut(); len(plan) > 0 {
		return Shipping{Steps: plan}, nil
	}
	if step := p.firstReady(now, false); step != nil {
		return take(step)
	}
	if p.anyOpen() {
		return nil, nil
	}
	return Completed{}, nil
}

// moveOut plans the shipping steps that aren't there yet.
func (p Process) moveOut() []Planned {
	var plan []Planned
	for _, line := range p.Lines {
		if p.index(StepShip, line.SKU) < 0 {
			plan = append(plan, Planned{Step: StepShip, SKU: line.SKU})
		}
	}
	return plan
}

// giveUp is the reason for which the order can't be prepared any more; empty if it can.
func (p Process) giveUp(now time.Time) string {
	for _, s := range p.Steps {
		switch {
		case s.Status == Refused && s.Name == StepReserve:
			return ReasonOutOfStock
		case s.Status == Refused:
			return ReasonPaymentDeclined
		case s.Status == ByHand:
			return s.Reason
		}
	}
	if !now.Before(p.PrepareBy) {
		return ReasonExpired
	}
	return ""
}

// undo plans the compensation: the reverse of every step that was ever intended, the latest first. That
// includes steps without a known outcome and refused ones, for a second worker may have succeeded where
// the first was refused; undoing what was never done does nothing.
func (p Process) undo(cancel bool) []Planned {
	plan := []Planned{}
	for _, s := range slices.Backward(p.Steps) {
		if !s.undoable() {
			continue
		}
		plan = append(plan, Planned{Step: reverse(s.Name), SKU: s.SKU})
	}
	if cancel {
		plan = append(plan, Planned{Step: StepCancel})
	}
	return plan
}

// undoable tells whether the step's command may ever have been sent, and has a reverse.
func (s Step) undoable() bool {
	return s.Attempts > 0 && (s.Name == StepReserve || s.Name == StepPay)
}

// reverse is the step that undoes a reservation or a payment.
func reverse(name StepName) StepName {
	if name == StepPay {
		return StepCredit
	}
	return StepRelease
}

// maxAttempts bounds how many attempts of a step are put on record; it is tried beyond that, too.
const maxAttempts = 10

// take is the intent of a step, or the step itself where no further intent is to be recorded.
func take(step *Step) (domain.Event, *Step) {
	if step == nil {
		return nil, nil
	}
	if step.Attempts >= maxAttempts && step.Status == Running {
		return nil, step
	}
	return StepIntended{Step: step.Name, SKU: step.SKU, Attempt: step.Attempts + 1}, nil
}

func takeReady(step Step, now time.Time) (domain.Event, *Step) {
	if !ready(step, now) {
		return nil, nil
	}
	return take(&step)
}

// firstReady is the first open step that doesn't wait for its next try. Where steps build on each other
// an open one that waits holds up those behind it.
func (p Process) firstReady(now time.Time, inOrder bool) *Step {
	for _, s := range p.Steps {
		if ready(s, now) {
			return &s
		}
		if inOrder && s.Open() {
			return nil
		}
	}
	return nil
}

func ready(s Step, now time.Time) bool {
	return s.Open() && (s.RetryAt == nil || !now.Before(*s.RetryAt))
}

func (p Process) anyOpen() bool {
	return slices.ContainsFunc(p.Steps, Step.Open)
}

func (o Order) whyCancelled() string {
	if o.CancelReason == "" {
		return orderCancelled // the first version of the event gave no reason
	}
	return o.CancelReason
}

// Expired tells whether an order was left unconfirmed for too long.
func (o Order) Expired(now time.Time, limits Limits) bool {
	return o.Status == orderCreated && !now.Before(o.CreatedAt.Add(limits.OpenFor))
}

// Underway tells since when an order and its process have been about to move on by themselves. ok is
// false while nothing but an outside event can move them. The answer depends on stored facts alone, so it can
// be kept in an index.
func Underway(o Order, p Process) (since time.Time, ok bool) {
	switch {
	case p.Unchecked && p.EndedAt != nil:
		return *p.EndedAt, true
	case o.ConfirmedAt == nil || p.Ended():
		return time.Time{}, false
	case p.Status == "" && o.Status != orderConfirmed && o.Status != orderCancelled:
		return time.Time{}, false
	case p.Status == StatusPrepared && o.Status == orderPrepared:
		return time.Time{}, false
	case o.UpdatedAt.After(p.UpdatedAt):
		return o.UpdatedAt, true
	default:
		return p.UpdatedAt, true
	}
}

// Attention is when somebody has to look at an order although nothing reports anything: at a deadline,
// when a failed step is due again, or when what should move has stood still, because a delivery was lost
// or a worker died. ok is false if only an outside event can change anything.
func Attention(o Order, p Process, limits Limits) (at time.Time, ok bool) {
	if o.Status == orderCreated {
		return o.CreatedAt.Add(limits.OpenFor), true
	}
	since, ok := Underway(o, p)
	if !ok {
		return time.Time{}, false
	}
	at = since.Add(limits.Nudge)
	for _, s := range p.Steps {
		if s.Status == Failed && s.RetryAt != nil && s.RetryAt.After(at) {
			at = *s.RetryAt
		}
	}
	if p.Status == StatusRunning && p.PrepareBy.Before(at) && p.PrepareBy.After(p.UpdatedAt) {
		at = p.PrepareBy
	}
	return at, true
}
