package readmodels

import (
	"context"
	"errors"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Projector takes a consumer group's deliveries into the documents of one read model. Any number of
// them, in any number of processes, may work on the same read model.
type Projector struct {
	engine *Engine
	model  *Model
}

// Projector gives the projector of a read model; nil if there is no such model.
func (e *Engine) Projector(model string) *Projector {
	m, err := lookup(e.options.Models, model)
	if err != nil {
		return nil
	}
	return &Projector{engine: e, model: m}
}

// Handle takes a batch and answers one outcome for each delivery: nil when the documents have it,
// when its stream is on record as blocked, or when it isn't the model's; else why it is to come again.
func (p *Projector) Handle(ctx context.Context, batch []domain.Delivery) []error {
	began := time.Now()
	errs := make([]error, len(batch))
	targets, err := p.targets(ctx)
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
		p.count(began, Counts{Delivered: len(batch), Failed: len(batch)})
		return errs
	}
	hints := hintsOf(batch)
	var results []result
	for _, g := range targets { // what one of them can't take for now, none behind it takes
		results = p.engine.project(ctx, g, hints, nil)
		for i, r := range results {
			if r.outcome == failed {
				errs[i] = r.err
				hints[i].dead = true
			}
		}
	}
	p.count(began, p.counted(batch, results, errs))
	return errs
}

// targets are the generations to write, the live one last. A paused model takes nothing: its consumer
// is about to be ended, and what it holds comes again.
func (p *Projector) targets(ctx context.Context) ([]generation, error) {
	for {
		record, err := p.engine.registry.of(ctx, p.model)
		if err != nil {
			return nil, err
		}
		if record.Paused {
			rest(ctx, p.engine.options.RegistryAge)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		}
		all := record.written(p.model)
		if len(all) == 0 {
			return nil, &domain.Error{Kind: domain.KindUnavailable, Code: "other_release",
				Message: "Another release's fold of " + p.model.Name + " serves; this one has nothing to write."}
		}
		return all, nil
	}
}

// counted sorts the batch by what became of it. Of equal deliveries in one batch, one was applied and
// the others are repeats.
func (p *Projector) counted(batch []domain.Delivery, results []result, errs []error) Counts {
	counts := Counts{Delivered: len(batch)}
	first := map[Mark]bool{}
	now := p.engine.options.Clock.Now()
	for i, r := range results {
		mark := Mark{batch[i].Stream, batch[i].Revision}
		switch {
		case errs[i] != nil:
			counts.Failed++
		case r.outcome == applied && !first[mark]:
			first[mark] = true
			counts.Applied++
			if hook := p.engine.options.Hooks.Document; hook != nil {
				hook(p.model.Name, since(batch[i].Recorded, now))
			}
		case r.outcome == applied, r.outcome == duplicate:
			counts.Duplicate++
		case r.outcome == blocked:
			counts.Blocked++
		default:
			counts.Ignorable++
		}
	}
	return counts
}

func (p *Projector) count(began time.Time, counts Counts) {
	if hook := p.engine.options.Hooks.Batch; hook != nil {
		hook(p.model.Name, counts, time.Since(began))
	}
}

// sweep takes whatever the streams have into a generation, as if their newest events had been
// delivered; it gives how many streams could not be taken for now, and why.
func (e *Engine) sweep(ctx context.Context, g generation, streams []string, force bool) (left int, err error) {
	hints := make([]hint, len(streams))
	for i, s := range streams {
		hints[i] = hint{stream: s, revision: toTheEnd, force: force}
	}
	return e.takeUp(ctx, g, hints)
}

// takeUp takes hints without a delivery behind them.
func (e *Engine) takeUp(ctx context.Context, g generation, hints []hint) (left int, err error) {
	var causes []error
	for _, r := range e.project(ctx, g, hints, nil) {
		if r.outcome != failed {
			continue
		}
		if left++; left <= 3 {
			causes = append(causes, r.err)
		}
	}
	return left, errors.Join(causes...)
}
