package readmodels

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Bounds of one round of projecting.
const (
	maxDocuments = 500  // documents loaded and written at once
	maxAdvance   = 1000 // events that one document takes before it is written
	maxRaces     = 30   // rounds without progress before deliveries are given back
	toTheEnd     = math.MaxInt64
)

// hint says that a stream has an event; the stream is the truth.
type hint struct {
	stream   string
	revision int64           // toTheEnd: whatever there is
	event    domain.Recorded // when known
	known    bool
	err      error // known, but not decodable
	force    bool  // try again even if the stream is blocked
	dead     bool  // leave it alone
}

// Outcome is what became of a hint.
type outcome int

const (
	open outcome = iota
	applied
	duplicate
	blocked
	ignorable
	failed // err says why; the delivery is to come again
)

type result struct {
	outcome outcome
	err     error
}

// group is the hints for one document.
type group struct {
	id    string
	hints []int // places in the projection's list
	runs  []*run
	work  *working
}

// run is the hints for one stream of a document.
type run struct {
	stream string
	events map[int64]hint
	target int64
	stop   *stop // why it got no further, if it didn't reach its target
}

// stop is an obstacle: an event that failed for good, or a store that did not answer.
type stop struct {
	event     domain.Recorded
	cause     error
	transient bool
}

// projection takes hints into one generation's documents.
type projection struct {
	engine  *Engine
	g       generation
	hints   []hint
	results []result
	cache   *workCache // nil: load every document
	freed   []string   // streams that are blocked no more
}

// project moves the documents of a generation forward: one load and one conditional write for each
// bunch of documents, again for those that somebody else wrote meanwhile. It gives one result a hint.
func (e *Engine) project(ctx context.Context, g generation, hints []hint, cache *workCache) []result {
	p := &projection{engine: e, g: g, hints: hints, results: make([]result, len(hints)), cache: cache}
	if err := p.sortOut(ctx); err != nil {
		p.fail(nil, err)
		return p.results
	}
	for races := 0; ; {
		groups := p.groups()
		if len(groups) == 0 {
			p.reread(ctx)
			return p.results
		}
		progress := false
		for chunk := range slices.Chunk(groups, maxDocuments) {
			progress = p.round(ctx, chunk) || progress
		}
		if progress {
			races = 0
			continue
		}
		if races++; races > maxRaces {
			p.fail(nil, &domain.Error{Kind: domain.KindConflict, Code: "contended_document",
				Message: "Others kept writing the same documents."})
			return p.results
		}
	}
}

// sortOut settles what needs no document: foreign streams, and streams on record as blocked. The record
// itself is asked, not what is remembered of it: what is settled here as blocked is not delivered again.
func (p *projection) sortOut(ctx context.Context) error {
	known, err := p.engine.blocks.of(ctx, p.g)
	if err != nil {
		return err
	}
	stuck := map[string]int64{}
	for _, h := range p.hints {
		if at, ok := known[h.stream]; ok && !h.force && h.revision >= at {
			stuck[h.stream] = at
		}
	}
	if len(stuck) > 0 {
		if stuck, err = p.engine.blocks.confirm(ctx, p.g, stuck); err != nil {
			return err
		}
	}
	for i, h := range p.hints {
		at, blockedThere := stuck[h.stream]
		switch {
		case h.dead:
			p.results[i] = result{outcome: failed}
		case !p.g.model.Feeds(h.stream):
			p.results[i] = result{outcome: ignorable}
		case blockedThere && !h.force && h.revision >= at:
			p.results[i] = result{outcome: blocked}
		}
	}
	return nil
}

// reread looks once more at streams that have just been unblocked: an event that came while they still
// were on record may have been settled as blocked by others.
func (p *projection) reread(ctx context.Context) {
	if len(p.freed) == 0 {
		return
	}
	hints := make([]hint, len(p.freed))
	for i, stream := range p.freed {
		hints[i] = hint{stream: stream, revision: toTheEnd}
	}
	p.engine.project(ctx, p.g, hints, nil)
}

// fail gives up the hints of a group, or all, that are still open.
func (p *projection) fail(in *group, err error) {
	places := func(yield func(int) bool) {
		if in == nil {
			for i := range p.hints {
				if !yield(i) {
					return
				}
			}
			return
		}
		for _, i := range in.hints {
			if !yield(i) {
				return
			}
		}
	}
	for i := range places {
		if p.results[i].outcome == open {
			p.results[i] = result{outcome: failed, err: err}
		}
	}
}

