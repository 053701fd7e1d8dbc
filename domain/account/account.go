package account

import (
	"slices"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Account does; snapshots of another version are not used.
const FoldVersion = 1

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
	Payments       []Payment  `json:"payments,omitempty"` // one per order ever paid, sorted by order
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
	i, ok := a.find(orderID)
	if !ok {
		return Payment{}, false
	}
	return a.Payments[i], true
}

func (a Account) find(orderID string) (int, bool) {
	return slices.BinarySearchFunc(a.Payments, orderID, func(p Payment, id string) int {
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
			a.Payments = a.with(Payment{OrderID: e.OrderID, Amount: e.Amount})
		}
	case Credited:
		a = a.moved(e.Amount, e.Currency, at)
		if e.OrderID != "" {
			a.Payments = a.with(Payment{OrderID: e.OrderID, Amount: e.Amount, Credited: true})
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

func (a Account) with(payment Payment) []Payment {
	i, found := a.find(payment.OrderID)
	if found {
		list := slices.Clone(a.Payments)
		list[i] = payment
		return list
	}
	list := make([]Payment, len(a.Payments)+1)
	copy(list, a.Payments[:i])
	list[i] = payment
	copy(list[i+1:], a.Payments[i:])
	return list
}
