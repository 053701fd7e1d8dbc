package account_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func given(events ...domain.Event) account.Account { return after(account.Account{}, events...) }

func after(a account.Account, events ...domain.Event) account.Account {
	for _, e := range events {
		a = a.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: noon}})
	}
	return a
}

func opened(limit int64) domain.Event {
	return account.Opened{CustomerID: "c", Currency: "EUR", OverdraftLimit: limit}
}

type decision = func(account.Account) ([]domain.Event, error)

func deposited(n int64) account.Deposited { return account.Deposited{Amount: n, Currency: "EUR"} }
func withdrawn(n int64, order string) account.Withdrawn {
	return account.Withdrawn{Amount: n, Currency: "EUR", OrderID: order}
}
func credited(n int64, order string) account.Credited {
	return account.Credited{Amount: n, Currency: "EUR", OrderID: order, Reason: "back"}
}

func deposit(d account.Deposited) decision {
	return func(a account.Account) ([]domain.Event, error) { return a.Deposit(d) }
}
func withdraw(w account.Withdrawn) decision {
	return func(a account.Account) ([]domain.Event, error) { return a.Withdraw(w) }
}
func credit(c account.Credited) decision {
	return func(a account.Account) ([]domain.Event, error) { return a.Credit(c) }
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return domain.CodeOf(err)
}

func TestOpen(t *testing.T) {
	for _, c := range []struct {
		name string
		in   account.Opened
		code string
	}{
		{"plain", account.Opened{CustomerID: "c", Currency: "EUR"}, ""},
		{"with overdraft", account.Opened{CustomerID: "c", Currency: "EUR", OverdraftLimit: domain.MaxAmount}, ""},
		{"negative overdraft", account.Opened{CustomerID: "c", Currency: "EUR", OverdraftLimit: -1}, "invalid_request"},
		{"no customer", account.Opened{Currency: "EUR"}, "invalid_request"},
		{"odd currency", account.Opened{CustomerID: "c", Currency: "eur"}, "invalid_request"},
	} {
		events, err := account.Open(c.in)
		if codeOf(err) != c.code || (err == nil) != (len(events) == 1) {
			t.Errorf("%s: %v, %v", c.name, events, err)
		}
	}
}

