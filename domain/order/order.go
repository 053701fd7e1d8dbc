package order

import (
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Order does; snapshots of another version are not used.
const FoldVersion = 1

// Status is where an order stands.
type Status string

// The statuses, in the order they are reached; cancelled can follow the first three.
const (
	StatusCreated   Status = "created"
	StatusConfirmed Status = "confirmed"
	StatusPrepared  Status = "prepared"
	StatusShipped   Status = "shipped"
	StatusCancelled Status = "cancelled"
)

// Order is an order's state; the zero value is an order that was never created. Its id is its stream's.
type Order struct {
	CustomerID      string     `json:"customerId"`
	AccountID       string     `json:"accountId"`
	Status          Status     `json:"status"`
	Currency        string     `json:"currency"`
	Items           []Line     `json:"items"`      // one per SKU, in the order they were added
	Total           int64      `json:"total"`      // minor units
	TotalItems      int64      `json:"totalItems"` // pieces
	ShippingAddress any        `json:"shippingAddress,omitempty"`
	Note            string     `json:"note,omitempty"`
	CreatedAt       time.Time  `json:"createdAt"`
	UpdatedAt       time.Time  `json:"updatedAt"`
	ConfirmedAt     *time.Time `json:"confirmedAt,omitempty"`
	PreparedAt      *time.Time `json:"preparedAt,omitempty"`
	ShippedAt       *time.Time `json:"shippedAt,omitempty"`
	CancelledAt     *time.Time `json:"cancelledAt,omitempty"`
	CancelReason    string     `json:"cancelReason,omitempty"`
	Carrier         string     `json:"carrier,omitempty"`
	TrackingNumber  string     `json:"trackingNumber,omitempty"`
}

// Total is what a line costs, in minor units.
func (l Line) Total() int64 { return l.Quantity * l.UnitPrice }

// Line finds the line of a SKU.
func (o Order) Line(sku string) (Line, bool) {
	if i := o.index(sku); i >= 0 {
		return o.Items[i], true
	}
	return Line{}, false
}

func (o Order) index(sku string) int {
	return slices.IndexFunc(o.Items, func(l Line) bool { return l.SKU == sku })
}

// Events lists a zero value of every event of an order.
func Events() []domain.Event {
	return []domain.Event{Created{}, ItemAdded{}, ItemRemoved{}, Confirmed{}, Prepared{}, Shipped{}, Cancelled{}}
}

// Apply is the order after one more event. It takes any history, also one that no decision of today
// would make, and never changes what the order before it refers to.
func (o Order) Apply(r domain.Recorded) Order {
	at := r.Meta.At
	switch e := r.Event.(type) {
	case Created:
		o.CustomerID, o.AccountID, o.Currency = e.CustomerID, e.AccountID, e.Currency
		o.ShippingAddress, o.Note = e.Address, e.Note
		o.Status, o.CreatedAt = StatusCreated, at
		for _, line := range e.Items {
			o.Items = withAdded(o.Items, line)
		}
	case ItemAdded:
		o.Items = withAdded(o.Items, e.Line)
	case ItemRemoved:
		o.Items = withRemoved(o.Items, e.SKU, e.Quantity)
	case Confirmed:
		o.Status, o.ConfirmedAt = StatusConfirmed, &at
	case Prepared:
		o.Status, o.PreparedAt = StatusPrepared, &at
	case Shipped:
		o.Status, o.ShippedAt = StatusShipped, &at
		o.Carrier, o.TrackingNumber = e.Carrier, e.TrackingNumber
	case Cancelled:
		o.Status, o.CancelledAt, o.CancelReason = StatusCancelled, &at, e.Reason
	default:
		return o
	}
	if o.Items == nil {
		o.Items = []Line{}
	}
	o.UpdatedAt = at
	o.Total, o.TotalItems = 0, 0
	for _, line := range o.Items {
		o.Total += line.Total()
		o.TotalItems += line.Quantity
	}
	return o
}

// withAdded is lines with one more, or with more of one: a SKU keeps the price it first came at.
func withAdded(lines []Line, line Line) []Line {
	lines = slices.Clone(lines)
	if i := slices.IndexFunc(lines, func(l Line) bool { return l.SKU == line.SKU }); i >= 0 {
		lines[i].Quantity += line.Quantity
		return lines
	}
	return append(lines, line)
}

func withRemoved(lines []Line, sku string, quantity int64) []Line {
	kept := make([]Line, 0, len(lines))
	for _, line := range lines {
		if line.SKU == sku {
			line.Quantity -= quantity
		}
		if line.Quantity > 0 || line.SKU != sku {
			kept = append(kept, line)
		}
	}
	return kept
}
