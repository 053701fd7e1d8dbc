package readmodels

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// mortal is the document store as a process sees it that is killed at its n-th write: that one and
// everything after it is not done, and nothing is answered any more.
type mortal struct {
	*memory
	mu     sync.Mutex
	writes int
	limit  int
	dead   chan struct{}
}

func newMortal(store *memory, limit int) *mortal {
	return &mortal{memory: store, limit: limit, dead: make(chan struct{})}
}

func (k *mortal) alive(write bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if write {
		k.writes++
		if k.writes == k.limit {
			close(k.dead)
		}
	}
	if k.writes >= k.limit {
		return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The process is dead."}
	}
	return nil
}

func (k *mortal) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	if err := k.alive(true); err != nil {
		return nil, err
	}
	return k.memory.Write(ctx, collection, puts)
}

func (k *mortal) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if err := k.alive(false); err != nil {
		return nil, err
	}
	return k.memory.Load(ctx, collection, ids)
}

func (k *mortal) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	if err := k.alive(false); err != nil {
		return nil, err
	}
	return k.memory.Find(ctx, collection, find)
}

func (k *mortal) Delete(ctx context.Context, collection string, ids []string) error {
	if err := k.alive(true); err != nil {
		return err
	}
	return k.memory.Delete(ctx, collection, ids)
}

func (k *mortal) Drop(ctx context.Context, collection string) error {
	if err := k.alive(true); err != nil {
		return err
	}
	return k.memory.Drop(ctx, collection)
}

// A rebuild with its switch is killed at each of its writes. Whatever was done by then, the readers of another
// process, which poll throughout, find every document and none that goes back, and yet another process brings the
// work to its end.
func TestRebuildKilledAtEachStep(t *testing.T) {
	for limit := 1; ; limit++ {
		s, store := newScript(), newMemory()
		stocked(s, 4)
		first := s.side(store)
		if err := first.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		deliver(t, first, s.deliveries())
		still := poll(t, s.side(store), limit)
		dying := newMortal(store, limit)
		e := s.side(dying)
		e.Start(t.Context())
		job, err := e.Operations().Rebuild(t.Context(), "stock_levels", "olga", true)
		ended := err != nil || endedOrDead(t, e, dying, job)
		e.Stop()
		if ended && err == nil && dying.writes < limit {
			still()
			if limit < 8 {
				t.Fatalf("a rebuild takes only %d writes", limit)
			}
			return // it was done before it could be killed
		}
		heir := s.side(store, func(o *Options) { o.DeadAfter = time.Millisecond })
		stop := follow(t, heir, true)
		wholeStock(t, heir, limit)
		eventually(t, fmt.Sprintf("the job killed at write %d is over", limit), func() bool {
			heir.operations.adopt(t.Context())
			for _, job := range must(heir.Operations().Jobs(t.Context(), 0)) {
				if job.State == JobRunning {
					return false
				}
			}
			return must(heir.registry.fresh(t.Context(), stockLevels)).Job == ""
		})
		wholeStock(t, heir, limit)
		done(t, heir, must(heir.Operations().Rebuild(t.Context(), "stock_levels", "olga", true)))
		sameStock(t, s, heir)
		still()
		stop()
	}
}

// poll lets two readers look at everything again and again, until the returned function is called.
func poll(t *testing.T, e *Engine, limit int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var looked atomic.Int64
	for range 2 {
		readers.Go(func() {
			for ctx.Err() == nil {
				list, err := stockList.answer(t.Context(), e.Reader(), Ask{})
				if err != nil || len(list.Items) != 4 {
					t.Errorf("killed at write %d: a reader sees %d of 4 documents (%v)", limit, len(list.Items), err)
					return
				}
				for _, item := range list.Items {
					if stock := item.(Stock); stock.OnHand != 15 || stock.Revision != 2 {
						t.Errorf("killed at write %d: a reader sees %+v", limit, stock)
						return
					}
				}
				looked.Add(1)
				rest(ctx, 100*time.Microsecond)
			}
		})
	}
	return func() {
		t.Helper()
		for looked.Load() == 0 && !t.Failed() { // a busy machine may not have let them yet
			rest(t.Context(), time.Millisecond)
		}
		cancel()
		readers.Wait()
	}
}

func endedOrDead(t *testing.T, e *Engine, k *mortal, job Job) bool {
	for {
		select {
		case <-k.dead:
			return false
		case <-time.After(time.Millisecond):
		}
		if now, err := e.Operations().Job(t.Context(), job.ID); err == nil && now.State != JobRunning {
			return true
		}
	}
}

func wholeStock(t *testing.T, e *Engine, limit int) {
	t.Helper()
	list, err := stockList.answer(t.Context(), e.Reader(), Ask{})
	if err != nil || len(list.Items) != 4 {
		t.Fatalf("killed at write %d: readers see %d of 4 documents (%v)", limit, len(list.Items), err)
	}
	for _, item := range list.Items {
		if stock := item.(Stock); stock.OnHand != 15 || stock.Revision != 2 {
			t.Fatalf("killed at write %d: readers see %+v", limit, stock)
		}
	}
}