func TestDecisions(t *testing.T) {
	type events = []domain.Event
	rich := events{opened(0), deposited(100)}
	closed := events{opened(0), account.Closed{}}
	paid := events{opened(0), deposited(100), withdrawn(60, "o")}
	undone := append(append(events{}, paid...), credited(60, "o"))
	dollars := account.Deposited{Amount: 1, Currency: "USD"}
	for _, c := range []struct {
		name   string
		given  events
		decide decision
		want   events
		code   string
	}{
		{"deposit", rich, deposit(deposited(1)), events{deposited(1)}, ""},
		{"deposit nothing", rich, deposit(deposited(0)), nil, "invalid_request"},
		{"deposit too much", rich, deposit(deposited(domain.MaxAmount + 1)), nil, "invalid_request"},
		{"deposit beyond what can be counted", rich, deposit(deposited(domain.MaxAmount)), nil, "invalid_request"},
		{"deposit dollars", rich, deposit(dollars), nil, "currency_mismatch"},
		{"deposit when closed", closed, deposit(deposited(1)), nil, "account_closed"},
		{"deposit nowhere", nil, deposit(deposited(1)), nil, "not_found"},

		{"withdraw all", rich, withdraw(withdrawn(100, "")), events{withdrawn(100, "")}, ""},
		{"withdraw more", rich, withdraw(withdrawn(101, "")), nil, "insufficient_funds"},
		{"withdraw nothing", rich, withdraw(withdrawn(0, "")), nil, "invalid_request"},
		{"withdraw down to the limit", events{opened(50)}, withdraw(withdrawn(50, "")), events{withdrawn(50, "")}, ""},
		{"withdraw below the limit", events{opened(50)}, withdraw(withdrawn(51, "")), nil, "insufficient_funds"},
		{"withdraw twice", events{opened(0), deposited(100), withdrawn(60, "")}, withdraw(withdrawn(60, "")), nil, "insufficient_funds"},
		{"withdraw dollars", rich, withdraw(account.Withdrawn{Amount: 1, Currency: "USD"}), nil, "currency_mismatch"},
		{"withdraw when closed", closed, withdraw(withdrawn(1, "")), nil, "account_closed"},
		{"withdraw from nowhere", nil, withdraw(withdrawn(1, "")), nil, "not_found"},

		{"pay", rich, withdraw(withdrawn(60, "o")), events{withdrawn(60, "o")}, ""},
		{"pay another", paid, withdraw(withdrawn(40, "p")), events{withdrawn(40, "p")}, ""},
		{"pay twice", paid, withdraw(withdrawn(60, "o")), nil, ""},
		{"pay twice, less", paid, withdraw(withdrawn(40, "o")), nil, "already_paid"},
		{"pay after the credit", undone, withdraw(withdrawn(60, "o")), nil, "already_paid"},

		{"credit", rich, credit(credited(5, "")), events{credited(5, "")}, ""},
		{"credit nothing", rich, credit(credited(0, "")), nil, "invalid_request"},
		{"credit dollars", rich, credit(account.Credited{Amount: 1, Currency: "USD", Reason: "back"}), nil, "currency_mismatch"},
		{"credit when closed", closed, credit(credited(1, "")), nil, "account_closed"},
		{"credit nowhere", nil, credit(credited(1, "")), nil, "not_found"},
		{"undo", paid, credit(credited(60, "o")), events{credited(60, "o")}, ""},
		{"undo twice", undone, credit(credited(60, "o")), nil, ""},
		{"undo in part", paid, credit(credited(59, "o")), nil, "not_paid"},
		{"undo what was never paid", paid, credit(credited(60, "p")), nil, "not_paid"},
		{"undo what another account paid", rich, credit(credited(60, "o")), nil, "not_paid"},

		{"close", events{opened(0)}, account.Account.Close, events{account.Closed{}}, ""},
		{"close with money", rich, account.Account.Close, nil, "balance_not_zero"},
		{"close with debt", events{opened(9), withdrawn(9, "")}, account.Account.Close, nil, "balance_not_zero"},
		{"close twice", closed, account.Account.Close, nil, "account_closed"},
		{"close nowhere", nil, account.Account.Close, nil, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.decide(given(c.given...))
			if code := codeOf(err); code != c.code {
				t.Fatalf("refused with %q, want %q", code, c.code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWordsAreBounded(t *testing.T) {
	a, long := given(opened(0)), strings.Repeat("ä", account.MaxReason+1)
	for _, err := range []error{
		second(a.Deposit(account.Deposited{Amount: 1, Currency: "EUR", Reference: long})),
		second(a.Credit(account.Credited{Amount: 1, Currency: "EUR", Reason: long})),
		second(a.Credit(account.Credited{Amount: 1, Currency: "EUR", Reason: " "})),
	} {
		if domain.KindOf(err) != domain.KindInvalid {
			t.Error(err)
		}
	}
}

func second[A any](_ A, err error) error { return err }

func TestFold(t *testing.T) {
	got := given(opened(50), deposited(100), withdrawn(60, "o"), withdrawn(5, ""), credited(60, "o"), withdrawn(95, "p"), account.Closed{})
	want := account.Account{
		CustomerID: "c", Currency: "EUR", Balance: 0, OverdraftLimit: 50, Available: 50, Status: account.StatusClosed,
		Payments: []account.Payment{{OrderID: "o", Amount: 60, Credited: true}, {OrderID: "p", Amount: 95}},
		OpenedAt: noon, UpdatedAt: noon, ClosedAt: &noon,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, e := range account.Events() {
		if given(e).UpdatedAt.IsZero() {
			t.Errorf("%s does not fold", e.EventType())
		}
	}
}

// The first version wrote credits to accounts that no event opened.
func TestACreditOpensAnAccountOfTheFirstVersion(t *testing.T) {
	a := given(credited(500, ""))
	if a.Status != account.StatusOpen || a.Balance != 500 || a.Currency != "EUR" || a.Available != 500 {
		t.Fatalf("%+v", a)
	}
	if _, err := a.Withdraw(withdrawn(500, "")); err != nil {
		t.Error(err)
	}
}

var someOrder = rapid.SampledFrom([]string{"", "o", "p", "q"})

func TestRandomCommandsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 20).Draw(t, "limit")
		a := given(opened(limit))
		balance, payments, credits := int64(0), map[string]int{}, map[string]int{}
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			n, order := rapid.Int64Range(0, 12).Draw(t, "amount"), someOrder.Draw(t, "order")
			command := rapid.SampledFrom([]decision{deposit(deposited(n)), withdraw(withdrawn(n, order)), withdraw(withdrawn(n, order)),
				credit(credited(n, order)), account.Account.Close}).Draw(t, "command")
			events, _ := command(a)
			wasClosed := a.Status == account.StatusClosed
			for _, e := range events {
				if wasClosed {
					t.Fatalf("a closed account took %v", e)
				}
				a = after(a, e)
				switch e := e.(type) {
				case account.Deposited:
					balance += e.Amount
				case account.Withdrawn:
					balance -= e.Amount
					payments[e.OrderID]++
				case account.Credited:
					balance += e.Amount
					credits[e.OrderID]++
				}
			}
			if a.Balance != balance || a.Balance < -limit || a.Available != a.Balance+limit {
				t.Fatalf("%+v, balance %d, limit %d", a, balance, limit)
			}
			for id := range payments {
				if id != "" && (payments[id] > 1 || credits[id] > payments[id]) {
					t.Fatalf("order %s: %d payments, %d credits", id, payments[id], credits[id])
				}
			}
		}
	})
}

// Any history folds without panic, leaves the states before untouched, and survives being a snapshot.
func TestAnyHistoryFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a account.Account
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			n, order := rapid.Int64().Draw(t, "amount"), someOrder.Draw(t, "order")
			event := rapid.SampledFrom([]domain.Event{nil, opened(n), deposited(n), withdrawn(n, order), credited(n, order), account.Closed{}}).Draw(t, "event")
			before, _ := json.Marshal(a)
			next := after(a, event)
			if now, _ := json.Marshal(a); string(before) != string(now) {
				t.Fatalf("Apply changed the state it came from: %s to %s", before, now)
			}
			var restored account.Account
			if err := json.Unmarshal(before, &restored); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(next)
			if got, _ := json.Marshal(after(restored, event)); string(got) != string(want) {
				t.Fatalf("after a snapshot %s, else %s", got, want)
			}
			a = next
		}
	})
}