// groups gathers open hints by document and stream, in the order of first appearance.
func (p *projection) groups() []*group {
	byID := map[string]*group{}
	var all []*group
	for i, h := range p.hints {
		if p.results[i].outcome != open {
			continue
		}
		id := p.g.model.Document(h.stream)
		g := byID[id]
		if g == nil {
			g = &group{id: id}
			byID[id] = g
			all = append(all, g)
		}
		g.hints = append(g.hints, i)
		g.run(h.stream).add(h)
	}
	return all
}

func (g *group) run(stream string) *run {
	for _, r := range g.runs {
		if r.stream == stream {
			return r
		}
	}
	r := &run{stream: stream, events: map[int64]hint{}, target: domain.NoStream}
	g.runs = append(g.runs, r)
	return r
}

func (r *run) add(h hint) {
	r.target = max(r.target, h.revision)
	if h.known {
		r.events[h.revision] = h
	}
}

// round takes a bunch of documents as far as they go at once; false if others won every race.
func (p *projection) round(ctx context.Context, groups []*group) bool {
	if err := p.load(ctx, groups); err != nil {
		for _, g := range groups {
			p.fail(g, err)
		}
		return true
	}
	var puts []Put
	var written []*group
	progress := false
	for _, g := range groups {
		if g.work == nil {
			progress = true
			continue // it could not be read and is settled
		}
		p.dropOld(g)
		for _, r := range g.runs {
			p.advance(ctx, g.work, r)
		}
		if !g.work.changed() {
			p.settle(ctx, g)
			progress = true
			continue
		}
		put, err := g.work.put(p.g)
		if err != nil {
			p.fail(g, err)
			progress = true
			continue
		}
		puts, written = append(puts, put), append(written, g)
	}
	return p.write(ctx, written, puts) || progress
}

func (p *projection) load(ctx context.Context, groups []*group) error {
	var ids []string
	for _, g := range groups {
		if g.work = p.cache.take(g.id); g.work == nil {
			ids = append(ids, g.id)
		}
	}
	stored := map[string]*Document{}
	if len(ids) > 0 {
		found, err := p.engine.options.Documents.Load(ctx, p.g.documents(), ids)
		if err != nil {
			return err
		}
		for i := range found {
			stored[found[i].ID] = &found[i]
		}
	}
	for _, g := range groups {
		if g.work != nil {
			continue
		}
		work, err := p.g.model.open(g.id, stored[g.id])
		if err != nil {
			p.unreadable(ctx, g, stored[g.id], err)
			continue
		}
		g.work = work
	}
	return nil
}

// unreadable blocks the streams of a document that is damaged in the store.
func (p *projection) unreadable(ctx context.Context, g *group, stored *Document, cause error) {
	for _, r := range g.runs {
		at := stored.Sources[r.stream] + 1
		event := domain.Recorded{Stream: r.stream, Revision: at}
		if h, ok := r.events[at]; ok {
			event = h.event
		}
		if err := p.block(ctx, event, cause); err != nil {
			p.fail(g, err)
			return
		}
	}
	for _, i := range g.hints {
		p.results[i] = result{outcome: blocked}
	}
}

// dropOld settles the hints that the document has already.
func (p *projection) dropOld(g *group) {
	for _, i := range g.hints {
		if h := p.hints[i]; p.results[i].outcome == open && h.revision < g.work.next(h.stream) {
			p.results[i] = result{outcome: duplicate}
		}
	}
}

// advance applies what is next, event by event, reading from the stream what the hints don't bring.
func (p *projection) advance(ctx context.Context, w *working, r *run) {
	for w.next(r.stream) <= r.target && len(w.taken) < maxAdvance {
		h, ok := r.events[w.next(r.stream)]
		if !ok {
			p.fill(ctx, w, r)
			return
		}
		if r.stop = p.take(ctx, w, h.event, h.err); r.stop != nil {
			return
		}
	}
}

// fill reads the stream from where the document is.
func (p *projection) fill(ctx context.Context, w *working, r *run) {
	for event, err := range p.engine.options.Streams.ReadStream(ctx, r.stream, w.next(r.stream)) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			r.stop = &stop{cause: err, transient: true}
			return
		}
		if want := w.next(r.stream); event.Revision > want {
			r.stop = &stop{event: domain.Recorded{Stream: r.stream, Revision: want, Type: event.Type},
				cause: &domain.Error{Kind: domain.KindUndecodable, Code: "events_missing",
					Message: fmt.Sprintf("Events %d to %d are no longer in stream %q.", want, event.Revision-1, r.stream)}}
			return
		}
		if r.stop = p.take(ctx, w, event, err); r.stop != nil {
			return
		}
		if w.next(r.stream) > r.target || len(w.taken) >= maxAdvance {
			return
		}
	}
	if r.target == toTheEnd {
		r.target = w.next(r.stream) - 1
		return
	}
	r.stop = &stop{transient: true, cause: &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable",
		Message: fmt.Sprintf("Stream %q does not show event %d yet.", r.stream, w.next(r.stream))}}
}

