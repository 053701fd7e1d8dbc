package eventlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func openLog(t *testing.T, options Options) *Log {
	t.Helper()
	log, err := Open(filepath.Join(t.TempDir(), "events.db"), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return log
}

func one(name string) []Proposed { return []Proposed{{ID: id(name), Type: "t"}} }

func TestConcurrentWritersTakeTurns(t *testing.T) {
	log := openLog(t, Options{Relaxed: true, TailEvents: 20})
	ctx := context.Background()
	const writers, each = 8, 40
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				for done := false; !done; {
					state, err := log.StreamState(ctx, "order-1")
					if err == nil {
						_, err = log.Append(ctx, "order-1", state.Last, one(fmt.Sprintf("%d.%d", w, i)))
					}
					var wrong *WrongVersion
					if err != nil && !errors.As(err, &wrong) {
						t.Errorf("append: %v", err)
						return
					}
					done = err == nil
				}
			}
		})
	}
	group.Wait()
	page, err := log.ReadStream(ctx, StreamQuery{Stream: "order-1", Limit: 1000})
	if err != nil || len(page.Events) != writers*each {
		t.Fatalf("%d events, %v; want %d", len(page.Events), err, writers*each)
	}
	seen := map[[16]byte]bool{}
	for i, r := range page.Events {
		if r.Event.Revision != int64(i) || seen[r.Event.ID] {
			t.Fatalf("event %d has revision %d, seen before: %v", i, r.Event.Revision, seen[r.Event.ID])
		}
		seen[r.Event.ID] = true
	}
	stats := log.Stats()
	if stats.Appends != writers*each || stats.Events != writers*each || stats.Streams != 1 || stats.Commits > stats.Appends {
		t.Errorf("stats: %+v", stats)
	}
}

// TestFollowerMissesNothing follows the log and a stream by Changed while others write, with a tail so
// short that it has to go back to the file.
func TestFollowerMissesNothing(t *testing.T) {
	log := openLog(t, Options{Relaxed: true, TailEvents: 5})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	const writers, each = 4, 150
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range each {
				if _, err := log.Append(ctx, fmt.Sprintf("order-%d", w), int64(i)-1, one(fmt.Sprintf("%d.%d", w, i))); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	group.Go(func() { followLog(ctx, t, log, writers*each) })
	group.Go(func() { followStream(ctx, t, log, each) })
	group.Wait()
}

// followLog reads the log by small pages until it saw n events.
func followLog(ctx context.Context, t *testing.T, log *Log, n int) {
	from, seen := int64(0), 0
	for seen < n {
		changed := log.Changed()
		page, err := log.ReadAll(ctx, AllQuery{From: from, Limit: 7})
		if err != nil {
			t.Errorf("follow the log: %v", err)
			return
		}
		for _, r := range page.Events {
			if seen++; r.Event.Position != int64(seen) {
				t.Errorf("event %d is at %d", seen, r.Event.Position)
				return
			}
		}
		if from = page.Next; page.End && seen < n && !waitFor(ctx, changed) {
			t.Errorf("saw %d events of the log", seen)
			return
		}
	}
}

// followStream reads a stream by small pages until it saw n events.
func followStream(ctx context.Context, t *testing.T, log *Log, n int64) {
	for next := int64(0); next < n; {
		changed := log.Changed()
		page, err := log.ReadStream(ctx, StreamQuery{Stream: "order-2", From: next, Limit: 3})
		if err != nil && !errors.Is(err, ErrNotFound) {
			t.Errorf("follow a stream: %v", err)
			return
		}
		for _, r := range page.Events {
			if r.Event.Revision != next {
				t.Errorf("revision %d; want %d", r.Event.Revision, next)
				return
			}
			next++
		}
		if (err != nil || page.End) && next < n && !waitFor(ctx, changed) {
			t.Errorf("saw %d events of the stream", next)
			return
		}
	}
}

func waitFor(ctx context.Context, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-ctx.Done():
		return false
	}
}

