package account

import "github.com/tidemark-dev/tidemark/domain"

// Limits of the words on movements, in characters.
const (
	MaxReference = 200
	MaxReason    = 200
)

// Open starts an account. It refuses with KindInvalid only.
func Open(o Opened) ([]domain.Event, error) {
	var found domain.Findings
	found.CustomerID("/customerId", o.CustomerID)
	found.Currency("/currency", o.Currency)
	found.Range("/overdraftLimit", o.OverdraftLimit, 0, domain.MaxAmount)
	if err := found.Err(); err != nil {
		return nil, err
	}
	return []domain.Event{o}, nil
}

// Deposit adds money. Codes: account_closed, currency_mismatch.
func (a Account) Deposit(d Deposited) ([]domain.Event, error) {
	if err := a.movable(d.Amount, d.Currency, d.Reference, "", false); err != nil {
		return nil, err
	}
	if err := a.fits(d.Amount); err != nil {
		return nil, err
	}
	return []domain.Event{d}, nil
}

// Withdraw takes money out. Where it pays for an order it is the only payment of that order: the same
// again is the same payment. Codes: account_closed, currency_mismatch, insufficient_funds, already_paid.
func (a Account) Withdraw(w Withdrawn) ([]domain.Event, error) {
	if err := a.movable(w.Amount, w.Currency, w.Reference, "", false); err != nil {
		return nil, err
	}
	if paid, ok := a.Payment(w.OrderID); ok && w.OrderID != "" {
		if paid.Amount == w.Amount && !paid.Credited {
			return nil, nil
		}
		return nil, domain.Refuse("already_paid", "Order %q was already paid from this account.", w.OrderID)
	}
	if w.Amount > a.Available {
		return nil, domain.Refuse("insufficient_funds", "The account has %d %s available, in minor units, less than the %d asked for.", a.Available, a.Currency, w.Amount)
	}
	if err := a.fits(-w.Amount); err != nil {
		return nil, err
	}
	return []domain.Event{w}, nil
}

// Credit gives money back. Where it undoes the payment of an order it must match that payment; the same
// again is the same credit. Codes: account_closed, currency_mismatch, not_paid.
func (a Account) Credit(c Credited) ([]domain.Event, error) {
	if err := a.movable(c.Amount, c.Currency, c.Reference, c.Reason, c.OrderID == ""); err != nil {
		return nil, err
	}
	if c.OrderID != "" {
		paid, ok := a.Payment(c.OrderID)
		if !ok || paid.Amount != c.Amount {
			return nil, domain.Refuse("not_paid", "Order %q was not paid with %d from this account.", c.OrderID, c.Amount)
		}
		if paid.Credited {
			return nil, nil
		}
	}
	if err := a.fits(c.Amount); err != nil {
		return nil, err
	}
	return []domain.Event{c}, nil
}

// Close ends the account. Codes: account_closed, balance_not_zero.
func (a Account) Close() ([]domain.Event, error) {
	if err := a.open(); err != nil {
		return nil, err
	}
	if a.Balance != 0 {
		return nil, domain.Refuse("balance_not_zero", "The balance is %d; an account can only be closed at 0.", a.Balance)
	}
	return []domain.Event{Closed{}}, nil
}

// movable says why an amount can't be moved; a credit says why it is given.
func (a Account) movable(amount int64, currency, reference, reason string, credit bool) error {
	var found domain.Findings
	found.Range("/amount", amount, 1, domain.MaxAmount)
	found.Currency("/currency", currency)
	found.Text("/reference", reference, false, MaxReference)
	found.Text("/reason", reason, credit, MaxReason)
	if err := found.Err(); err != nil {
		return err
	}
	if err := a.open(); err != nil {
		return err
	}
	if currency != a.Currency {
		return domain.Refuse("currency_mismatch", "The account is in %s, not in %s.", a.Currency, currency)
	}
	return nil
}

func (a Account) open() error {
	switch a.Status {
	case StatusOpen:
		return nil
	case StatusClosed:
		return domain.Refuse("account_closed", "The account is closed.")
	default:
		return domain.NotFound("account", "")
	}
}

// fits demands a balance that JSON numbers carry exactly.
func (a Account) fits(change int64) error {
	if _, ok := domain.Add(a.Balance, change); ok {
		return nil
	}
	var found domain.Findings
	found.Add("/amount", "out_of_range", "must leave the balance between %d and %d", -domain.MaxAmount, domain.MaxAmount)
	return found.Err()
}
