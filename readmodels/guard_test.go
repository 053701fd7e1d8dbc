package readmodels

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// hanging is a document store whose calls, while it hangs, end with their contexts only.
type hanging struct {
	Documents
	hangs atomic.Bool
	asked atomic.Int64
}

func (h *hanging) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	h.asked.Add(1)
	if h.hangs.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return h.Documents.Load(ctx, collection, ids)
}

func TestQueriesStopAskingAStoreThatHangsAndAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var states []bool
		store := &hanging{Documents: newMemory()}
		if err := store.Ensure(t.Context(), Collection{Name: "things"}); err != nil {
			t.Fatal(err)
		}
		g := newGuard(store, func(open bool) { states = append(states, open) })
		load := func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			_, err := g.Load(ctx, "things", []string{"1"})
			return time.Since(began), err
		}
		store.hangs.Store(true)
		for i := range tripAfter {
			if took, err := load(t.Context()); took != loadWithin || domain.CodeOf(err) != "read_store_unavailable" || domain.KindOf(err) != domain.KindUnavailable {
				t.Errorf("call %d: %v after %s", i, err, took)
			}
		}
		for range 20 {
			if took, err := load(t.Context()); took != 0 || domain.CodeOf(err) != "read_store_unavailable" {
				t.Errorf("while open: %v after %s", err, took)
			}
		}
		if store.asked.Load() != tripAfter {
			t.Errorf("asked %d times", store.asked.Load())
		}
		<-time.After(openFor)
		if took, err := load(t.Context()); took != loadWithin || err == nil {
			t.Errorf("the one that tries: %v after %s", err, took)
		}
		store.hangs.Store(false)
		if took, err := load(t.Context()); took != 0 || err == nil {
			t.Errorf("right after a failed try: %v after %s", err, took)
		}
		<-time.After(openFor)
		for range 3 {
			if _, err := load(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(states, []bool{true, false}) {
			t.Errorf("states %v", states)
		}
	})
}

func TestQueriesThatAreGivenUpSayNothingAboutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &hanging{Documents: newMemory()}
		store.hangs.Store(true)
		g := newGuard(store, nil)
		for range 3 * tripAfter {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			if _, err := g.Load(ctx, "things", []string{"1"}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
			cancel()
		}
		if store.asked.Load() != 3*tripAfter {
			t.Errorf("asked %d times", store.asked.Load())
		}
	})
}
