package application

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"pgregory.net/rapid"
)

// Time travel equals a recording taken at the time, by revision and by time, with snapshots or without.
func TestTimeTravelEqualsARecording(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		store, options := newScripted(), quick()
		options.SnapshotEvery = rapid.SampledFrom([]int{-1, 1, 3, 10}).Draw(rt, "snapshots")
		if rapid.Bool().Draw(rt, "no cache") {
			options.CacheBytes = -1
		}
		s, id := opened(t, store, options)
		type moment struct {
			at   time.Time
			then Result[account.Account]
		}
		var recording []moment
		for range rapid.IntRange(1, 25).Draw(rt, "commands") {
			then, err := s.Deposit(t.Context(), Command{}, id, rapid.Int64Range(1, 9).Draw(rt, "amount"), "EUR", "")
			if err != nil {
				rt.Fatal(err)
			}
			recording = append(recording, moment{options.Clock.Now(), then})
			for len(s.snapshots.jobs) > 0 {
				if err := s.snapshots.write(t.Context(), <-s.snapshots.jobs); err != nil {
					rt.Fatal(err)
				}
			}
		}
		for _, m := range recording {
			byRevision, err := StateAt(t.Context(), s.Executor, Accounts, "", id, Point{Revision: &m.then.Revision})
			if err != nil {
				rt.Fatal(err)
			}
			byTime, err := StateAt(t.Context(), s.Executor, Accounts, "c1", id, Point{AsOf: m.at})
			if err != nil {
				rt.Fatal(err)
			}
			for how, got := range map[string]Loaded[account.Account]{"revision": byRevision, "time": byTime} {
				if diff := cmp.Diff(m.then.State, got.State); diff != "" || got.Revision != m.then.Revision {
					rt.Fatalf("by %s at revision %d, got %d (-then +now):\n%s", how, m.then.Revision, got.Revision, diff)
				}
			}
		}
	})
}

func TestTimesWithoutAState(t *testing.T) {
	s, id := opened(t, newScripted(), quick())
	at := func(n int64) *int64 { return &n }
	tests := []struct {
		name     string
		customer string
		id       string
		point    Point
		found    bool
	}{
		{"now", "", id, Point{}, true},
		{"now, by its owner", "c1", id, Point{}, true},
		{"now, by somebody else", "c2", id, Point{}, false},
		{"then, by somebody else", "c2", id, Point{Revision: at(0)}, false},
		{"before it was made", "", id, Point{AsOf: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, false},
		{"at the very moment", "", id, Point{AsOf: time.Date(2026, 3, 1, 12, 0, 1, 123456000, time.UTC)}, true},
		{"at a revision to come", "", id, Point{Revision: at(2)}, false},
		{"both agree", "", id, Point{Revision: at(1), AsOf: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, true},
		{"nothing", "", "none", Point{}, false},
		{"no name", "", "a/b", Point{}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := StateAt(t.Context(), s.Executor, Accounts, test.customer, test.id, test.point)
			if found := err == nil; found != test.found || err != nil && domain.KindOf(err) != domain.KindNotFound {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A clock that was ahead doesn't make a state of events that never stood together.
func TestTimeTravelUnderShuffledClocks(t *testing.T) {
	store := newScripted()
	clock := newTicking()
	options := quick()
	options.Clock = clock
	s, id := opened(t, store, options)
	deposit := func(at time.Time, amount int64) {
		t.Helper()
		clock.now = at
		if _, err := s.Deposit(t.Context(), Command{}, id, amount, "EUR", ""); err != nil {
			t.Fatal(err)
		}
	}
	noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	deposit(noon.Add(time.Hour), 1)
	deposit(noon, 2) // by a replica whose clock is an hour behind
	got, err := StateAt(t.Context(), s.Executor, Accounts, "", id, Point{AsOf: noon.Add(time.Minute)})
	if err != nil || got.Revision != 1 || got.State.Balance != 10_000 {
		t.Errorf("%+v, %v", got, err)
	}
}
