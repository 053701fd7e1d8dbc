package httpapi

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"
)

// gate bounds how much of a class of work is under way. What comes on top waits, briefly and in a
// bounded queue, and is refused before any work is done for it: without that, offering more than the
// machine can do ends with less done.
//
// The queue has two bounds: places, and the time that it takes to get to its end at the pace at which work
// is being done. Who would wait for more than twice as long as is allowed is refused at once. The pace is an
// estimate, so who might get through is let wait, in vain at worst; besides, who is refused at once is back
// at once. So it takes bursts on a quick machine, and is short on a slow one.
type gate struct {
	class   string
	slots   chan struct{}
	waiting atomic.Int64
	queue   int64
	wait    time.Duration
	hooks   Hooks

	pace    atomic.Int64 // nanoseconds from one end of work to the next while somebody waits, smoothed
	samples atomic.Int64 // that went into it
	last    atomic.Int64 // when work last ended and somebody waited, in nanoseconds; 0: nobody did
}

// smoothing is over how many ends of work the pace is the mean: several commits of the event store, since
// what shares a commit ends at once, and the next only after a pause.
const smoothing = 128

// placesPerSlot is how many may wait for each that is under way. A machine that refuses thousands a
// second gets less done, and one that lets thousands wait answers late.
const placesPerSlot = 12

func newGate(class string, slots int, limits Limits, hooks Hooks) *gate {
	return &gate{class: class, slots: make(chan struct{}, slots), queue: int64(cmp.Or(limits.Queue, placesPerSlot*slots)), wait: limits.QueueWait, hooks: hooks}
}

// full says whether there is no use in even reading a request.
func (g *gate) full() bool {
	return len(g.slots) == cap(g.slots) && g.tooMany(g.waiting.Load()+1)
}

// tooMany says whether the last of so many in the queue would have to be refused. A few may always wait:
// the pace is known by those who do.
func (g *gate) tooMany(waiting int64) bool {
	return waiting > g.queue || waiting > int64(cap(g.slots)) && waiting*g.pace.Load() > 2*int64(g.wait)
}

// ended measures the pace.
func (g *gate) ended() {
	if g.waiting.Load() == 0 {
		g.last.Store(0)
		return
	}
	now := time.Now().UnixNano()
	before := g.last.Swap(now)
	if before == 0 {
		return
	}
	pace := g.pace.Load() // two at once may lose a sample: it is an estimate
	g.pace.Store(pace + (now-before-pace)/min(g.samples.Add(1), smoothing))
}

func (g *gate) shed() error {
	g.hooks.Shed(g.class, "queue")
	return fail("overloaded", "The service is busy; nothing was done.")
}

// enter takes a slot; leave must be called then.
func (g *gate) enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.slots <- struct{}{}:
		return g.leave, nil
	default:
	}
	if g.tooMany(g.waiting.Add(1)) {
		g.waiting.Add(-1)
		return nil, g.shed()
	}
	defer g.waiting.Add(-1)
	timer := time.NewTimer(g.wait)
	defer timer.Stop()
	select {
	case g.slots <- struct{}{}:
		return g.leave, nil
	case <-timer.C:
		return nil, g.shed()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (g *gate) leave() {
	g.ended()
	<-g.slots
}
