package account

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Account does; snapshots of another version are not used.
const FoldVersion = 2

// Status is where an account stands.
type Status string

// The statuses.
const (
	StatusOpen   Status = "open"
	StatusClosed Status = "closed"
)

// Account is an account's state; the zero value is one that was never opened. Amounts are minor units.
type Account struct {
	CustomerID     string     `json:"customerId"`
	Currency       string     `json:"currency"`
	Balance        int64      `json:"balance"`
	OverdraftLimit int64      `json:"overdraftLimit"`
	Available      int64      `json:"available"` // Balance + OverdraftLimit
	Status         Status     `json:"status"`
	Payments       []Payment  `json:"payments,omitempty"` // one per order ever paid, sorted by order; see Latest
	Latest         []Payment  `json:"latest,omitempty"`   // payments that are not in Payments yet, or changed since; sorted
	OpenedAt       time.Time  `json:"openedAt"`
	UpdatedAt      time.Time  `json:"updatedAt"`
	ClosedAt       *time.Time `json:"closedAt,omitempty"`
}

// Payment remembers an order's withdrawal, so that there is at most one, and at most one credit for it.
type Payment struct {
	OrderID  string `json:"orderId"`
	Amount   int64  `json:"amount"`
	Credited bool   `json:"credited,omitempty"`
}

// Payment finds the payment of an order.
func (a Account) Payment(orderID string) (Payment, bool) {
	for _, list := range [][]Payment{a.Latest, a.Payments} {
		if i, ok := find(list, orderID); ok {
			return list[i], true
		}
	}
	return Payment{}, false
}

func find(list []Payment, orderID string) (int, bool) {
	return slices.BinarySearchFunc(list, orderID, func(p Payment, id string) int {
		return strings.Compare(p.OrderID, id)
	})
}

// Events lists a zero value of every event of an account.
func Events() []domain.Event {
	return []domain.Event{Opened{}, Deposited{}, Withdrawn{}, Credited{}, Closed{}}
}

// Apply is the account after one more event. It takes any history, also that of the first version,
// which credits accounts that nobody opened, and never changes what the account before it refers to.
func (a Account) Apply(r domain.Recorded) Account {
	at := r.Meta.At
	switch e := r.Event.(type) {
	case Opened:
		a.CustomerID, a.Currency, a.OverdraftLimit = e.CustomerID, e.Currency, e.OverdraftLimit
		a.Status, a.OpenedAt = StatusOpen, at
	case Deposited:
		a = a.moved(e.Amount, e.Currency, at)
	case Withdrawn:
		a = a.moved(-e.Amount, e.Currency, at)
		if e.OrderID != "" {
			a = a.with(Payment{OrderID: e.OrderID, Amount: e.Amount})
		}
	case Credited:
		a = a.moved(e.Amount, e.Currency, at)
		if e.OrderID != "" {
			a = a.with(Payment{OrderID: e.OrderID, Amount: e.Amount, Credited: true})
		}
	case Closed:
		a.Status, a.ClosedAt = StatusClosed, &at
	default:
		return a
	}
	a.Available = a.Balance + a.OverdraftLimit
	a.UpdatedAt = at
	return a
}

func (a Account) moved(amount int64, currency string, at time.Time) Account {
	a.Balance += amount
	if a.Status == "" {
		a.Status, a.OpenedAt = StatusOpen, at
	}
	if a.Currency == "" {
		a.Currency = currency
	}
	return a
}

// fewPayments is how long a list of payments may be to be copied at every payment.
const fewPayments = 512

// with is the account with a payment. The lists of the account before are copied, never changed, so with
// many payments only the latest are kept in a list that each payment copies; it is merged when it is full.
func (a Account) with(payment Payment) Account {
	if len(a.Latest) == 0 && len(a.Payments) < fewPayments {
		a.Payments = put(a.Payments, payment)
		return a
	}
	a.Latest = put(a.Latest, payment)
	if len(a.Latest) >= fewPayments {
		a.Payments, a.Latest = merged(a.Payments, a.Latest), nil
	}
	return a
}

// put is a copy of a list with a payment, instead of the order's old one if there is one.
func put(list []Payment, payment Payment) []Payment {
	i, found := find(list, payment.OrderID)
	rest := list[i:]
	if found {
		rest = rest[1:]
	}
	longer := make([]Payment, 0, len(list)+1)
	return append(append(append(longer, list[:i]...), payment), rest...)
}

// merged is both lists in one; where both have an order, the later counts.
func merged(list, later []Payment) []Payment {
	all := make([]Payment, 0, len(list)+len(later))
	for _, p := range later {
		i, found := find(list, p.OrderID)
		all = append(append(all, list[:i]...), p)
		if list = list[i:]; found {
			list = list[1:]
		}
	}
	return append(all, list...)
}
