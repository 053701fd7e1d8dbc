package application

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// bubbleAlarms is the clock of the bubble that a test runs in.
type bubbleAlarms struct{}

func (bubbleAlarms) Now() time.Time { return time.Now() }

func (bubbleAlarms) Ring(d time.Duration) (<-chan time.Time, func()) {
	timer := time.NewTimer(d)
	return timer.C, func() { timer.Stop() }
}

// agenda is an index that a test writes, and what the timers did with it.
type agenda struct {
	mu    sync.Mutex
	began time.Time
	at    map[string]time.Duration // since began
	looks []string
	asked int
	fail  error // of the index
	stays bool  // looking changes nothing
	err   error // of a look
}

func newAgenda(at map[string]time.Duration) *agenda { return &agenda{began: time.Now(), at: at} }

func (a *agenda) Due(_ context.Context, now time.Time, limit int) (due []Deadline, next time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked++
	if a.fail != nil {
		return nil, time.Time{}, a.fail
	}
	for id, after := range a.at {
		at := a.began.Add(after)
		switch {
		case !at.After(now):
			due = append(due, Deadline{OrderID: id, At: at})
		case next.IsZero() || at.Before(next):
			next = at
		}
	}
	slices.SortFunc(due, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return due[:min(limit, len(due))], next, nil
}

func (a *agenda) look(_ context.Context, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.looks = append(a.looks, fmt.Sprintf("%s@%s", id, time.Since(a.began)))
	if !a.stays {
		delete(a.at, id)
	}
	return a.err
}

func (a *agenda) set(id string, after time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[id] = after
}

// during runs timers over the agenda for a while, and gives the looks they took.
func (a *agenda) during(t *testing.T, d time.Duration, options TimersOptions, meanwhile func(*Timers)) []string {
	ctx, cancel := context.WithCancel(t.Context())
	timers := NewTimers(a, a.look, bubbleAlarms{}, options)
	var running sync.WaitGroup
	running.Go(func() {
		if err := timers.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	if meanwhile != nil {
		meanwhile(timers)
	}
	<-time.After(d)
	cancel()
	running.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.looks
}

func TestTimersLookExactlyAtTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"past": -time.Hour, "soon": 1500 * time.Millisecond, "later": time.Minute + time.Microsecond})
		got := a.during(t, 2*time.Minute, TimersOptions{}, nil)
		if diff := cmp.Diff([]string{"past@0s", "soon@1.5s", "later@1m0.000001s"}, got); diff != "" {
			t.Error(diff)
		}
		if most := 2*60/5 + 8; a.asked > most {
			t.Errorf("the index was asked %d times, more than %d", a.asked, most)
		}
	})
}

func TestTimersAreArmedAnewAtAStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"missed": 30 * time.Second, "next": 3 * time.Minute})
		a.during(t, 10*time.Second, TimersOptions{}, nil)
		<-time.After(time.Minute) // nobody is there
		got := a.during(t, 5*time.Minute, TimersOptions{}, nil)
		if diff := cmp.Diff([]string{"missed@1m10s", "next@3m0s"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTimersWakeForAnEarlierDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"far": time.Hour})
		got := a.during(t, 10*time.Minute, TimersOptions{Recheck: time.Hour}, func(timers *Timers) {
			<-time.After(time.Minute)
			for after := range 5 { // only the earliest counts
				timers.Wake(a.began.Add(2*time.Minute + time.Duration(4-after)*time.Second))
			}
			a.set("near", 2*time.Minute)
		})
		if diff := cmp.Diff([]string{"near@2m0s"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

// An order that stays in the index is looked at again, less and less often, and keeps nobody else waiting.
func TestWhatStaysDueIsLookedAtLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"stuck": 0})
		a.stays, a.err = true, errors.New("no")
		got := a.during(t, 5*time.Minute, TimersOptions{}, nil)
		want := []string{"stuck@0s", "stuck@2s", "stuck@6s", "stuck@14s", "stuck@30s", "stuck@1m2s", "stuck@2m2s", "stuck@3m2s", "stuck@4m2s"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestANewDeadlineOfALookedAtOrderCountsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"x": time.Second})
		a.stays = true
		got := a.during(t, 3*time.Second, TimersOptions{Backoff: time.Minute}, func(timers *Timers) {
			<-time.After(1100 * time.Millisecond)
			a.set("x", 1200*time.Millisecond)
			timers.Wake(a.began.Add(1200 * time.Millisecond))
		})
		if diff := cmp.Diff([]string{"x@1s", "x@1.2s"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTimersSurviveASilentIndexAndManyDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := map[string]time.Duration{}
		for i := range 1000 {
			at[fmt.Sprint(i)] = 0
		}
		a := newAgenda(at)
		a.fail = unavailable()
		got := a.during(t, time.Minute, TimersOptions{Page: 50}, func(*Timers) {
			<-time.After(7 * time.Second)
			a.mu.Lock()
			defer a.mu.Unlock()
			a.fail = nil
		})
		if len(got) != 1000 || len(at) != 0 {
			t.Errorf("%d looks, %d left", len(got), len(at))
		}
		for _, look := range got {
			if _, after, _ := strings.Cut(look, "@"); after != "10s" {
				t.Fatalf("looked %s", look)
			}
		}
	})
}

// TestHowLongTheMostOverdueOrderWaits is told, and that none does any more.
func TestHowLongTheMostOverdueOrderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgenda(map[string]time.Duration{"a": time.Minute, "b": 2 * time.Minute})
		a.stays = true
		var by time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		timers := NewTimers(a, a.look, bubbleAlarms{}, TimersOptions{Overdue: func(d time.Duration) { by = d }})
		ended := make(chan error, 1)
		go func() { ended <- timers.Run(ctx) }()
		<-time.After(10*time.Minute + time.Second)
		synctest.Wait()
		if by < 9*time.Minute-10*time.Second || by > 9*time.Minute+time.Second {
			t.Errorf("overdue by %s", by)
		}
		a.mu.Lock()
		a.at = nil
		a.mu.Unlock()
		<-time.After(10 * time.Second)
		synctest.Wait()
		if by != 0 {
			t.Errorf("overdue by %s, and nothing is due", by)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
