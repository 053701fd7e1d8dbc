package httpapi

import (
	"context"
	"sync/atomic"
	"time"
)

// gate bounds how much of a class of work is under way. What comes on top waits, briefly and in a
// bounded queue, and is refused before any work is done for it: without that, offering more than the
// machine can do ends with less done.
type gate struct {
	class   string
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
	hooks   Hooks
}

func newGate(class string, slots int, limits Limits, hooks Hooks) *gate {
	return &gate{class: class, slots: make(chan struct{}, slots), queue: int64(orDefault(limits.Queue, 4*slots)), wait: limits.QueueWait, hooks: hooks}
}

// full says whether there is no use in even reading a request.
func (g *gate) full() bool {
	return len(g.slots) == cap(g.slots) && g.waiting.Load() >= g.queue
}

func (g *gate) shed() error {
	g.hooks.Shed(g.class, "queue")
	return fail("overloaded", "The service is busy; nothing was done.")
}

// enter takes a slot; leave must be called then.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.slots <- struct{}{}:
		return g.entered(), nil
	default:
	}
	if g.waiting.Add(1) > g.queue {
		g.waiting.Add(-1)
		return nil, g.shed()
	}
	defer g.waiting.Add(-1)
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return g.entered(), nil
	case <-timer.C:
		return nil, g.shed()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *gate) entered() func() {
	g.hooks.InFlight(g.class, len(g.slots))
	return func() {
		<-g.slots
		g.hooks.InFlight(g.class, len(g.slots))
	}
}
