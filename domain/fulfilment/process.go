package fulfilment

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Process does; snapshots of another version are not used.
const FoldVersion = 1

// Status is where a process stands.
type Status string

// The statuses. Completed and compensated are the ends.
const (
	StatusRunning      Status = "running"      // reserving, taking the payment, preparing
	StatusPrepared     Status = "prepared"     // waiting for shipment, or moving the goods out after it
	StatusCompleted    Status = "completed"    // shipped, and everything is booked
	StatusCompensating Status = "compensating" // undoing
	StatusCompensated  Status = "compensated"  // undone, and the order is cancelled
)

// StepName says what a step does.
type StepName string

// The steps. Those with a SKU are taken once for each line.
const (
	StepReserve StepName = "reserve"
	StepPay     StepName = "pay"
	StepPrepare StepName = "prepare"
	StepShip    StepName = "ship"
	StepCredit  StepName = "credit"
	StepRelease StepName = "release"
	StepCancel  StepName = "cancel"
	StepCheck   StepName = "check" // after the end, without intent: it commands only what is found
)

// StepStatus is where a step stands.
type StepStatus string

// The statuses of a step. Pending, running and failed steps are open.
const (
	Pending StepStatus = "pending"
	Running StepStatus = "running"  // its intent is on record; whether its command was carried out isn't yet
	Done    StepStatus = "done"     // carried out
	Refused StepStatus = "refused"  // not possible: the process compensates
	Failed  StepStatus = "failed"   // to be tried again, or settled by hand
	Skipped StepStatus = "skipped"  // nothing to do, or no longer wanted
	ByHand  StepStatus = "resolved" // settled by hand
)

// Step is one step of a process.
type Step struct {
	Name     StepName   `json:"name"`
	SKU      string     `json:"sku,omitempty"`
	Status   StepStatus `json:"status"`
	Attempts int        `json:"attempts"` // how often it was intended, as far as on record
	At       time.Time  `json:"at"`       // when it came to its status
	Code     string     `json:"code,omitempty"`
	Reason   string     `json:"reason,omitempty"`   // why it was settled by hand
	RetryAt  *time.Time `json:"retryAt,omitempty"`  // when a failed one is tried again
	IntentID string     `json:"intentId,omitempty"` // id of the event that holds its newest intent
}

// Open tells whether the step has still to be taken.
func (s Step) Open() bool {
	return s.Status == Pending || s.Status == Running || s.Status == Failed
}

// Process is a process's state; the zero value is one that was not started. Its order's id is its stream's.
type Process struct {
	Status     Status     `json:"status"`
	Reason     string     `json:"reason,omitempty"` // why it compensates
	CustomerID string     `json:"customerId"`
	AccountID  string     `json:"accountId"`
	Currency   string     `json:"currency"`
	Total      int64      `json:"total"` // minor units
	Lines      []Line     `json:"lines"`
	Steps      []Step     `json:"steps"` // in the order they are taken
	PrepareBy  time.Time  `json:"prepareBy"`
	StartedAt  time.Time  `json:"startedAt"`
	UpdatedAt  time.Time  `json:"updatedAt"`
	PreparedAt *time.Time `json:"preparedAt,omitempty"`
	EndedAt    *time.Time `json:"endedAt,omitempty"`
	Unchecked  bool       `json:"unchecked,omitempty"` // compensated, and the last look is still to come
}

// Ended tells whether nothing is left to do.
func (p Process) Ended() bool {
	return p.Status == StatusCompleted || p.Status == StatusCompensated
}

// Step finds a step.
func (p Process) Step(name StepName, sku string) (Step, bool) {
	if i := p.index(name, sku); i >= 0 {
		return p.Steps[i], true
	}
	return Step{}, false
}

func (p Process) index(name StepName, sku string) int {
	return slices.IndexFunc(p.Steps, func(s Step) bool { return s.Name == name && s.SKU == sku })
}

// stepSpace is the name space of the ids of the process' commands. It was drawn once and must never
// change: it lets a command be recognised whoever sends it again.
var stepSpace = uuid.MustParse("c2d1e7f4-9a35-5b0e-8f61-2b7f0a9d4c13")

// CommandID is the id of a step's command. It derives from the process and the step alone, whoever sends
// the command, and however often.
func CommandID(orderID string, step StepName, sku string) string {
	return uuid.NewSHA1(stepSpace, []byte(orderID+"/"+string(step)+"/"+sku)).String()
}

// WaitsFor says in a few words what a process waits for, and until when at the longest if that is known;
// empty for one that has ended.
func (p Process) WaitsFor() (what string, until *time.Time) {
	if p.Status == StatusRunning {
		until = &p.PrepareBy
	}
	for _, s := range p.Steps {
		name := string(s.Name)
		if s.SKU != "" {
			name += " " + s.SKU
		}
		switch {
		case s.Status == Failed:
			return "the next try of " + name, s.RetryAt
		case s.Open():
			return "the outcome of " + name, until
		}
	}
	switch p.Status {
	case StatusRunning:
		return "the order", until
	case StatusPrepared:
		return "the shipment or cancellation of the order", nil
	default:
		return "", nil
	}
}

// Quantity is how many pieces of a SKU the process is about.
func (p Process) Quantity(sku string) int64 {
	for _, line := range p.Lines {
		if line.SKU == sku {
			return line.Quantity
		}
	}
	return 0
}

