package application

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// fault is how one call to the store goes wrong.
type fault struct {
	name string
	done bool  // the append happens before it fails
	err  error // what the caller hears
	die  bool  // the process dies there: the retry starts from nothing
}

var faults = []fault{
	{name: "not reached", err: unavailable()},
	{name: "not reached, process dies", err: unavailable(), die: true},
	{name: "answer lost, done", err: unknown(), done: true},
	{name: "answer lost, not done", err: unknown()},
	{name: "done, process dies", err: unavailable(), done: true, die: true},
}

// journeys are commands, each with what must have come of it exactly once.
var journeys = []struct {
	name   string
	run    func(*Service, *testing.T) (any, error)
	events int
}{
	{"create", func(s *Service, t *testing.T) (any, error) {
		r, err := s.OpenAccount(t.Context(), keyed("openAccount", "f", "x"), OpenAccount{CustomerID: "c1", Currency: "EUR"})
		return fmt.Sprint(r.ID, r.Revision, r.State, r.Created), err
	}, 1},
	{"change", func(s *Service, t *testing.T) (any, error) {
		r, err := s.ReceiveStock(t.Context(), keyed("receive", "f", "x"), "A", 5, "")
		return fmt.Sprint(r.ID, r.Revision, r.State, r.Created), err
	}, 1},
	{"batch", func(s *Service, t *testing.T) (any, error) {
		r, err := s.HoldStock(t.Context(), keyed("hold", "f", "x"), "A", heldFor, 3)
		return fmt.Sprint(r.ID, r.Revision, r.State, r.Created), err
	}, 2},
	{"nothing to change", func(s *Service, t *testing.T) (any, error) {
		r, err := s.HoldStock(t.Context(), keyed("hold", "f", "y"), "A", heldFor, 2)
		return fmt.Sprint(r.ID, r.Revision, r.State, r.Created), err
	}, 0},
}

var heldFor = uuid.NewString()

// Whatever call fails, and however, the command sent again with its key is applied exactly once, and its
// answer is always the same.
func TestFaultsAtEveryCallApplyOnce(t *testing.T) {
	for _, journey := range journeys {
		for _, fault := range faults {
			t.Run(journey.name+"/"+fault.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					for number := 0; ; number++ {
						if !faultAt(t, number, fault, journey.run, journey.events) {
							return
						}
					}
				})
			})
		}
	}
}

// faultAt runs a journey with one call failing; false means that the journey has no such call.
func faultAt(t *testing.T, number int, f fault, run func(*Service, *testing.T) (any, error), events int) bool {
	t.Helper()
	store := newScripted()
	s := NewService(store, quick())
	for _, err := range []error{
		second(s.ReceiveStock(t.Context(), Command{}, "A", 10, "")),
		second(s.HoldStock(t.Context(), Command{}, "A", heldFor, 2)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	prepared, base, struck := store.total(), store.count(), false
	strike := func(c call, done bool) error {
		if c.number-base != number || c.name == "append" && done != f.done || struck {
			return nil
		}
		struck = true
		return f.err
	}
	store.before = func(c call) error { return strike(c, false) }
	store.after = func(c call) error { return strike(c, true) }

	first, err := run(s, t)
	wasStruck := struck
	struck = true // no more of it
	if err != nil {
		if kind := domain.KindOf(err); kind != domain.KindUnavailable && kind != domain.KindUnknown {
			t.Fatalf("call %d: %v", number, err)
		}
		if f.die {
			s = NewService(store, quick())
		}
	}
	for range 3 {
		again, againErr := run(s, t)
		if againErr != nil {
			t.Fatalf("call %d: the retry: %v", number, againErr)
		}
		if err != nil {
			first, err = again, nil
		}
		if again != first {
			t.Fatalf("call %d: first answer %v, then %v", number, first, again)
		}
		// Something else happens before the next retry, here or elsewhere.
		if err := second(NewService(store, quick()).ReceiveStock(t.Context(), Command{}, "A", 1, "")); err != nil {
			t.Fatal(err)
		}
		prepared++
	}
	if got := store.total() - prepared; got != events {
		t.Fatalf("call %d: %d events, want %d", number, got, events)
	}
	return wasStruck
}

func second(_ Result[inventory.Stock], err error) error { return err }

func TestAnAppendWithoutAnswerIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name    string
			after   func(c call) error
			before  func(c call) error
			unknown bool
		}{
			{name: "it was done", after: once(unknown())},
			{name: "it was not done", before: once(unknown())},
			{name: "it was done thrice without answer", after: times(3, unknown())},
			{name: "it stays without answer", before: times(1<<30, unknown()), unknown: true},
		}
		for _, test := range tests {
			store := newScripted()
			resolved := []bool{}
			options := quick()
			options.Hooks.Unknown = func(_ string, found bool) { resolved = append(resolved, found) }
			s, id := opened(t, store, options)
			store.before, store.after = test.before, test.after
			began := time.Now()
			result, err := s.Deposit(t.Context(), Command{}, id, 5, "EUR", "")
			if test.unknown {
				if domain.KindOf(err) != domain.KindUnknown || domain.CodeOf(err) != "outcome_unknown" || store.total() != 2 {
					t.Errorf("%s: %v", test.name, err)
				}
				if took := time.Since(began); took > options.StoreWait*11/10 {
					t.Errorf("%s: gave up after %v", test.name, took)
				}
			} else if err != nil || result.State.Balance != 10_005 || result.Replayed || store.total() != 3 {
				t.Errorf("%s: %+v, %v", test.name, result, err)
			}
			if len(resolved) != 1 || resolved[0] == test.unknown {
				t.Errorf("%s: reported %v", test.name, resolved)
			}
		}
	})
}

