package readmodels

import (
	"context"
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// write stores what the groups have become and settles those that won; false if none did.
func (p *projection) write(ctx context.Context, groups []*group, puts []Put) bool {
	if len(puts) == 0 {
		return false
	}
	bounded, cancel := context.WithTimeout(ctx, writeWithin)
	defer cancel()
	won, err := p.engine.options.Documents.Write(bounded, p.g.documents(), puts)
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
		"stream", event.Stream, "revision", event.Revision, "event_id", event.ID, "reason", record.Reason, "help", "tidemark readmodels blocked "+p.g.model.Name)
	return nil
}