// Thousands of payments in any order, some credited: what is known of each order is what a plain map says,
// after every detour through JSON, and no state that was kept changes.
func TestManyPaymentsAreAllRemembered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a account.Account
		want := map[string]account.Payment{}
		step := rapid.SampledFrom([]int{1, 7, 1009}).Draw(t, "step") // coprime to the number of orders
		const orders = 2000
		kept, before := a, "{}"
		for i := range rapid.IntRange(0, 3000).Draw(t, "payments") {
			id := fmt.Sprintf("o%04d", i*step%orders)
			payment := account.Payment{OrderID: id, Amount: int64(i), Credited: i%3 == 0}
			if payment.Credited {
				a = after(a, credited(payment.Amount, id))
			} else {
				a = after(a, withdrawn(payment.Amount, id))
			}
			want[id] = payment
			if i%701 == 0 {
				if text := textOf(t, kept); before != "{}" && text != before {
					t.Fatal("a kept state has changed")
				}
				kept, before = a, textOf(t, a)
				var again account.Account
				if err := json.Unmarshal([]byte(before), &again); err != nil {
					t.Fatal(err)
				}
				a = again
			}
		}
		for id, payment := range want {
			if got, ok := a.Payment(id); !ok || got != payment {
				t.Fatalf("order %s: %+v %v, want %+v", id, got, ok, payment)
			}
		}
		if _, ok := a.Payment("p"); ok {
			t.Error("an order that was never paid")
		}
		if count := len(a.Payments); count > orders || !slices.IsSortedFunc(a.Payments, func(a, b account.Payment) int { return strings.Compare(a.OrderID, b.OrderID) }) {
			t.Errorf("%d payments, sorted or not", count)
		}
	})
}

func textOf(t *rapid.T, a account.Account) string {
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func BenchmarkFoldPaidOrders(b *testing.B) {
	const orders = 20_000
	ids := make([]string, orders)
	for i := range ids {
		ids[i] = fmt.Sprintf("019c0000-%04x-7000-8000-%012x", i/16, (i*7919)%orders)
	}
	for b.Loop() {
		a := given(opened(0))
		for _, id := range ids {
			a = after(a, withdrawn(1, id))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/orders, "ns/event")
}
