// Package account is the Account aggregate: a customer's money with the shop.
package account

// Opened starts an account.
type Opened struct {
	CustomerID     string `json:"customerId"`
	Currency       string `json:"currency"`
	OverdraftLimit int64  `json:"overdraftLimit"` // minor units, how far below zero the balance may go
}

// Deposited adds money.
type Deposited struct {
	Amount    int64  `json:"amount"` // minor units, above 0
	Currency  string `json:"currency"`
	Reference string `json:"reference,omitempty"`
}

// Withdrawn takes money out; OrderID is set where it pays for an order.
type Withdrawn struct {
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	OrderID   string `json:"orderId,omitempty"`
	Reference string `json:"reference,omitempty"`
}

// Credited gives money back; OrderID is set where it undoes the payment of an order.
type Credited struct {
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	OrderID   string `json:"orderId,omitempty"`
	Reference string `json:"reference,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// Closed ends the account for good.
type Closed struct{}

// Stored names.
func (Opened) EventType() string    { return "AccountOpened" }
func (Deposited) EventType() string { return "Deposited" }
func (Withdrawn) EventType() string { return "Withdrawn" }
func (Credited) EventType() string  { return "AccountCredited" }
func (Closed) EventType() string    { return "AccountClosed" }
