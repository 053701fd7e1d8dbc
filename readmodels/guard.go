package readmodels

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// How long queries wait for the document store, and when they no longer ask it.
const (
	loadWithin  = 2 * time.Second // documents by their ids
	findWithin  = 5 * time.Second // lists and sums
	writeWithin = 5 * time.Second // what a projector reads or writes at once
	tripAfter   = 5               // calls in a row without an answer
	openFor     = time.Second     // then one call tries
)

// guard stands between queries and the document store. A store that hangs must not make each query hang
// with it: calls are bounded, and once several in a row had no answer the rest fail at once, until one
// that tries gets through again. Single documents are then folded from their events.
type guard struct {
	Documents
	now     func() time.Time
	changed func(open bool)

	mu       sync.Mutex
	failures int
	open     bool
	until    time.Time // when the next call may try
}

func newGuard(documents Documents, changed func(open bool)) *guard {
	if changed == nil {
		changed = func(bool) {}
	}
	return &guard{Documents: documents, now: time.Now, changed: changed}
}

// Load implements Documents.
func (g *guard) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	return guarded(ctx, g, loadWithin, func(ctx context.Context) ([]Document, error) { return g.Documents.Load(ctx, collection, ids) })
}

// Find implements Documents.
func (g *guard) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	return guarded(ctx, g, findWithin, func(ctx context.Context) ([]Document, error) { return g.Documents.Find(ctx, collection, find) })
}

// Group implements Documents.
func (g *guard) Group(ctx context.Context, collection string, grouping Grouping) ([]Total, error) {
	return guarded(ctx, g, findWithin, func(ctx context.Context) ([]Total, error) { return g.Documents.Group(ctx, collection, grouping) })
}

func guarded[T any](ctx context.Context, g *guard, within time.Duration, call func(context.Context) (T, error)) (T, error) {
	var none T
	if !g.admits() {
		return none, readStoreSilent(errors.New("not asked: it has not answered for a while"))
	}
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	value, err := call(bounded)
	switch {
	case err != nil && ctx.Err() != nil: // the caller's own end says nothing about the store
		g.forgive()
	case err != nil && bounded.Err() != nil:
		g.failed()
		return none, readStoreSilent(err)
	case err != nil && domain.CodeOf(err) == "read_store_unavailable":
		g.failed()
	default:
		g.answered()
	}
	return value, err
}

// admits says whether a call may ask the store.
func (g *guard) admits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.open {
		return true
	}
	now := g.now()
	if now.Before(g.until) {
		return false
	}
	g.until = now.Add(findWithin) // one tries; should it never come back, another one will
	return true
}

func (g *guard) failed() {
	g.mu.Lock()
	g.failures++
	opens := !g.open && g.failures >= tripAfter
	if g.open = g.open || opens; g.open {
		g.until = g.now().Add(openFor)
	}
	g.mu.Unlock()
	if opens {
		g.changed(true)
	}
}

func (g *guard) answered() {
	g.mu.Lock()
	closes := g.open
	g.failures, g.open = 0, false
	g.mu.Unlock()
	if closes {
		g.changed(false)
	}
}

// forgive lets another call try if this one was to.
func (g *guard) forgive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open {
		g.until = g.now()
	}
}

// readStoreSilent says that the document store can't be asked.
func readStoreSilent(cause error) *domain.Error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The read store does not answer.", Err: cause}
}
