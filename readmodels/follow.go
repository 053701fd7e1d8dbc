package readmodels

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// A follower reads the whole log beside the consumer groups. It knows what there is, so it knows the
// lag; and what stays unapplied for longer than a grace it takes into the documents itself, so that an
// event which the groups have lost is not lost.

// tailNote is the stored checkpoint of a generation: every event of its model at or before Position is
// applied, or blocked and on record. Events is how many that are.
type tailNote struct {
	Position uint64 `json:"position"`
	Events   int64  `json:"events"`
	At       string `json:"at"`
}

const (
	tickEvery    = 200 * time.Millisecond
	checkEvery   = time.Second // between looks at the documents of one pending stream, when there are many
	persistEvery = 5 * time.Second
	probeEvery   = 2 * time.Second
	maxSwept     = 500 // streams looked at in one go
)

type follower struct {
	engine *Engine
	apply  bool
	caught chan struct{} // closed when history has been read
	once   sync.Once

	mu      sync.Mutex
	end     context.CancelFunc // of the current reading of the log
	retried bool               // blocked streams, once at the start
}

// Follow follows the log until ctx ends. A process with workers applies: it takes history into models
// that are far behind, and later what no delivery brought. A process without only observes. caughtUp,
// if not nil, is called once all history has been read.
func (e *Engine) Follow(ctx context.Context, apply bool, caughtUp func()) error {
	f := &follower{engine: e, apply: apply, caught: make(chan struct{})}
	e.lag.mu.Lock()
	e.lag.began = true
	e.lag.mu.Unlock()
	leave := e.hub.hear(f.heard)
	defer leave()
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { f.sweepAlways(ctx) })
	beside.Go(func() { f.probeAlways(ctx) })
	beside.Go(func() {
		select {
		case <-f.caught:
			if caughtUp != nil {
				caughtUp()
			}
		case <-ctx.Done():
		}
	})
	for wait := time.Second; ctx.Err() == nil; {
		began := time.Now()
		err := f.tail(ctx)
		if ctx.Err() != nil || errors.Is(err, context.Canceled) { // read anew
			continue
		}
		e.options.Logger.Warn("the log can't be followed and is tried again", "error", err)
		if time.Since(began) > 10*time.Second {
			wait = time.Second
		}
		rest(ctx, wait)
		wait = min(2*wait, 8*time.Second)
	}
	return ctx.Err()
}

