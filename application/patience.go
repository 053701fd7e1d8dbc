package application

import (
	"context"
	"sync"
	"time"
)

// patience is how much of the store's silence is still borne for one command. Every call of the command
// draws on the same: a store that goes away in the middle would otherwise be waited for once by each of
// them, and the caller would hear of it late. What the store answers, however slowly, costs nothing.
type patience struct {
	mu   sync.Mutex
	left time.Duration
}

type patienceKey struct{}

// patient gives all calls under ctx one common patience, unless they have one already.
func (e *Executor) patient(ctx context.Context) context.Context {
	if _, ok := ctx.Value(patienceKey{}).(*patience); ok {
		return ctx
	}
	return context.WithValue(ctx, patienceKey{}, &patience{left: e.options.StoreWait})
}

// patienceOf is the one of ctx, or one for a call by itself.
func (e *Executor) patienceOf(ctx context.Context) *patience {
	if p, ok := ctx.Value(patienceKey{}).(*patience); ok {
		return p
	}
	return &patience{left: e.options.StoreWait}
}

// bears says how long the next call may go without an answer.
func (p *patience) bears() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.left, 0)
}

// spend takes off what was waited in vain.
func (p *patience) spend(silent time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left -= silent
}
