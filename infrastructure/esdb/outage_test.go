package esdb

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// eventually polls until ok or limit has passed.
func eventually(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(limit)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-end.C:
			t.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}

// bounded runs a call with a deadline and complains if it does not keep it.
func bounded(t *testing.T, limit time.Duration, work func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	err := work(ctx)
	if took := time.Since(begun); took > limit+300*time.Millisecond {
		t.Errorf("a call with a deadline of %v took %v", limit, took)
	}
	return err
}

var impatient = Options{Patience: 200 * time.Millisecond, Backoff: 100 * time.Millisecond}

func TestTheStoreRecoversFromACutByItself(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startNode(t).address)
	var connected, disconnected, failed atomic.Int64
	options := impatient
	options.Hooks = Hooks{
		Connected:    func() { connected.Add(1) },
		Disconnected: func(error) { disconnected.Add(1) },
		Called: func(_ string, _ time.Duration, err error) {
			if err != nil {
				failed.Add(1)
			}
		},
	}
	store := open(t, p.address, options)
	stream, after := "order-"+uuid.NewString(), newStream
	for round := range 3 {
		appended, err := store.Append(t.Context(), stream, after, claims(1))
		if err != nil {
			t.Fatal(err)
		}
		after = domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
		p.cut()
		eventually(t, 5*time.Second, "calls fail at once", func() bool {
			begun := time.Now()
			err := bounded(t, time.Second, func(ctx context.Context) error { return store.Ping(ctx) })
			return err != nil && time.Since(begun) < 20*time.Millisecond
		})
		err = bounded(t, time.Second, func(ctx context.Context) error {
			_, err := store.Append(ctx, stream, after, claims(1))
			return err
		})
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("round %d: append during the outage: %v", round, err)
		}
		p.open()
		eventually(t, 5*time.Second, "it is back", func() bool {
			return bounded(t, time.Second, func(ctx context.Context) error { return store.Ping(ctx) }) == nil
		})
	}
	last, ok, err := store.ReadLast(t.Context(), stream)
	if err != nil || !ok || last.Revision != 2 {
		t.Errorf("after three outages: %+v, %v", last, err)
	}
	if connected.Load() != 4 || disconnected.Load() != 3 || failed.Load() == 0 {
		t.Errorf("the hooks saw %d connections, %d losses, %d failed calls", connected.Load(), disconnected.Load(), failed.Load())
	}
}

func TestAnAppendIntoSilenceIsUnknownAndItsRepeatIsNot(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startNode(t).address)
	store := open(t, p.address, impatient)
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	stream, batch := "order-"+uuid.NewString(), claims(2)
	p.silence(true)
	try := func(ctx context.Context) error {
		_, err := store.Append(ctx, stream, newStream, batch)
		return err
	}
	if err := bounded(t, 200*time.Millisecond, try); domain.KindOf(err) != domain.KindUnknown {
		t.Errorf("append into silence: %v", err)
	}
	p.silence(false)
	eventually(t, 10*time.Second, "the repeat succeeds", func() bool { return bounded(t, time.Second, try) == nil })
	count := 0
	for _, err := range store.ReadStream(t.Context(), stream, 0) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 2 {
		t.Errorf("%d events, want 2", count)
	}
}

func TestSubscriptionsSurviveOutages(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	p := startProxy(t, n.address)
	store, direct := open(t, p.address, impatient), open(t, n.address, Options{})
	category := "t" + uuid.NewString()[:8]

	var mu sync.Mutex
	var tailed []int64
	consumed := map[int64]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	running.Go(func() {
		_ = store.Tail(ctx, domain.From{}, []string{category + "-"}, func(_ context.Context, batch []domain.Delivery, _ uint64, _ bool) error {
			mu.Lock()
			defer mu.Unlock()
			for _, delivery := range batch {
				tailed = append(tailed, delivery.Revision)
			}
			return nil
		})
	})
	running.Go(func() {
		group := domain.Group{Name: "g-" + category, Prefixes: []string{category + "-"}}
		_ = store.Consume(ctx, group, application.Batching{Size: 10}, func(_ context.Context, batch []domain.Delivery) []error {
			mu.Lock()
			defer mu.Unlock()
			for _, delivery := range batch {
				consumed[delivery.Revision] = true
			}
			return make([]error, len(batch))
		})
	})
	stream, after := category+"-1", newStream
	var want []int64
	for round := range 4 {
		appended, err := direct.Append(t.Context(), stream, after, claims(25))
		if err != nil {
			t.Fatal(err)
		}
		after = domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
		for i := range int64(25) {
			want = append(want, int64(round)*25+i)
		}
		if round == 2 { // the server goes away and comes back
			n.stop()
			n.start()
		}
		eventually(t, 15*time.Second, fmt.Sprintf("round %d is delivered", round), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(tailed) >= len(want) && len(consumed) >= len(want)
		})
		p.cut()
		p.open()
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff(want, tailed); diff != "" {
		t.Errorf("the tail has gaps or repeats:\n%s", diff)
	}
}

func TestASilentConnectionIsReplaced(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes seconds")
	}
	p := startProxy(t, startNode(t).address)
	store := open(t, p.address, impatient)
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.silence(true)
	err := bounded(t, 100*time.Millisecond, func(ctx context.Context) error {
		_, _, err := store.ReadLast(ctx, "order-1")
		return err
	})
	if domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("read into silence: %v", err)
	}
	eventually(t, 10*time.Second, "calls fail at once, without waiting for their deadline", func() bool {
		begun := time.Now()
		err := bounded(t, 200*time.Millisecond, store.Ping)
		return err != nil && time.Since(begun) < 20*time.Millisecond
	})
	p.silence(false)
	eventually(t, 10*time.Second, "it is back", func() bool { return bounded(t, time.Second, store.Ping) == nil })
}

func TestOutagesLeaveNothingBehind(t *testing.T) {
	n := startNode(t)
	direct := open(t, n.address, Options{})
	if err := direct.Ping(t.Context()); err != nil { // the node starts some of its goroutines when it is first used
		t.Fatal(err)
	}
	p := startProxy(t, n.address)
	before := runtime.NumGoroutine()
	store, err := Open("esdb://"+p.address+"?tls=false", impatient)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		eventually(t, 5*time.Second, "connected", func() bool { return store.Ping(t.Context()) == nil })
		var callers sync.WaitGroup
		for range 20 {
			callers.Go(func() {
				for range 5 {
					_ = bounded(t, 100*time.Millisecond, store.Ping)
				}
			})
		}
		p.cut()
		callers.Wait()
		p.open()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := store.Close(ctx); err != nil {
		t.Fatal(err)
	}
	p.cut()
	eventually(t, 10*time.Second, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
	p.open()
	if err := store.Ping(t.Context()); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("a closed store answers %v", err)
	}
}
