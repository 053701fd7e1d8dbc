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

// patience bounds every wait of a test. Only a test that fails needs it, so it is generous.
const patience = time.Minute

// eventually polls until ok or patience is at its end.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
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

// bounded runs a call with a deadline and complains if it does not keep it. Who ignores deadlines would stay
// for ever here: half of patience tells that from a machine that has no time for us.
func bounded(t *testing.T, limit time.Duration, work func(ctx context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	begun := time.Now()
	err := work(ctx)
	if took := time.Since(begun); took > limit+patience/2 {
		t.Errorf("a call with a deadline of %v took %v", limit, took)
	}
	return err
}

// connected waits until a store has its connection, for which an impatient one waits but briefly.
func connected(t *testing.T, store *Store) {
	t.Helper()
	eventually(t, "connected", func() bool { return store.Ping(t.Context()) == nil })
}

// unanswered runs a call that gets no answer until its time is over. On a busy machine that may be before the
// call was sent, and then it is certain that nothing was done; so it gets more time.
func unanswered(t *testing.T, work func(ctx context.Context) error) error {
	t.Helper()
	for limit := 200 * time.Millisecond; ; limit *= 4 {
		if err := bounded(t, limit, work); domain.KindOf(err) != domain.KindUnavailable || limit > patience {
			return err
		}
	}
}

// impatient are options of a store that is cut off on purpose.
var impatient = Options{Patience: 200 * time.Millisecond, Backoff: 100 * time.Millisecond}

func TestTheStoreRecoversFromACutByItself(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startNode(t).address)
	var gained, lost, failed atomic.Int64
	options := impatient
	options.Hooks = Hooks{
		Connected:    func() { gained.Add(1) },
		Disconnected: func(error) { lost.Add(1) },
		Called: func(_ string, _ time.Duration, err error) {
			if err != nil {
				failed.Add(1)
			}
		},
	}
	store := open(t, p.address, options)
	connected(t, store)
	stream, after := "order-"+uuid.NewString(), newStream
	for round := range 3 {
		appended, err := store.Append(t.Context(), stream, after, claims(1))
		if err != nil {
			t.Fatal(err)
		}
		after = domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
		p.cut()
		eventually(t, "calls fail at once", func() bool {
			begun := time.Now()
			err := bounded(t, time.Second, func(ctx context.Context) error { return store.Ping(ctx) })
			return err != nil && time.Since(begun) < impatient.Patience/2
		})
		err = bounded(t, time.Second, func(ctx context.Context) error {
			_, err := store.Append(ctx, stream, after, claims(1))
			return err
		})
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("round %d: append during the outage: %v", round, err)
		}
		p.open()
		eventually(t, "it is back", func() bool {
			return bounded(t, 10*time.Second, func(ctx context.Context) error { return store.Ping(ctx) }) == nil
		})
	}
	last, ok, err := store.ReadLast(t.Context(), stream)
	if err != nil || !ok || last.Revision != 2 {
		t.Errorf("after three outages: %+v, %v", last, err)
	}
	// A call may use a connection before its hook has run, and on a busy machine more connections than those cut are lost.
	eventually(t, "the hooks saw each loss and each connection", func() bool {
		return lost.Load() >= 3 && gained.Load() == lost.Load()+1 && failed.Load() > 0
	})
}

func TestAnAppendIntoSilenceIsUnknownAndItsRepeatIsNot(t *testing.T) {
	t.Parallel()
	p := startProxy(t, startNode(t).address)
	store := open(t, p.address, impatient)
	connected(t, store)
	stream, batch := "order-"+uuid.NewString(), claims(2)
	p.silence(true)
	try := func(ctx context.Context) error {
		_, err := store.Append(ctx, stream, newStream, batch)
		return err
	}
	if err := unanswered(t, try); domain.KindOf(err) != domain.KindUnknown {
		t.Errorf("append into silence: %v", err)
	}
	p.silence(false)
	eventually(t, "the repeat succeeds", func() bool { return bounded(t, 10*time.Second, try) == nil })
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
	store, direct := open(t, p.address, impatient), open(t, n.address, Options{}) // the latter waits while the node restarts
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
		eventually(t, fmt.Sprintf("round %d is delivered", round), func() bool {
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
	connected(t, store)
	p.silence(true)
	err := bounded(t, 100*time.Millisecond, func(ctx context.Context) error {
		_, _, err := store.ReadLast(ctx, "order-1")
		return err
	})
	if domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("read into silence: %v", err)
	}
	eventually(t, "calls fail at once, without waiting for their deadline", func() bool {
		begun := time.Now()
		err := bounded(t, 200*time.Millisecond, store.Ping)
		return err != nil && time.Since(begun) < impatient.Patience/2
	})
	p.silence(false)
	eventually(t, "it is back", func() bool { return bounded(t, 10*time.Second, store.Ping) == nil })
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
		connected(t, store)
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
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := store.Close(ctx); err != nil {
		t.Fatal(err)
	}
	p.cut()
	eventually(t, "all goroutines ended", func() bool { return runtime.NumGoroutine() <= before })
	p.open()
	if err := store.Ping(t.Context()); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("a closed store answers %v", err)
	}
}
