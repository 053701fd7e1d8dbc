package application

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Deadline is when an order needs to be looked at although nothing reports anything; see fulfilment.Attention.
type Deadline struct {
	OrderID string
	At      time.Time
}

// Deadlines is an index of stored deadlines. It may be behind: what is due is only looked at, and what
// is done then follows from the streams. Failures are *domain.Error of KindUnavailable.
type Deadlines interface {
	// Due lists deadlines at or before now, at most limit, and tells the earliest later one; zero if
	// none is known.
	Due(ctx context.Context, now time.Time, limit int) (due []Deadline, next time.Time, err error)
}

// Alarms is a clock that can ring.
type Alarms interface {
	Clock
	// Ring gives a channel that is closed or sent to once after d has passed, and a way to call it off.
	Ring(d time.Duration) (rings <-chan time.Time, stop func())
}

// TimersOptions of Timers. Zero means the default.
type TimersOptions struct {
	Recheck  time.Duration                      // longest sleep before the index is asked anew; 5 s
	Backoff  time.Duration                      // before an order is looked at again that stays due; 2 s, doubled up to 1 min
	Parallel int                                // how many orders are looked at side by side; 8
	Page     int                                // how many due orders are taken from the index at once; 200
	Fired    func(deadline Deadline, err error) // told of each order that was looked at; from several goroutines
	Overdue  func(by time.Duration)             // told after each look at the index how long the most overdue order waits
}

// Timers looks at orders when their deadline has come. The deadlines are stored facts in an index, so a
// start needs no more than to ask for the earliest, and no order is polled.
type Timers struct {
	deadlines Deadlines
	advance   func(ctx context.Context, orderID string) error
	clock     Alarms
	options   TimersOptions
	sooner    chan time.Time
	looked    map[string]look // orders that were looked at and may still be in the index
}

// look is when an order was looked at, and when again if it stays due.
type look struct {
	at    time.Time
	again time.Time
	pause time.Duration
}

// NewTimers makes timers that call advance, which is Fulfilment.Advance.
func NewTimers(deadlines Deadlines, advance func(context.Context, string) error, clock Alarms, options TimersOptions) *Timers {
	options.Recheck = cmp.Or(options.Recheck, 5*time.Second)
	options.Backoff = cmp.Or(options.Backoff, 2*time.Second)
	options.Parallel = cmp.Or(options.Parallel, 8)
	options.Page = cmp.Or(options.Page, 200)
	if options.Fired == nil {
		options.Fired = func(Deadline, error) {}
	}
	if options.Overdue == nil {
		options.Overdue = func(time.Duration) {}
	}
	return &Timers{
		deadlines: deadlines, advance: advance, clock: clock, options: options,
		sooner: make(chan time.Time, 1), looked: map[string]look{},
	}
}

// Wake tells of a deadline that is about to be stored. It never blocks; only the earliest counts.
func (t *Timers) Wake(at time.Time) {
	for {
		select {
		case t.sooner <- at:
			return
		case waiting := <-t.sooner:
			if waiting.Before(at) {
				at = waiting
			}
		}
	}
}

// Run looks at orders until ctx ends; it returns nil then. A silent index is asked again.
func (t *Timers) Run(ctx context.Context) error {
	var next time.Time // the zero time: now
	for {
		if err := t.sleep(ctx, next); err != nil {
			return nil
		}
		next = t.turn(ctx)
		if ctx.Err() != nil {
			return nil
		}
	}
}

// sleep waits until a time, or until an earlier one is told of.
func (t *Timers) sleep(ctx context.Context, until time.Time) error {
	for {
		left := until.Sub(t.clock.Now())
		if left <= 0 {
			return ctx.Err()
		}
		rings, stop := t.clock.Ring(left)
		select {
		case <-rings:
		case at := <-t.sooner:
			if at.Before(until) {
				until = at
			}
		case <-ctx.Done():
		}
		stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// turn looks at what is due, and says when to come back.
func (t *Timers) turn(ctx context.Context) (next time.Time) {
	now := t.clock.Now()
	latest := now.Add(t.options.Recheck)
	t.forget(now)
	limit := t.options.Page + len(t.looked)
	due, later, err := t.deadlines.Due(ctx, now, limit)
	if err != nil {
		return latest
	}
	t.options.Overdue(overdue(due, now))
	var looking sync.WaitGroup
	slots := make(chan struct{}, t.options.Parallel)
	for _, d := range due {
		if ctx.Err() != nil || d.At.After(now) || !t.turnOf(d, now) {
			continue
		}
		slots <- struct{}{}
		looking.Go(func() {
			defer func() { <-slots }()
			t.options.Fired(d, recovered(func() error { return t.advance(ctx, d.OrderID) }))
		})
	}
	looking.Wait()
	if len(due) >= limit {
		return now // there is more
	}
	return t.earliest(now, later, latest)
}

// overdue is for how long the oldest deadline has passed.
func overdue(due []Deadline, now time.Time) (by time.Duration) {
	for _, d := range due {
		by = max(by, now.Sub(d.At))
	}
	return by
}

// turnOf tells whether an order is to be looked at now, and remembers that it is. An order stays in the
// index after it was looked at, until the index has caught up, or for longer if nothing could be done:
// only a deadline that has come since counts at once.
func (t *Timers) turnOf(d Deadline, now time.Time) bool {
	last, known := t.looked[d.OrderID]
	pause := t.options.Backoff
	if known && !d.At.After(last.at) {
		if now.Before(last.again) {
			return false
		}
		pause = min(2*last.pause, time.Minute)
	}
	t.looked[d.OrderID] = look{at: now, again: now.Add(pause), pause: pause}
	return true
}

// forget drops what has not come up again for long.
func (t *Timers) forget(now time.Time) {
	for id, l := range t.looked {
		if now.After(l.again.Add(time.Minute)) {
			delete(t.looked, id)
		}
	}
}

// earliest is the next time at which there may be something to do, latest at the latest.
func (t *Timers) earliest(now, later, latest time.Time) time.Time {
	next := latest
	if !later.IsZero() && later.Before(next) {
		next = later
	}
	for _, l := range t.looked {
		if l.again.After(now) && l.again.Before(next) {
			next = l.again
		}
	}
	return next
}
