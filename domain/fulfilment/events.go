// Package fulfilment is the progress of the process that takes a confirmed order to shipped, or undoes
// it: reserve every line, take the payment, prepare the order; after shipment move the goods out; or
// release, credit and cancel. The package decides what is to be done next and remembers what was done.
// It runs no command: the application does that and says what came of it.
package fulfilment

import "time"

// Line is what has to be reserved of one SKU.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Planned is a step that the process is going to take.
type Planned struct {
	Step StepName `json:"step"`
	SKU  string   `json:"sku,omitempty"`
}

// Started begins the process with all it needs to know of its order.
type Started struct {
	CustomerID string    `json:"customerId"`
	AccountID  string    `json:"accountId"`
	Currency   string    `json:"currency"`
	Total      int64     `json:"total"` // minor units
	Lines      []Line    `json:"lines"`
	PrepareBy  time.Time `json:"prepareBy"` // the deadline: not prepared by then, the order expires
	Steps      []Planned `json:"steps"`
}

// StepIntended is on record before the step's command is sent. Attempt counts from 1.
type StepIntended struct {
	Step    StepName `json:"step"`
	SKU     string   `json:"sku,omitempty"`
	Attempt int      `json:"attempt"`
}

// LineReserved says that a line's pieces are reserved.
type LineReserved struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// LineRefused says that a line can't be reserved; Code is the refusal's.
type LineRefused struct {
	SKU  string `json:"sku"`
	Code string `json:"code"`
}

// PaymentTaken says that the total was withdrawn.
type PaymentTaken struct {
	AccountID string `json:"accountId"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

// PaymentDeclined says that the total can't be withdrawn; Code is the refusal's.
type PaymentDeclined struct {
	Code string `json:"code"`
}

// Prepared says that the order is prepared.
type Prepared struct{}

// GivingUp says that the order is to be cancelled first, because somebody may just be preparing it;
// what happens to the order decides how the process goes on.
type GivingUp struct {
	Reason string    `json:"reason"`
	Steps  []Planned `json:"steps"`
}

// Shipping says that the order was shipped and its pieces are to leave the stock.
type Shipping struct {
	Steps []Planned `json:"steps"`
}

// LineShipped says that a line's pieces have left the stock.
type LineShipped struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Completed ends the process of a shipped order.
type Completed struct{}

// Compensating says that everything done so far is to be undone, and in which steps.
type Compensating struct {
	Reason string    `json:"reason"`
	Steps  []Planned `json:"steps"`
}

// LineReleased says that a line's pieces are available again.
type LineReleased struct {
	SKU string `json:"sku"`
}

// PaymentCredited says that the payment was given back.
type PaymentCredited struct {
	AccountID string `json:"accountId"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
}

// OrderCancelled says that the process cancelled the order.
type OrderCancelled struct {
	Reason string `json:"reason"`
}

// StepSkipped says that a step found nothing to do.
type StepSkipped struct {
	Step StepName `json:"step"`
	SKU  string   `json:"sku,omitempty"`
}

// StepFailed says that a step met what it can't settle by itself; it is tried again at RetryAt.
type StepFailed struct {
	Step    StepName  `json:"step"`
	SKU     string    `json:"sku,omitempty"`
	Code    string    `json:"code"`
	RetryAt time.Time `json:"retryAt"`
}

// Retried says that an operator wants failed steps tried again now.
type Retried struct{}

// Resolved says that an operator settled a failed step by hand, outside of this process.
type Resolved struct {
	Step   StepName `json:"step"`
	SKU    string   `json:"sku,omitempty"`
	Reason string   `json:"reason"`
}

// Compensated ends the process of a cancelled order. Check asks for a last look at what was undone, once
// no command of the process can be under way any more: one that was held up may have come too late to be
// undone, and the delivery that would tell may be lost.
type Compensated struct {
	Check bool `json:"check,omitempty"`
}

// Checked says that the last look found nothing left, or left nothing.
type Checked struct{}

// Stored names.
func (Started) EventType() string         { return "FulfilmentStarted" }
func (StepIntended) EventType() string    { return "FulfilmentStepIntended" }
func (LineReserved) EventType() string    { return "FulfilmentLineReserved" }
func (LineRefused) EventType() string     { return "FulfilmentLineRefused" }
func (PaymentTaken) EventType() string    { return "FulfilmentPaymentTaken" }
func (PaymentDeclined) EventType() string { return "FulfilmentPaymentDeclined" }
func (Prepared) EventType() string        { return "FulfilmentPrepared" }
func (GivingUp) EventType() string        { return "FulfilmentGivingUp" }
func (Shipping) EventType() string        { return "FulfilmentShipping" }
func (LineShipped) EventType() string     { return "FulfilmentLineShipped" }
func (Completed) EventType() string       { return "FulfilmentCompleted" }
func (Compensating) EventType() string    { return "FulfilmentCompensating" }
func (LineReleased) EventType() string    { return "FulfilmentLineReleased" }
func (PaymentCredited) EventType() string { return "FulfilmentPaymentCredited" }
func (OrderCancelled) EventType() string  { return "FulfilmentOrderCancelled" }
func (StepSkipped) EventType() string     { return "FulfilmentStepSkipped" }
func (StepFailed) EventType() string      { return "FulfilmentStepFailed" }
func (Retried) EventType() string         { return "FulfilmentRetried" }
func (Resolved) EventType() string        { return "FulfilmentResolved" }
func (Compensated) EventType() string     { return "FulfilmentCompensated" }
func (Checked) EventType() string         { return "FulfilmentChecked" }
