package application

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

func TestARepeatIsAnsweredWithTheFirstAnswer(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	command := keyed("withdraw", "k", "10")
	first, err := s.Withdraw(t.Context(), command, id, 10, "EUR", "", "")
	if err != nil || first.Replayed {
		t.Fatal(first.Replayed, err)
	}
	if _, err := s.Deposit(t.Context(), Command{}, id, 5, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	before := store.total()
	for name, other := range map[string]*Service{"here": s, "elsewhere": NewService(store, quick())} {
		again, err := other.Withdraw(t.Context(), command, id, 10, "EUR", "", "")
		if err != nil || !again.Replayed {
			t.Fatalf("%s: %v, %v", name, again.Replayed, err)
		}
		again.Replayed = false
		if diff := cmp.Diff(first, again, ignoreCodec); diff != "" {
			t.Errorf("%s: another answer (-first +again):\n%s", name, diff)
		}
	}
	if store.total() != before {
		t.Error("a repeat appended something")
	}
}

// ignoreCodec leaves out what only the store's codec knows of an event.
var ignoreCodec = cmp.FilterPath(func(p cmp.Path) bool {
	field := p.Last().String()
	return field == ".SchemaVersion" || field == ".PrevHash"
}, cmp.Ignore())

func TestAKeyStandsForOneRequest(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	_, other := opened(t, store, quick())
	ctx := t.Context()
	if _, err := s.Deposit(ctx, keyed("deposit", "k", "10"), id, 10, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	attempts := map[string]func(*Service) error{
		"another body": func(s *Service) error {
			_, err := s.Deposit(ctx, keyed("deposit", "k", "11"), id, 11, "EUR", "")
			return err
		},
		"another operation": func(s *Service) error {
			_, err := s.Withdraw(ctx, keyed("withdraw", "k", "10"), id, 10, "EUR", "", "")
			return err
		},
		"another account": func(s *Service) error {
			_, err := s.Deposit(ctx, keyed("deposit", "k", "10"), other, 10, "EUR", "")
			return err
		},
		"a creation": func(s *Service) error {
			_, err := s.OpenAccount(ctx, keyed("openAccount", "k", "10"), OpenAccount{CustomerID: "c1", Currency: "EUR"})
			return err
		},
		"a creation of something else": func(s *Service) error {
			_, err := s.CreateOrder(ctx, keyed("deposit", "k", "10"), CreateOrder{})
			return err
		},
		"another body in a dry run": func(s *Service) error {
			command := keyed("deposit", "k", "11")
			command.DryRun = true
			_, err := s.Deposit(ctx, command, id, 11, "EUR", "")
			return err
		},
	}
	before := store.total()
	for name, attempt := range attempts {
		for where, s := range map[string]*Service{"here": s, "elsewhere": NewService(store, quick())} {
			err := attempt(s)
			if domain.KindOf(err) != domain.KindInvalid || domain.CodeOf(err) != "idempotency_key_reused" {
				t.Errorf("%s, %s: %v", name, where, err)
			}
		}
	}
	if store.total() != before {
		t.Error("something was appended")
	}
	if _, err := s.Deposit(ctx, Command{
		ID: CommandID("bob", "k"), Keyed: true, Operation: "deposit", RequestHash: "11",
	}, id, 11, "EUR", ""); err != nil {
		t.Errorf("another principal's same key: %v", err)
	}
}

func TestARefusalIsNotStored(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	command := keyed("withdraw", "k", "x")
	if _, err := s.Withdraw(t.Context(), command, id, 10_001, "EUR", "", ""); domain.CodeOf(err) != "insufficient_funds" {
		t.Fatal(err)
	}
	if _, claimed := store.streams["idempotency-"+command.ID]; claimed {
		t.Error("a refusal claimed its key")
	}
	if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	result, err := s.Withdraw(t.Context(), command, id, 10_001, "EUR", "", "")
	if err != nil || result.Replayed || result.State.Balance != 0 {
		t.Errorf("the repeat was not decided anew: %+v, %v", result, err)
	}
}

func TestARepeatOfACommandThatChangedNothing(t *testing.T) {
	store := newScripted()
	s := NewService(store, quick())
	ctx, orderID := t.Context(), uuid.NewString()
	must := func(result Result[inventory.Stock], err error) Result[inventory.Stock] {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	must(s.ReceiveStock(ctx, Command{}, "A", 10, ""))
	must(s.ReserveStock(ctx, Command{}, "A", orderID, 4))
	command := keyed("reserve", "k", "4")
	first := must(s.ReserveStock(ctx, command, "A", orderID, 4))
	must(s.ReleaseStock(ctx, Command{}, "A", orderID))
	again := must(s.ReserveStock(ctx, command, "A", orderID, 4))
	if !again.Replayed || again.Revision != first.Revision || again.State.Reserved != 4 {
		t.Errorf("first %+v, again %+v", first, again)
	}
	now, err := Load(ctx, s.Executor, Stocks, "A")
	if err != nil || now.State.Reserved != 0 {
		t.Errorf("reserved again: %+v, %v", now.State, err)
	}
}

func TestAnOldKeyIsRecognisedBeyondWhatIsRemembered(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	ctx := t.Context()
	command := keyed("deposit", "k", "7")
	first, err := s.Deposit(ctx, command, id, 7, "EUR", "")
	if err != nil {
		t.Fatal(err)
	}
	for range CommandsRemembered + 50 {
		if _, err := s.Deposit(ctx, Command{}, id, 1, "EUR", ""); err != nil {
			t.Fatal(err)
		}
	}
	again, err := s.Deposit(ctx, command, id, 7, "EUR", "")
	if err != nil || !again.Replayed || again.Revision != first.Revision || again.State.Balance != first.State.Balance {
		t.Errorf("first %+v, again %+v, %v", first, again, err)
	}
}

func TestTwentyAtOnceMakeOne(t *testing.T) {
	store := newScripted()
	replicas := []*Service{NewService(store, quick()), NewService(store, quick()), NewService(store, quick())}
	command := keyed("openAccount", "k", "x")
	results := make([]Result[account.Account], 20)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			var err error
			results[i], err = replicas[i%len(replicas)].OpenAccount(context.Background(), command, OpenAccount{CustomerID: "c1", Currency: "EUR"})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	firsts := 0
	for _, r := range results {
		if r.ID != results[0].ID || r.Revision != 0 || !r.Created {
			t.Errorf("answered %+v", r)
		}
		if !r.Replayed {
			firsts++
		}
		r.Replayed = results[0].Replayed
		if diff := cmp.Diff(results[0], r, ignoreCodec); diff != "" {
			t.Errorf("answers differ:\n%s", diff)
		}
	}
	if firsts != 1 || store.total() != 1 {
		t.Errorf("%d first answers, %d events", firsts, store.total())
	}
}

// A twin in another process that appends the same ids first: the store takes ours for a repeat.
func TestATwinsEventsAreTheTruth(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	stream := "account-" + id
	for _, command := range []Command{
		keyed("deposit", "k", "x"),
		{ID: CommandID("process:fulfilment", "step 1"), Operation: "deposit"},
	} {
		twin := NewService(store, quick())
		var twins Result[account.Account]
		hook := func(c call) error {
			if c.name != "append" || c.stream != stream {
				return nil
			}
			store.before = nil
			var err error
			twins, err = twin.Deposit(context.Background(), command, id, 7, "EUR", "")
			return err
		}
		store.before = hook
		ours, err := s.Deposit(t.Context(), command, id, 7, "EUR", "")
		if err != nil {
			t.Fatal(err)
		}
		if !ours.Replayed || twins.Replayed {
			t.Errorf("replayed: ours %v, the twin's %v", ours.Replayed, twins.Replayed)
		}
		ours.Replayed = false
		if diff := cmp.Diff(twins, ours, ignoreCodec); diff != "" {
			t.Errorf("answers differ (-twin +ours):\n%s", diff)
		}
		// The scripted store panics if the next append follows a hash that is not stored.
		if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADerivedCommandMustNotMakeAnAggregateWithoutAClaim(t *testing.T) {
	s := NewService(newScripted(), quick())
	_, err := s.OpenAccount(t.Context(), Command{ID: CommandID("a", "b")}, OpenAccount{CustomerID: "c1", Currency: "EUR"})
	if domain.KindOf(err) != domain.KindInternal {
		t.Errorf("got %v", err)
	}
}

func TestAReusedCommandWithoutAClaimIsFoundByItsHash(t *testing.T) {
	s, id := opened(t, newScripted(), quick())
	command := Command{ID: CommandID("process:x", "1"), RequestHash: "a"}
	if _, err := s.Deposit(t.Context(), command, id, 1, "EUR", ""); err != nil {
		t.Fatal(err)
	}
	command.RequestHash = "b"
	_, err := s.Deposit(t.Context(), command, id, 2, "EUR", "")
	if refusal, ok := errors.AsType[*domain.Error](err); !ok || refusal.Code != "idempotency_key_reused" {
		t.Errorf("got %v", err)
	}
}

// A twin in another process that claims first, between our look at the claim and our own: both must not
// believe that theirs counts, for each would make another aggregate.
func TestOnlyOneClaimCounts(t *testing.T) {
	store := newScripted()
	s, twin := NewService(store, quick()), NewService(store, quick())
	command := keyed("openAccount", "k", "x")
	open := func(s *Service) Result[account.Account] {
		t.Helper()
		r, err := s.OpenAccount(t.Context(), command, OpenAccount{CustomerID: "c1", Currency: "EUR"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var twins Result[account.Account]
	store.before = func(c call) error {
		if c.name == "append" {
			store.before = nil
			twins = open(twin)
		}
		return nil
	}
	ours := open(s)
	if ours.ID != twins.ID || !ours.Replayed || store.total() != 1 {
		t.Errorf("ours is %s, the twin's %s, %d events", ours.ID, twins.ID, store.total())
	}
}

func TestALostAnswerToAClaimIsNobodysProblem(t *testing.T) {
	for name, lose := range map[string]func(*scripted, func(call) error){
		"claimed":     func(s *scripted, f func(call) error) { s.after = f },
		"not claimed": func(s *scripted, f func(call) error) { s.before = f },
	} {
		store := newScripted()
		s := NewService(store, quick())
		lose(store, once(unknown()))
		r, err := s.OpenAccount(t.Context(), keyed("openAccount", "k", "x"), OpenAccount{CustomerID: "c1", Currency: "EUR"})
		if err != nil || r.Replayed || store.total() != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// One twin finds nothing to change, others undo what it saw, and before it can say so the other twin
// finds something to change. Only one of the two may be the answer.
func TestTwinsAgreeWhereOneFindsNothingToChange(t *testing.T) {
	store := newScripted()
	a, b, third := NewService(store, quick()), NewService(store, quick()), NewService(store, quick())
	ctx, orderID, command := t.Context(), uuid.NewString(), keyed("reserve", "k", "4")
	must := func(r Result[inventory.Stock], err error) Result[inventory.Stock] {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return r
	}
	must(third.ReceiveStock(ctx, Command{}, "A", 10, ""))

	paused, goOn := make(chan struct{}), make(chan struct{})
	var bs Result[inventory.Stock]
	var twin sync.WaitGroup
	pauseTwin := func(c call) error {
		if c.name == "append" && domain.Category(c.stream) == "idempotency" {
			store.before = nil
			close(paused)
			<-goOn
		}
		return nil
	}
	store.before = func(c call) error {
		if c.name != "append" || c.stream != "inventory-A" {
			return nil
		}
		store.before = nil
		must(third.ReserveStock(ctx, Command{}, "A", orderID, 4))
		store.before = pauseTwin
		twin.Go(func() { bs = must(b.ReserveStock(ctx, command, "A", orderID, 4)) })
		<-paused
		must(third.ReleaseStock(ctx, Command{}, "A", orderID))
		return nil // too late: the stream has moved on
	}
	as := must(a.ReserveStock(ctx, command, "A", orderID, 4))
	close(goOn)
	twin.Wait()
	if as.Revision != bs.Revision || as.Replayed || !bs.Replayed {
		t.Errorf("one twin answers revision %d (replayed %v), the other %d (%v)", as.Revision, as.Replayed, bs.Revision, bs.Replayed)
	}
}