// The answer to an append is lost, or a twin's events stand where the command's would; some calls later the
// store is gone. Whenever that is, nobody is told that nothing was done once the command was carried out.
func TestACommandThatWasCarriedOutIsNeverCalledNotDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, twins := range []bool{false, true} {
			unknowns := 0
			for calls := 0; ; calls++ {
				err := goneAfter(t, calls, twins)
				if err == nil {
					break
				}
				if domain.KindOf(err) == domain.KindUnknown {
					unknowns++
				} else {
					t.Errorf("twin %v, gone %d calls later: %v", twins, calls, err)
				}
			}
			if unknowns < 2 {
				t.Errorf("twin %v: only %d calls could fail", twins, unknowns)
			}
		}
	})
}

// goneAfter carries a command out once at a store that is gone so many calls after its append.
func goneAfter(t *testing.T, calls int, twins bool) error {
	store := newScripted()
	s, id := opened(t, store, quick())
	deposit := func(s *Service) error {
		_, err := s.Deposit(t.Context(), keyed("deposit", "p", "k"), id, 5, "EUR", "")
		return err
	}
	store.before = func(c call) error {
		if c.name != "append" || c.stream != "account-"+id {
			return nil
		}
		store.before = nil
		if twins {
			if err := deposit(NewService(store, quick())); err != nil {
				t.Error(err)
			}
		} else {
			store.after = once(unknown())
		}
		last := store.count() - 1 + calls
		store.before = func(c call) error {
			if c.number > last {
				return unavailable()
			}
			return nil
		}
		return nil
	}
	err := deposit(s)
	if store.total() != 3 {
		t.Errorf("%d events", store.total())
	}
	return err
}

func once(err error) func(call) error { return times(1, err) }

func times(n int, err error) func(call) error {
	return func(c call) error {
		if c.name != "append" || n == 0 {
			return nil
		}
		n--
		return err
	}
}

func TestAnAppendThatLostItsPlaceIsDecidedAnew(t *testing.T) {
	store := newScripted()
	s, id := opened(t, store, quick())
	rival := NewService(store, quick())
	store.before = func(c call) error {
		if c.name != "append" {
			return nil
		}
		store.before = nil
		if _, err := rival.Withdraw(t.Context(), Command{}, id, 9_000, "EUR", "", ""); err != nil {
			t.Error(err)
		}
		return unknown()
	}
	_, err := s.Withdraw(t.Context(), Command{}, id, 2_000, "EUR", "", "")
	if domain.CodeOf(err) != "insufficient_funds" {
		t.Errorf("got %v", err)
	}
}

// A store that never answers is given up on within StoreWait, by all who wait behind as well.
func TestASilentStoreIsGivenUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		options := quick()
		options.StoreWait = 1500 * time.Millisecond
		options.CacheBytes = -1
		s, id := opened(t, store, options)
		silent := silentStore{scripted: store}
		s.store = silent
		began := time.Now()
		failures := make(chan error)
		for range 10 {
			go func() {
				_, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", "")
				failures <- err
			}()
		}
		for range 10 {
			if err := <-failures; domain.KindOf(err) != domain.KindUnavailable || domain.CodeOf(err) != "event_store_unavailable" {
				t.Errorf("got %v", err)
			}
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
		s.store = store
		if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
			t.Errorf("once it answers again: %v", err)
		}
	})
}