// take applies one event, or goes over it if an operator said so.
func (p *projection) take(ctx context.Context, w *working, event domain.Recorded, cause error) *stop {
	if cause == nil {
		cause = w.apply(event)
	}
	if cause == nil {
		return nil
	}
	skip, err := p.engine.skipped(ctx, p.g.model, event.Stream, event.Revision)
	if err != nil {
		return &stop{event: event, cause: err, transient: true}
	}
	if skip {
		w.skip(event)
		return nil
	}
	return &stop{event: event, cause: cause}
}

// write stores what the groups have become and settles those that won; false if none did.
func (p *projection) write(ctx context.Context, groups []*group, puts []Put) bool {
	if len(puts) == 0 {
		return false
	}
	won, err := p.engine.options.Documents.Write(ctx, p.g.documents(), puts)
	if err == nil && len(won) != len(puts) {
		err = fmt.Errorf("the document store answered %d of %d writes", len(won), len(puts))
	}
	if err != nil {
		for _, g := range groups {
			p.fail(g, err)
		}
		return true
	}
	progress := false
	for i, g := range groups {
		if !won[i] {
			continue
		}
		progress = true
		p.written(g, puts[i])
		p.settle(ctx, g)
	}
	return progress
}

// written tells those who wait for the document.
func (p *projection) written(g *group, put Put) {
	change := committed{model: p.g.model.Name, generation: p.g.number, document: g.id, sources: put.Document.Sources}
	for _, s := range g.work.taken {
		change.events = append(change.events, placed{Mark{Stream: s.event.Stream, Revision: s.event.Revision}, s.event.Position})
	}
	p.engine.hub.publish(change)
	p.cache.keep(g.work, put)
}

// settle gives the hints of a group their results after its document stands in the store.
func (p *projection) settle(ctx context.Context, g *group) {
	var past []string
	known, err := p.engine.blocks.of(ctx, p.g)
	if err != nil {
		p.fail(g, err)
		return
	}
	for _, r := range g.runs {
		if at, ok := known[r.stream]; ok && g.work.next(r.stream) > at {
			past = append(past, r.stream)
		}
		if r.stop != nil && !r.stop.transient {
			if err := p.block(ctx, r.stop.event, r.stop.cause); err != nil {
				p.fail(g, err)
				return
			}
		}
	}
	if err := p.engine.blocks.clear(ctx, p.g, past); err != nil {
		p.fail(g, err)
		return
	}
	p.freed = append(p.freed, past...)
	for _, i := range g.hints {
		if p.results[i].outcome == open {
			p.results[i] = p.outcomeOf(g, p.hints[i])
		}
	}
}

func (p *projection) outcomeOf(g *group, h hint) result {
	r := g.run(h.stream)
	switch {
	case h.revision < g.work.next(h.stream):
		return result{outcome: applied}
	case r.stop != nil && r.stop.transient:
		return result{outcome: failed, err: r.stop.cause}
	case r.stop != nil:
		return result{outcome: blocked}
	case h.revision == toTheEnd && r.target != toTheEnd:
		return result{outcome: applied}
	}
	return result{} // the document took as much as it may at once; the next round goes on
}

func (p *projection) block(ctx context.Context, event domain.Recorded, cause error) error {
	record, err := p.engine.blocks.record(ctx, p.g, event, cause, p.engine.options.Clock.Now())
	if err != nil {
		return err
	}
	if hook := p.engine.options.Hooks.Blocked; hook != nil {
		hook(p.g.model.Name, record)
	}
	p.engine.options.Logger.Error("an event can't be applied and blocks its stream", "readmodel", p.g.model.Name, "generation", p.g.number,
		"stream", event.Stream, "revision", event.Revision, "event_id", event.ID, "reason", record.Reason)
	return nil
}

// since is the time from an event's being stored to now.
func since(event domain.Recorded, now time.Time) time.Duration {
	at := event.Stored
	if at.IsZero() {
		at = event.Meta.At
	}
	return max(0, now.Sub(at))
}