// TestNewestEventsNeedNoFile reads near the head, and missing and idle streams, from memory alone.
func TestNewestEventsNeedNoFile(t *testing.T) {
	log := openLog(t, Options{Relaxed: true})
	ctx := context.Background()
	for i := range 10 {
		if _, err := log.Append(ctx, "order-1", int64(i)-1, one(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	before := log.Stats().FileReads
	for from := range int64(12) {
		if _, err := log.ReadStream(ctx, StreamQuery{Stream: "order-1", From: from}); err != nil {
			t.Fatal(err)
		}
		if _, err := log.ReadAll(ctx, AllQuery{From: from + 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := log.StreamState(ctx, "order-1"); err != nil {
			t.Fatal(err)
		}
	}
	if n := log.Stats().FileReads - before; n != 0 {
		t.Errorf("%d reads went to the file", n)
	}
}

// eventually waits for a minute: only a test that fails needs it.
func eventually(t *testing.T, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never came to hold")
		}
	}
}

// hold makes the writer busy until the returned function is called.
func hold(t *testing.T, log *Log) (release func()) {
	t.Helper()
	entered, leave := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := log.do(context.Background(), 0, func(*ledger) error { close(entered); <-leave; return nil }); err != nil {
			t.Error(err)
		}
	})
	<-entered
	return func() { close(leave); group.Wait() }
}

func TestCancelledWhileQueuedIsNotWritten(t *testing.T) {
	log := openLog(t, Options{Relaxed: true})
	release := hold(t, log)
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error)
	go func() {
		_, err := log.Append(ctx, "order-1", Any, one("a"))
		answered <- err
	}()
	eventually(t, func() bool { return len(log.queue) == 1 })
	cancel()
	if err := <-answered; !errors.Is(err, context.Canceled) {
		t.Errorf("answered %v", err)
	}
	release()
	if _, err := log.Append(context.Background(), "order-1", NoStream, one("b")); err != nil {
		t.Errorf("the cancelled append was written: %v", err)
	}
}

func TestCloseRefusesWhatIsQueued(t *testing.T) {
	log := openLog(t, Options{Relaxed: true})
	ctx := context.Background()
	release := hold(t, log)
	answers := make(chan error)
	for i := range 5 {
		go func() {
			_, err := log.Append(ctx, fmt.Sprintf("order-%d", i), Any, one("a"))
			answers <- err
		}()
	}
	eventually(t, func() bool { return len(log.queue) == 5 })
	closed := make(chan error)
	go func() { closed <- log.Close() }()
	<-log.closing
	release()
	for range 5 {
		if err := <-answers; !errors.Is(err, ErrClosed) {
			t.Errorf("answered %v", err)
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if _, err := log.Append(ctx, "order-1", Any, one("a")); !errors.Is(err, ErrClosed) {
		t.Errorf("append after close: %v", err)
	}
	if _, err := log.ReadStream(ctx, StreamQuery{Stream: "order-1"}); !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
	if _, err := log.ReadAll(ctx, AllQuery{}); !errors.Is(err, ErrClosed) {
		t.Errorf("read all after close: %v", err)
	}
	if err := log.Check(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("check after close: %v", err)
	}
}

func TestGroupCommitJudgesInOrder(t *testing.T) {
	log := openLog(t, Options{})
	ctx := context.Background()
	release := hold(t, log)
	answers := make([]error, 3)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { _, answers[i] = log.Append(ctx, "order-1", NoStream, one(fmt.Sprint(i))) })
	}
	eventually(t, func() bool { return len(log.queue) == len(answers) })
	commits := log.Stats().Commits
	release()
	group.Wait()
	refusals := 0
	for _, err := range answers {
		var wrong *WrongVersion
		if errors.As(err, &wrong) && wrong.Current == 0 {
			refusals++
		} else if err != nil {
			t.Error(err)
		}
	}
	if n := log.Stats().Commits - commits; refusals != 2 || n != 1 {
		t.Errorf("%d refusals in %d commits; want 2 in 1", refusals, n)
	}
}