// tail reads the log from the oldest checkpoint of all models.
func (f *follower) tail(ctx context.Context) error {
	f.persist(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.end = cancel
	f.mu.Unlock()
	start, err := f.begin(ctx)
	if err != nil {
		return err
	}
	e := f.engine
	e.lag.mu.Lock()
	e.lag.live = false
	e.lag.mu.Unlock()
	if err := f.unblock(ctx); err != nil {
		return err
	}
	return e.options.Log.Tail(ctx, domain.From{Position: start}, f.prefixes(), f.take)
}

// begin takes every model to its checkpoint and gives the least of them.
func (f *follower) begin(ctx context.Context) (uint64, error) {
	var positions []uint64
	for _, m := range f.engine.options.Models {
		record, err := f.engine.registry.fresh(ctx, m)
		if err != nil {
			return 0, err
		}
		for _, g := range record.written(m) {
			if err := g.ensure(ctx, f.engine.options.Documents); err != nil {
				return 0, err
			}
		}
		g := generation{m, record.Live}
		note, _, _, err := readNote[tailNote](ctx, f.engine.options.Documents, tailNotes, g.id())
		if err != nil {
			return 0, err
		}
		f.engine.lag.restart(m.Name, g.number, note)
		positions = append(positions, note.Position)
	}
	return slices.Min(positions), nil
}

func (f *follower) prefixes() []string {
	var all []string
	for _, m := range f.engine.options.Models {
		all = append(all, m.Prefixes()...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// unblock tries blocked streams again when the process starts: what a new release repairs needs no operator.
func (f *follower) unblock(ctx context.Context) error {
	if !f.apply || f.retried {
		return nil
	}
	f.retried = true
	for _, m := range f.engine.options.Models {
		record, err := f.engine.registry.of(ctx, m)
		if err != nil {
			return err
		}
		for _, g := range record.written(m) {
			known, err := f.engine.blocks.fresh(ctx, g)
			if err != nil {
				return err
			}
			var streams []string
			for s := range known {
				streams = append(streams, s)
			}
			if len(streams) > 0 && !record.Paused {
				_, _ = f.engine.sweep(ctx, g, streams, true) // what stays blocked is on record
			}
		}
	}
	return nil
}

// take hears a batch of the log.
func (f *follower) take(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error {
	e := f.engine
	e.lag.answered()
	e.lag.mu.Lock()
	history := !live || !e.lag.live
	e.lag.mu.Unlock()
	var group sync.WaitGroup
	errs := make([]error, len(e.options.Models))
	for i, m := range e.options.Models {
		group.Go(func() { errs[i] = f.takeFor(ctx, m, batch, checkpoint, history) })
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	e.lag.mu.Lock()
	e.lag.live = live
	e.lag.mu.Unlock()
	if live {
		f.once.Do(func() { close(f.caught) })
	}
	return nil
}

// takeFor takes a batch for one model: history right into the documents, news as pending.
func (f *follower) takeFor(ctx context.Context, m *Model, batch []domain.Delivery, checkpoint uint64, history bool) error {
	e := f.engine
	e.lag.mu.Lock()
	from := e.lag.models[m.Name].from
	e.lag.mu.Unlock()
	var mine []domain.Delivery
	for _, d := range batch {
		if d.Position > from && m.Feeds(d.Stream) {
			mine = append(mine, d)
		}
	}
	record, err := e.registry.of(ctx, m)
	if err != nil {
		return err
	}
	if len(mine) > 0 && history && f.apply && !record.Paused && record.ours(m) {
		if err := f.applyHistory(ctx, record, m, mine); err != nil {
			return err
		}
	} else {
		for _, d := range mine {
			e.lag.saw(m.Name, d.Stream, d.Revision, storedAt(d.Recorded))
		}
		if history && len(mine) > 0 { // so that what is applied long since doesn't pile up
			f.check(ctx, m, record)
		}
	}
	e.lag.advanced(m.Name, checkpoint, int64(len(mine)))
	return nil
}

func storedAt(r domain.Recorded) time.Time {
	if r.Stored.IsZero() {
		return when(r)
	}
	return r.Stored
}

// applyHistory takes events into the documents until the stores have them; only ctx ends it otherwise.
func (f *follower) applyHistory(ctx context.Context, record generations, m *Model, batch []domain.Delivery) error {
	hints := hintsOf(batch)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		var failure error
		for _, g := range record.written(m) {
			for _, r := range f.engine.project(ctx, g, hints, nil) {
				if r.outcome == failed {
					failure = r.err
				}
			}
		}
		if failure == nil {
			return nil
		}
		if !transient(failure) {
			return failure
		}
		rest(ctx, wait)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		fresh, err := f.engine.registry.of(ctx, m)
		if err == nil {
			record = fresh
		}
	}
}

func hintsOf(batch []domain.Delivery) []hint {
	hints := make([]hint, len(batch))
	for i, d := range batch {
		hints[i] = hint{stream: d.Stream, revision: d.Revision, event: d.Recorded, known: true, err: d.Err}
	}
	return hints
}

// heard notes what this process wrote.
func (f *follower) heard(c committed) {
	counts := map[string]int64{}
	for _, mark := range c.events {
		counts[mark.Stream]++
	}
	for stream, n := range counts {
		f.engine.lag.reached(c.model, c.generation, stream, c.sources[stream], n)
	}
}

// probeAlways asks the event store for a sign of life, as a quiet log and a dead one look alike.
func (f *follower) probeAlways(ctx context.Context) {
	for ctx.Err() == nil {
		bounded, cancel := context.WithTimeout(ctx, probeEvery)
		_, _, err := f.engine.options.Streams.ReadLast(bounded, "order-00000000-0000-0000-0000-000000000000")
		cancel()
		if err == nil {
			f.engine.lag.answered()
		}
		rest(ctx, probeEvery)
	}
}
