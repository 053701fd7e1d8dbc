package application

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// keyed is a command of one principal under a key; what it asks for is its request hash.
func keyed(operation, key, asks string) Command {
	return Command{
		ID: CommandID("ann", key), Keyed: true, Operation: operation, RequestHash: asks, Actor: "ann",
	}
}

// opened makes a service over store with an account that has 100 EUR in it.
func opened(t *testing.T, store EventStore, options Options) (*Service, string) {
	t.Helper()
	s := NewService(store, options)
	made, err := s.OpenAccount(t.Context(), Command{Operation: "openAccount"}, OpenAccount{CustomerID: "c1", Currency: "EUR"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Deposit(t.Context(), Command{Operation: "deposit"}, made.ID, 10_000, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	return s, made.ID
}

func TestEventsCarryTheirEnvelope(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	command := Command{
		ID: uuid.NewString(), Operation: "withdraw", RequestHash: "h", Actor: "ann",
		CorrelationID: "corr", CausationID: "cause", TraceParent: trace,
	}
	result, err := s.Withdraw(t.Context(), command, id, 2_500, "EUR", "", "")
	if err != nil {
		t.Fatal(err)
	}
	events := store.events(Accounts.Category + "-" + id)
	last := events[len(events)-1]
	want := domain.Meta{
		SchemaVersion: 2, CorrelationID: "corr", CausationID: "cause", CommandID: command.ID, RequestHash: "h", Actor: "ann",
		BatchIndex: 0, BatchSize: 1, At: time.Date(2026, 3, 1, 12, 0, 3, 123456000, time.UTC), TraceParent: trace,
		PrevHash: events[1].Meta.Hash, Hash: last.Meta.Hash,
	}
	if diff := cmp.Diff(want, last.Meta); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if last.ID != uuid.NewSHA1(uuid.MustParse(command.ID), []byte("account-"+id+":0")).String() {
		t.Errorf("the event's id %s does not derive from the command's", last.ID)
	}
	if result.Revision != 2 || result.State.Balance != 7_500 || result.Created || result.Replayed || result.Meta.Hash != last.Meta.Hash {
		t.Errorf("answered %+v", result)
	}
	first := events[0].Meta
	if first.CorrelationID != first.CommandID || first.CausationID != first.CommandID || first.CommandID == "" {
		t.Errorf("without anything given, a command should be its own cause: %+v", first)
	}
}

func TestBatchesAreNumbered(t *testing.T) {
	store := newScripted()
	s := NewService(store, quick())
	ctx, orderID := t.Context(), uuid.NewString()
	if _, err := s.ReceiveStock(ctx, Command{}, "A", 10, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReserveStock(ctx, Command{}, "A", orderID, 2); err != nil {
		t.Fatal(err)
	}
	result, err := s.HoldStock(ctx, Command{}, "A", orderID, 5)
	if err != nil {
		t.Fatal(err)
	}
	if result.Revision != 3 || result.State.ReservedFor(orderID) != 5 {
		t.Errorf("answered %+v", result)
	}
	for i, r := range store.events("inventory-A")[2:] {
		if r.Meta.BatchIndex != i || r.Meta.BatchSize != 2 {
			t.Errorf("event %d is %d of %d", i, r.Meta.BatchIndex, r.Meta.BatchSize)
		}
	}
}

func TestWhatACommandIsRefusedFor(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	at := func(revision int64) *int64 { return &revision }
	tests := []struct {
		name     string
		run      func(ctx context.Context) error
		kind     domain.Kind
		code     string
		revision *int64
	}{
		{"the decision says no", func(ctx context.Context) error {
			_, err := s.Withdraw(ctx, Command{}, id, 20_000, "EUR", "", "")
			return err
		}, domain.KindRefused, "insufficient_funds", nil},
		{"an unknown account", func(ctx context.Context) error {
			_, err := s.Deposit(ctx, Command{}, uuid.NewString(), 1, "EUR", "")
			return err
		}, domain.KindNotFound, "not_found", nil},
		{"an id that no stream can have", func(ctx context.Context) error {
			_, err := s.ConfirmOrder(ctx, Command{}, "../x")
			return err
		}, domain.KindNotFound, "not_found", nil},
		{"an empty id", func(ctx context.Context) error {
			_, err := s.CloseAccount(ctx, Command{}, "")
			return err
		}, domain.KindNotFound, "not_found", nil},
		{"somebody else's account", func(ctx context.Context) error {
			_, err := s.Deposit(ctx, Command{Customer: "c2"}, id, 1, "EUR", "")
			return err
		}, domain.KindNotFound, "not_found", nil},
		{"an account for somebody else", func(ctx context.Context) error {
			_, err := s.OpenAccount(ctx, Command{Customer: "c2"}, OpenAccount{CustomerID: "c1", Currency: "EUR"})
			return err
		}, domain.KindForbidden, "forbidden", nil},
		{"another revision", func(ctx context.Context) error {
			_, err := s.Deposit(ctx, Command{IfRevision: at(0)}, id, 1, "EUR", "")
			return err
		}, domain.KindMismatch, "revision_mismatch", at(1)},
		{"damage to what was never received", func(ctx context.Context) error {
			_, err := s.DamageStock(ctx, Command{}, "NONE", 1, "broken")
			return err
		}, domain.KindNotFound, "not_found", nil},
		{"a reservation of what was never received", func(ctx context.Context) error {
			_, err := s.ReserveStock(ctx, Command{}, "NONE", uuid.NewString(), 1)
			return err
		}, domain.KindRefused, "insufficient_stock", nil},
		{"a receipt of no SKU", func(ctx context.Context) error {
			_, err := s.ReceiveStock(ctx, Command{}, "lower", 1, "")
			return err
		}, domain.KindInvalid, "invalid_request", nil},
		{"a product of no SKU", func(ctx context.Context) error {
			_, err := s.ListProduct(ctx, Command{}, ListProduct{SKU: "a/b", Name: "x", Currency: "EUR"})
			return err
		}, domain.KindInvalid, "invalid_request", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := store.total()
			for _, dryRun := range []bool{false, true} {
				err := test.run(t.Context())
				if domain.KindOf(err) != test.kind || domain.CodeOf(err) != test.code {
					t.Fatalf("dry run %v: got %v", dryRun, err)
				}
				if test.revision != nil {
					if refusal := err.(*domain.Error); refusal.Revision == nil || *refusal.Revision != *test.revision {
						t.Errorf("says revision %v", refusal.Revision)
					}
				}
			}
			if store.total() != before {
				t.Error("a refusal changed something")
			}
		})
	}
}

func TestIfRevisionAtTheCurrentOne(t *testing.T) {
	s, id := opened(t, newScripted(), quick())
	current := int64(1)
	command := keyed("deposit", "k", "1")
	command.IfRevision = &current
	if _, err := s.Deposit(t.Context(), command, id, 1, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	again, err := s.Deposit(t.Context(), command, id, 1, "EUR", "")
	if err != nil || !again.Replayed || again.Revision != 2 {
		t.Errorf("a repeat is a repeat, whatever revision it names: %+v, %v", again, err)
	}
}

func TestDryRunForeseesAndAppendsNothing(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	command := keyed("deposit", "k", "1")
	command.DryRun = true
	before := len(store.streams)
	foreseen, err := s.Deposit(t.Context(), command, id, 1, "EUR", "")
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.OpenAccount(t.Context(), Command{DryRun: true}, OpenAccount{CustomerID: "c1", Currency: "EUR"})
	if err != nil || !made.Created || made.Revision != 0 || made.State.Status != account.StatusOpen {
		t.Errorf("a creation foresees %+v, %v", made, err)
	}
	if len(store.streams) != before || store.total() != 2 {
		t.Error("a dry run wrote something")
	}
	command.DryRun = false
	done, err := s.Deposit(t.Context(), command, id, 1, "EUR", "")
	if err != nil {
		t.Fatal(err)
	}
	foreseen.Meta, done.Meta = domain.Meta{}, domain.Meta{}
	foreseen.State.UpdatedAt, done.State.UpdatedAt = time.Time{}, time.Time{}
	if diff := cmp.Diff(foreseen, done); diff != "" {
		t.Errorf("it came otherwise (-foreseen +done):\n%s", diff)
	}
}

func TestConflictsAreRetriedThenGivenUp(t *testing.T) {
	store := newScripted()
	options := quick()
	options.Attempts = 4
	s, id := opened(t, store, options)
	stream := "account-" + id
	rival := NewExecutor(store, quick())
	meddle := 0
	store.before = func(c call) error {
		if c.name != "append" || c.stream != stream || meddle == 0 {
			return nil
		}
		meddle--
		store.before = nil // the rival is not meddled with
		_, err := Execute(context.Background(), rival, Command{}, Task[account.Account]{
			Aggregate: Accounts, ID: id, Decide: decide(func(a account.Account) ([]domain.Event, error) {
				return a.Deposit(account.Deposited{Amount: 1, Currency: "EUR"})
			}),
		})
		return err
	}
	hook := store.before
	rearm := func(n int) { meddle = n; store.before = hook }

	rearm(1)
	result, err := s.Deposit(t.Context(), Command{}, id, 10, "EUR", "")
	if err != nil || result.State.Balance != 10_011 || result.Revision != 3 {
		t.Fatalf("after one conflict: %+v, %v", result, err)
	}

	// A rival who is quicker every time.
	store.before = func(c call) error {
		if c.name == "append" && c.stream == stream {
			current := int64(41)
			return &domain.Error{Kind: domain.KindConflict, Code: "wrong_revision", Revision: &current}
		}
		return nil
	}
	_, err = s.Deposit(t.Context(), Command{}, id, 10, "EUR", "")
	if domain.KindOf(err) != domain.KindConflict || domain.CodeOf(err) != "revision_conflict" || *err.(*domain.Error).Revision != 41 {
		t.Errorf("gave up with %v", err)
	}

	rearm(1)
	expected := result.Revision
	_, err = s.Deposit(t.Context(), Command{IfRevision: &expected}, id, 10, "EUR", "")
	if domain.CodeOf(err) != "revision_mismatch" || *err.(*domain.Error).Revision != expected+1 {
		t.Errorf("with If-Match a conflict is a mismatch, got %v", err)
	}
}

func TestWhatIsSaidOfAnOldStateIsCheckedFirst(t *testing.T) {
	store := newScripted()
	here := NewService(store, quick())
	there := NewService(store, quick())
	ctx, orderID := t.Context(), uuid.NewString()
	run := func(result Result[inventory.Stock], err error) Result[inventory.Stock] {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	run(here.ReceiveStock(ctx, Command{}, "A", 1, ""))
	run(there.ReceiveStock(ctx, Command{}, "A", 9, ""))
	run(here.ReserveStock(ctx, Command{}, "A", orderID, 5)) // refused by what is known here, allowed by what is
	run(there.ReleaseStock(ctx, Command{}, "A", orderID))
	again := run(here.ReserveStock(ctx, Command{}, "A", orderID, 5)) // nothing to do by what is known here
	if again.Revision != 4 || again.State.Reserved != 5 {
		t.Errorf("reserved %d at revision %d", again.State.Reserved, again.Revision)
	}
	run(there.ReceiveStock(ctx, Command{}, "A", 1, ""))
	dry := run(here.ReceiveStock(ctx, Command{DryRun: true}, "A", 1, ""))
	if dry.Revision != 6 {
		t.Errorf("a dry run foresees revision %d", dry.Revision)
	}
	stale := int64(4)
	run(there.ReceiveStock(ctx, Command{}, "A", 1, ""))
	if _, err := here.ReceiveStock(ctx, Command{IfRevision: &stale}, "A", 1, ""); domain.CodeOf(err) != "revision_mismatch" {
		t.Errorf("got %v", err)
	}
}

// Processes refuse with errors that are not the domain's; those count as little on an old state.
func TestARefusalOfTheCallersOwnKindIsCheckedToo(t *testing.T) {
	store := newScripted()
	here, there := NewService(store, quick()), NewService(store, quick())
	for _, s := range []*Service{here, there} {
		if _, err := s.ReceiveStock(t.Context(), Command{}, "A", 5, ""); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Execute(t.Context(), here.Executor, Command{}, Task[inventory.Stock]{
		Aggregate: Stocks, ID: "A",
		Decide: decide(func(s inventory.Stock) ([]domain.Event, error) {
			if s.OnHand < 10 {
				return nil, errors.New("too few")
			}
			return s.Receive(1, "")
		}),
	})
	if err != nil {
		t.Error(err)
	}
}
