package readmodels

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
)

// accountStatement: one document per account, and one row per entry. The document is the aggregate's
// state without the lists of payments, which only decisions need and which never shrinks.
var accountStatement = define(Model{
	Name: "account_statement", Title: "Account statement", Version: 1, Categories: []string{"account"},
	Indexes:    [][]string{{"customerId"}},
	RowIndexes: [][]string{{"accountId", "revision"}, {"accountId", "at"}},
}, foldAccount, nil)

// The screens that show it.
var accountStatementScreens = []Screen{
	{Operation: "getAccount", Model: "account_statement", Answer: answerAccount, Item: wholeItem(answerAccount, "id")},
	statementList.screen("account_statement"),
}

// Entry is one line of a statement; Amount is signed, Balance that after it, both in minor units.
type Entry struct {
	AccountID string `json:"accountId"`
	Revision  int64  `json:"revision"`
	At        string `json:"at"`
	Type      string `json:"type"` // deposit, withdrawal, credit
	Amount    int64  `json:"amount"`
	Balance   int64  `json:"balance"`
	Currency  string `json:"currency"`
	OrderID   string `json:"orderId,omitempty"`
	Reference string `json:"reference,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

func foldAccount(a *account.Account, r domain.Recorded) (any, error) {
	*a = a.Apply(r)
	a.Payments, a.Latest = nil, nil
	entry := Entry{AccountID: domain.StreamID(r.Stream), Revision: r.Revision, At: Stamp(r.Meta.At), Balance: a.Balance, Currency: a.Currency}
	switch e := r.Event.(type) {
	case account.Deposited:
		entry.Type, entry.Amount, entry.Reference = "deposit", e.Amount, e.Reference
	case account.Withdrawn:
		entry.Type, entry.Amount, entry.Reference, entry.OrderID = "withdrawal", -e.Amount, e.Reference, e.OrderID
	case account.Credited:
		entry.Type, entry.Amount, entry.Reference, entry.OrderID, entry.Reason = "credit", e.Amount, e.Reference, e.OrderID, e.Reason
	default:
		return nil, nil // opened and closed are no entries
	}
	return entry, nil
}

var statementList = listing{
	operation: "getAccountStatement",
	model:     func() *Model { return accountStatement },
	rows:      true,
	sort:      []Sort{{Path: "revision"}},
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		period, err := ask.period("at")
		where := ask.equals(map[string]string{"type": "type", "orderId": "orderId"})
		return append(append([]Condition{{Path: "accountId", Op: Equal, Value: ask.param("id")}}, where...), period...), err
	},
	item: rowItem[Entry],
	exists: func(ctx context.Context, r *Reader, ask Ask) error {
		_, err := fetchAccount(ctx, r, ask)
		return err
	},
}

func fetchAccount(ctx context.Context, r *Reader, ask Ask) (found[account.Account], error) {
	id := ask.param("id")
	f, ok, err := fetch[account.Account](ctx, r, accountStatement, ask, id)
	if err == nil && !ok {
		err = ask.missing("account", id)
	}
	if err == nil {
		err = ask.owned(f.body.CustomerID, "account", id)
	}
	return f, err
}

func answerAccount(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	f, err := fetchAccount(ctx, r, ask)
	if err != nil {
		return Answer{}, err
	}
	return r.single(ctx, accountStatement, ask, f.sources, f.id, AccountView(f.id, f.revision(accountStatement), *f.body))
}
