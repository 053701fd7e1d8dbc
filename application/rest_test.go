package application

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// taken are the revisions of the snapshots in a stream's snapshot stream.
func (s *scripted) taken(stream string) []int64 {
	var revisions []int64
	for _, r := range s.events(snapshotPrefix + stream) {
		revisions = append(revisions, r.Event.(domain.SnapshotTaken).Revision)
	}
	return revisions
}

// pass lets the bubble's clock go on.
func pass(d time.Duration) { <-time.After(d) }

func TestAStreamAtRestLosesItsTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		s, id := opened(t, store, quick()) // two events
		go s.Run(t.Context())
		deposits := func(n int, pause time.Duration) {
			t.Helper()
			for range n {
				if _, err := s.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
					t.Fatal(err)
				}
				pass(pause)
			}
			synctest.Wait()
		}
		expect := func(what string, want ...int64) {
			t.Helper()
			if diff := cmp.Diff(want, store.taken("account-"+id)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", what, diff)
			}
		}
		deposits(50, 0)
		pass(time.Minute)
		expect("a short stream at rest")
		deposits(48+50, 0)
		expect("not at rest yet", 99)
		pass(3 * restFor)
		synctest.Wait()
		expect("at rest", 99, 149)
		pass(time.Hour)
		expect("at rest for long", 99, 149)
		deposits(restTail-1, 2*restFor)
		expect("a slow stream", 99, 149)
		deposits(restTail, 2*restFor)
		expect("a slow stream goes on", 99, 149, 159)
		deposits(21, restFor/2) // the last multiple is as good as before
		expect("a stream that never rests", 99, 149, 159)
		deposits(20, 0)
		expect("a multiple", 99, 149, 159, 199)
	})
}

// What a process without anything in memory finds long, it makes short for the next.
func TestALongTailIsFoldedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newScripted()
		writer, id := opened(t, store, quick())
		go writer.Run(t.Context())
		for range 150 {
			if _, err := writer.Deposit(t.Context(), Command{}, id, 1, "EUR", ""); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		folded := func() (events int) {
			options := quick()
			options.Hooks.Loaded = func(_ string, start Start, n int) { events = n }
			if _, err := Load(t.Context(), NewExecutor(store, options), Accounts, id); err != nil {
				t.Fatal(err)
			}
			return events
		}
		if n := folded(); n != 52 {
			t.Errorf("%d events were folded", n)
		}
		pass(2 * restFor)
		synctest.Wait()
		if n := folded(); n != 0 {
			t.Errorf("%d events were folded once the stream had rested", n)
		}
	})
}

func TestWatchingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := resting{noted: map[string]noted{}}
		for i := range 10 * restNoted {
			r.note(snapshotJob{stream: strings.Repeat("x", i)}, 1)
		}
		if len(r.noted) != restNoted {
			t.Errorf("%d streams are watched", len(r.noted))
		}
		pass(restFor)
		r.note(snapshotJob{stream: "x"}, 2)
		if jobs := r.rested(); len(jobs) != restNoted-1 || len(r.noted) != 1 {
			t.Errorf("%d rested, %d are still watched", len(jobs), len(r.noted))
		}
	})
}
