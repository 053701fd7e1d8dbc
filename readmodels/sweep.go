package readmodels

import (
	"context"
	"maps"
	"slices"
	"time"
)

// sweepAlways looks after what is pending until ctx ends, and stores checkpoints.
func (f *follower) sweepAlways(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	persisted := time.Now()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
			f.persist(last)
			cancel()
			return
		case <-tick.C:
		}
		for _, m := range f.engine.options.Models {
			f.lookAfter(ctx, m)
		}
		if time.Since(persisted) >= persistEvery {
			f.persist(ctx)
			if f.apply {
				f.engine.operations.adopt(ctx)
			}
			persisted = time.Now()
		}
	}
}

// lookAfter checks one model's pending streams and sweeps those beyond the grace.
func (f *follower) lookAfter(ctx context.Context, m *Model) {
	e := f.engine
	record, err := e.registry.of(ctx, m)
	if err != nil {
		return
	}
	e.lag.mu.Lock()
	t := e.lag.models[m.Name]
	began, switched := t.generation != 0, t.generation != record.Live
	emptied := t.untracked > 0 && len(t.pending) < maxPending/2
	t.paused = record.Paused
	e.lag.mu.Unlock()
	if !began {
		return
	}
	if switched || emptied { // the log has to be read again from a checkpoint
		f.mu.Lock()
		f.end()
		f.mu.Unlock()
		return
	}
	f.check(ctx, m, record)
	if f.apply && !record.Paused {
		f.hint(ctx, m, record)
	}
}

// check compares pending streams with the documents: other processes apply events too.
func (f *follower) check(ctx context.Context, m *Model, record generations) {
	e := f.engine
	now := time.Now()
	pending := e.lag.pendingOf(m.Name)
	var due []string
	between := checkEvery
	if len(pending) <= maxSwept {
		between = tickEvery
	}
	for stream, p := range pending {
		if now.Sub(p.seen) >= tickEvery && now.Sub(p.checked) >= between || len(pending) >= maxPending {
			due = append(due, stream)
		}
	}
	if len(due) == 0 {
		return
	}
	g := generation{m, record.Live}
	known, err := e.blocks.fresh(ctx, g)
	if err != nil {
		return
	}
	for chunk := range slices.Chunk(due, maxSwept) {
		if !f.checkSome(ctx, g, chunk, pending, known) {
			return
		}
	}
}

func (f *follower) checkSome(ctx context.Context, g generation, streams []string, pending map[string]pendingStream, known map[string]int64) bool {
	e := f.engine
	ids := make([]string, 0, len(streams))
	for _, s := range streams {
		ids = append(ids, g.model.Document(s))
	}
	slices.Sort(ids)
	bounded, cancel := context.WithTimeout(ctx, loadWithin) // the next look is not far
	defer cancel()
	documents, err := e.options.Documents.Load(bounded, g.documents(), slices.Compact(ids))
	if err != nil {
		return false
	}
	reached := map[string]int64{}
	for _, d := range documents {
		maps.Copy(reached, d.Sources)
	}
	now := time.Now()
	position := e.lag.positionOf(g.model.Name) // nothing pending is behind it
	for _, stream := range streams {
		p := pending[stream]
		if at, ok := reached[stream]; ok && at >= p.first {
			// Another process applied it: those who wait or watch here have not heard of it.
			e.hub.publishIf(func() (committed, bool) {
				c := committed{model: g.model.Name, generation: g.number, document: g.model.Document(stream), sources: reached}
				now, still := e.lag.pendingOne(g.model.Name, stream)
				c.events = marksBetween(stream, now.first, min(at, now.head), position)
				return c, still && len(c.events) > 0
			})
			continue
		}
		failedAt, stuck := known[stream]
		e.lag.amend(g.model.Name, stream, func(p *pendingStream) { p.checked, p.blocked = now, stuck && failedAt <= p.first })
	}
	return true
}

// marksBetween lists marks, of very many the newest.
func marksBetween(stream string, first, last int64, position uint64) []placed {
	first = max(first, last-1000)
	var marks []placed
	for revision := first; revision <= last; revision++ {
		marks = append(marks, placed{Mark{stream, revision}, position})
	}
	return marks
}

// hint takes into the documents what has been pending for longer than the grace.
func (f *follower) hint(ctx context.Context, m *Model, record generations) {
	e := f.engine
	now := time.Now()
	var late []hint
	for stream, p := range e.lag.pendingOf(m.Name) {
		if !p.blocked && now.Sub(p.seen) >= e.options.Grace && now.Sub(p.hinted) >= e.options.Grace {
			late = append(late, hint{stream: stream, revision: p.head})
		}
	}
	for chunk := range slices.Chunk(late, maxSwept) {
		for _, h := range chunk {
			e.lag.amend(m.Name, h.stream, func(p *pendingStream) { p.hinted = now })
		}
		for _, g := range record.written(m) {
			if _, err := e.takeUp(ctx, g, chunk); err != nil {
				e.options.Logger.Warn("the sweep could not take up events", "readmodel", m.Name, "error", err)
				return
			}
		}
		if hook := e.options.Hooks.Swept; hook != nil {
			hook(m.Name, len(chunk))
		}
		e.options.Logger.Info("the sweep took up events that no delivery had brought", "readmodel", m.Name, "streams", len(chunk))
	}
}

// persist stores the checkpoints that have moved. Each is true whoever wrote it, so the highest stands.
func (f *follower) persist(ctx context.Context) {
	for g, note := range f.engine.lag.checkpoints() {
		if err := f.engine.storeCheckpoint(ctx, g, note); err != nil {
			f.engine.options.Logger.Warn("a checkpoint could not be stored", "readmodel", g.model.Name, "error", err)
		}
	}
}

func (e *Engine) storeCheckpoint(ctx context.Context, g generation, note tailNote) error {
	ctx, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	_, err := changeNote(ctx, e.options.Documents, tailNotes, g.id(), func(stored *tailNote, exists bool) error {
		if exists && stored.Position >= note.Position || note.Position == 0 {
			return errUnchanged
		}
		*stored = note
		stored.At = Stamp(e.options.Clock.Now())
		return nil
	})
	return err
}
