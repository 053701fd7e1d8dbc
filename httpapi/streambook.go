package httpapi

import (
	"context"
	"sync"
	"time"
)

// streamBook counts live streams, all and by caller, and ends them.
type streamBook struct {
	total, perClient int
	hooks            Hooks
	done             chan struct{}
	once             sync.Once

	mu   sync.Mutex
	open map[string]int
	all  int
}

func newStreamBook(limits Limits, hooks Hooks) *streamBook {
	return &streamBook{total: limits.Streams, perClient: limits.PerClient, hooks: hooks, done: make(chan struct{}), open: map[string]int{}}
}

// enter counts a stream of a caller; leave must be called with why it ended.
func (b *streamBook) enter(caller string) (leave func(why string), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[caller] >= b.perClient {
		b.hooks.Shed(classStream, "rate")
		return nil, fail("rate_limited", "A caller may have %d live streams.", b.perClient)
	}
	if b.all >= b.total {
		b.hooks.Shed(classStream, "queue")
		return nil, fail("overloaded", "There are too many live streams.")
	}
	b.open[caller]++
	b.all++
	b.hooks.Stream(+1, "")
	return func(why string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.open[caller]--; b.open[caller] == 0 {
			delete(b.open, caller)
		}
		b.all--
		b.hooks.Stream(-1, why)
	}, nil
}

// context ends with the request, with the server's stopping, and with the token.
func (b *streamBook) context(ctx context.Context, expires time.Time) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if expires.IsZero() {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithDeadline(ctx, expires)
	}
	go func() {
		select {
		case <-b.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// close ends all streams, those open and those to come.
func (b *streamBook) close() { b.once.Do(func() { close(b.done) }) }
