package fulfilment

import (
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Outcome is what came of a step's command.
type Outcome struct {
	Result Result
	Code   string // of the refusal or failure
}

// Result sorts outcomes.
type Result int

// The results.
const (
	Unsettled   Result = iota // somebody else changed the order meanwhile: look at it again
	CarriedOut                // done, now or before
	NothingTo                 // there was nothing to do, or to undo
	NotPossible               // refused: the process has to compensate
	Stuck                     // neither possible nor refusable: try again later, or by hand
)

// Settle gives the events that say what came of a step. There are none if the step is no longer open:
// then somebody else has settled it, or the process has taken another turn.
func (p Process) Settle(name StepName, sku string, outcome Outcome, now time.Time) []domain.Event {
	if name == StepCheck {
		if !p.Unchecked || outcome.Result != CarriedOut {
			return nil
		}
		return []domain.Event{Checked{}}
	}
	step, ok := p.Step(name, sku)
	if !ok || !step.Open() || outcome.Result == Unsettled {
		return nil
	}
	switch outcome.Result {
	case CarriedOut:
		return []domain.Event{p.done(name, sku)}
	case NothingTo:
		return []domain.Event{StepSkipped{Step: name, SKU: sku}}
	case NotPossible:
		switch name {
		case StepReserve:
			return []domain.Event{LineRefused{SKU: sku, Code: outcome.Code}}
		case StepPay:
			return []domain.Event{PaymentDeclined{Code: outcome.Code}}
		}
	}
	return []domain.Event{StepFailed{Step: name, SKU: sku, Code: outcome.Code, RetryAt: now.Add(retryAfter(step.Attempts))}}
}

func (p Process) done(name StepName, sku string) domain.Event {
	switch name {
	case StepReserve:
		return LineReserved{SKU: sku, Quantity: p.Quantity(sku)}
	case StepPay:
		return PaymentTaken{AccountID: p.AccountID, Amount: p.Total, Currency: p.Currency}
	case StepPrepare:
		return Prepared{}
	case StepShip:
		return LineShipped{SKU: sku, Quantity: p.Quantity(sku)}
	case StepRelease:
		return LineReleased{SKU: sku}
	case StepCredit:
		return PaymentCredited{AccountID: p.AccountID, Amount: p.Total, Currency: p.Currency}
	default:
		return OrderCancelled{Reason: p.Reason}
	}
}

// retryAfter is how long a step waits that failed at its attempt: 30 s, doubled each time, an hour at most.
func retryAfter(attempt int) time.Duration {
	const first, most = 30 * time.Second, time.Hour
	if attempt > 7 {
		return most
	}
	return min(first<<max(attempt-1, 0), most)
}

// MaxReason bounds the reason of an operator, in characters.
const MaxReason = 500

// Retry makes failed steps due now. Code: fulfilment_ended.
func (p Process) Retry() ([]domain.Event, error) {
	if err := p.underWay(); err != nil {
		return nil, err
	}
	return []domain.Event{Retried{}}, nil
}

// Resolve takes what hangs as settled by hand: every failed step, and every one whose command never
// came to an end. The process goes on from there to its end: a step towards prepared that was settled
// so makes the process undo itself. Codes: fulfilment_ended, nothing_to_resolve.
func (p Process) Resolve(reason string) ([]domain.Event, error) {
	var found domain.Findings
	found.Text("/reason", reason, true, MaxReason)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if err := p.underWay(); err != nil {
		return nil, err
	}
	var events []domain.Event
	for _, s := range p.Steps {
		if s.Status == Failed || s.Status == Running {
			events = append(events, Resolved{Step: s.Name, SKU: s.SKU, Reason: reason})
		}
	}
	if len(events) == 0 {
		return nil, domain.Refuse("nothing_to_resolve", "No step of the fulfilment hangs.")
	}
	return events, nil
}

func (p Process) underWay() error {
	switch {
	case p.Status == "":
		return domain.NotFound("fulfilment", "")
	case p.Ended():
		return domain.Refuse("fulfilment_ended", "The fulfilment is %s.", p.Status)
	default:
		return nil
	}
}

// Unwanted tells whether a reservation or a payment that the process' own command made has no place any
// more: a worker that was held up made it after the process had turned to undoing, or after the goods
// had left. While steps are open that undo it, undoing it at once does no harm: they find nothing to do.
// What somebody undid by hand is left alone, or it would be undone twice.
func (p Process) Unwanted(name StepName, sku string) bool {
	if p.Status == StatusCompensating || p.Status == StatusCompensated {
		undone, ok := p.Step(reverse(name), sku)
		return !ok || undone.Status != ByHand
	}
	shipped, ok := p.Step(StepShip, sku)
	return name == StepReserve && ok && !shipped.Open()
}

// String names the result for metrics.
func (r Result) String() string {
	return [...]string{"unsettled", "done", "nothing", "refused", "stuck"}[r]
}
