package readmodels

import (
	"context"
	"math"
	"slices"

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
		bounded, cancel := context.WithTimeout(ctx, writeWithin)
		defer cancel()
		found, err := p.engine.options.Documents.Load(bounded, p.g.documents(), ids)
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
		at := int64(0)
		if reached, ok := stored.Sources[r.stream]; ok {
			at = reached + 1
		}
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