// Events lists a zero value of every event of a process.
func Events() []domain.Event {
	return []domain.Event{
		Started{}, StepIntended{}, LineReserved{}, LineRefused{}, PaymentTaken{}, PaymentDeclined{}, Prepared{},
		GivingUp{}, Shipping{}, LineShipped{}, Completed{}, Compensating{}, LineReleased{}, PaymentCredited{},
		OrderCancelled{}, StepSkipped{}, StepFailed{}, Retried{}, Resolved{}, Compensated{}, Checked{},
	}
}

// Apply is the process after one more event. It takes any history, also one that no decision of today
// would make, and never changes what the process before it refers to.
func (p Process) Apply(r domain.Recorded) Process {
	at := r.Meta.At
	switch e := r.Event.(type) {
	case Started:
		p.Status, p.StartedAt, p.PrepareBy = StatusRunning, at, e.PrepareBy
		p.CustomerID, p.AccountID, p.Currency, p.Total = e.CustomerID, e.AccountID, e.Currency, e.Total
		p.Lines = slices.Clone(e.Lines)
		p.Steps = planned(p.Steps, e.Steps, at)
	case GivingUp:
		p.Reason = e.Reason
		p.Steps = planned(p.Steps, e.Steps, at)
	case Shipping:
		p.Steps = planned(p.Steps, e.Steps, at)
	case Compensating:
		p.Status, p.Reason = StatusCompensating, e.Reason
		p.Steps = planned(dropped(p.Steps, at), e.Steps, at)
	case Prepared:
		p.Status, p.PreparedAt, p.Reason = StatusPrepared, &at, ""
		p.Steps = changed(p.Steps, StepPrepare, "", func(s *Step) { s.Status, s.At, s.Code, s.RetryAt = Done, at, "", nil })
		p.Steps = dropped(p.Steps, at)
	case Completed:
		p.Status, p.EndedAt = StatusCompleted, &at
	case Compensated:
		p.Status, p.EndedAt, p.Unchecked = StatusCompensated, &at, e.Check
	case Checked:
		p.Unchecked = false
	case Retried:
		p.Steps = retried(p.Steps, at)
	case nil:
		return p
	default:
		steps, known := p.applyToStep(r)
		if !known {
			return p
		}
		p.Steps = steps
	}
	p.UpdatedAt = at
	return p
}

// applyToStep takes the events that are about one step.
func (p Process) applyToStep(r domain.Recorded) (steps []Step, known bool) {
	at := r.Meta.At
	to := func(name StepName, sku string, status StepStatus, code string) ([]Step, bool) {
		return changed(p.Steps, name, sku, func(s *Step) { s.Status, s.At, s.Code, s.RetryAt = status, at, code, nil }), true
	}
	switch e := r.Event.(type) {
	case StepIntended:
		return changed(p.Steps, e.Step, e.SKU, func(s *Step) {
			s.Status, s.At, s.Attempts, s.IntentID, s.RetryAt = Running, at, e.Attempt, r.ID, nil
		}), true
	case LineReserved:
		return to(StepReserve, e.SKU, Done, "")
	case LineRefused:
		return to(StepReserve, e.SKU, Refused, e.Code)
	case PaymentTaken:
		return to(StepPay, "", Done, "")
	case PaymentDeclined:
		return to(StepPay, "", Refused, e.Code)
	case LineShipped:
		return to(StepShip, e.SKU, Done, "")
	case LineReleased:
		return to(StepRelease, e.SKU, Done, "")
	case PaymentCredited:
		return to(StepCredit, "", Done, "")
	case OrderCancelled:
		return to(StepCancel, "", Done, "")
	case StepSkipped:
		return to(e.Step, e.SKU, Skipped, "")
	case StepFailed:
		return changed(p.Steps, e.Step, e.SKU, func(s *Step) {
			s.Status, s.At, s.Code, s.RetryAt = Failed, at, e.Code, &e.RetryAt
		}), true
	case Resolved:
		return changed(p.Steps, e.Step, e.SKU, func(s *Step) {
			s.Status, s.At, s.Reason, s.RetryAt = ByHand, at, e.Reason, nil
		}), true
	default:
		return nil, false
	}
}

// planned is steps with those that come; one that is there already is taken anew.
func planned(steps []Step, more []Planned, at time.Time) []Step {
	steps = slices.Clone(steps)
	for _, m := range more {
		step := Step{Name: m.Step, SKU: m.SKU, Status: Pending, At: at}
		if i := slices.IndexFunc(steps, func(s Step) bool { return s.Name == m.Step && s.SKU == m.SKU }); i >= 0 {
			steps = slices.Delete(steps, i, i+1)
		}
		steps = append(steps, step)
	}
	return steps
}

// dropped is steps with the open ones given up: whatever came of their commands, it is undone or moot.
func dropped(steps []Step, at time.Time) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		if steps[i].Open() {
			steps[i].Status, steps[i].At, steps[i].RetryAt = Skipped, at, nil
		}
	}
	return steps
}

func retried(steps []Step, at time.Time) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		if steps[i].Status == Failed {
			steps[i].RetryAt = &at
		}
	}
	return steps
}

func changed(steps []Step, name StepName, sku string, change func(*Step)) []Step {
	steps = slices.Clone(steps)
	for i := range steps {
		if steps[i].Name == name && steps[i].SKU == sku {
			change(&steps[i])
		}
	}
	return steps
}
