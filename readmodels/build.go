package readmodels

import (
	"context"
	"errors"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// builder fills a generation from history with the code that runs live. It goes on where the
// generation's checkpoint says, so that it may be killed at any time.
type builder struct {
	engine   *Engine
	g        generation
	cache    *workCache
	progress func(done int64)
	done     int64
	stored   time.Time
}

const (
	builderCache = 20_000 // documents kept decoded
	builderBatch = 2_000  // events taken at once
)

var errBuilt = errors.New("history has been read")

// build folds the log into the generation until history has been read, with what came meanwhile.
func (e *Engine) build(ctx context.Context, g generation, progress func(done int64)) error {
	if e.options.Log == nil {
		return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "The log can't be read here."}
	}
	if err := g.ensure(ctx, e.options.Documents); err != nil {
		return err
	}
	b := &builder{engine: e, g: g, cache: newWorkCache(builderCache), progress: progress}
	for {
		note, _, _, err := readNote[tailNote](ctx, e.options.Documents, tailNotes, g.id())
		if err == nil {
			b.done = note.Events
			err = b.tail(ctx, note.Position)
		}
		switch {
		case errors.Is(err, errBuilt):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !transient(err):
			return err
		}
		e.options.Logger.Warn("a build is interrupted and goes on", "readmodel", g.model.Name, "generation", g.number, "error", err)
		rest(ctx, time.Second)
	}
}

func (b *builder) tail(ctx context.Context, position uint64) error {
	var batch []domain.Delivery
	return b.engine.options.Log.Tail(ctx, domain.From{Position: position}, b.g.model.Prefixes(), func(ctx context.Context, more []domain.Delivery, checkpoint uint64, live bool) error {
		for _, d := range more {
			if d.Position > position && b.g.model.Feeds(d.Stream) {
				batch = append(batch, d)
			}
		}
		if len(batch) < builderBatch && !live {
			return nil
		}
		if err := b.take(ctx, batch); err != nil {
			return err
		}
		b.done += int64(len(batch))
		batch = batch[:0]
		b.progress(b.done)
		if live || time.Since(b.stored) > time.Second {
			b.stored = time.Now()
			if err := b.engine.storeCheckpoint(ctx, b.g, tailNote{Position: checkpoint, Events: b.done}); err != nil {
				return err
			}
		}
		if live {
			return errBuilt
		}
		return nil
	})
}

func (b *builder) take(ctx context.Context, batch []domain.Delivery) error {
	if len(batch) == 0 {
		return nil
	}
	for _, r := range b.engine.project(ctx, b.g, hintsOf(batch), b.cache) {
		if r.outcome == failed {
			return r.err
		}
	}
	return nil
}
