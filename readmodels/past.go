package readmodels

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// A question about the past of a list or a screen folds the log again, with the model's own fold, into
// documents that live as long as the question. Its cost is that of reading the model's categories up to
// AsOfEvents events; beyond that it is refused. The last answers are kept for a moment, so that the
// pages of a list don't fold anew, but only of times whose events are certainly all there.
type pastFolds struct {
	mu   sync.Mutex
	kept map[string]keptPast
	slot chan struct{} // folds at work at once
}

type keptPast struct {
	reader *Reader
	until  time.Time
}

const (
	pastKept  = 2
	pastFor   = 30 * time.Second
	pastAge   = time.Minute // how long ago a time must be for its fold to be kept
	pastSlots = 2
)

func newPastFolds() *pastFolds {
	return &pastFolds{kept: map[string]keptPast{}, slot: make(chan struct{}, pastSlots)}
}

// at is the reader that answers the question: itself, or one of the past.
func (r *Reader) at(ctx context.Context, m *Model, ask Ask) (*Reader, error) {
	if ask.AsOf.IsZero() || r.past {
		return r, nil
	}
	return r.engine.past.reader(ctx, r.engine, m, ask.AsOf)
}

func (p *pastFolds) reader(ctx context.Context, e *Engine, m *Model, asOf time.Time) (*Reader, error) {
	key := m.Name + "@" + asOf.UTC().Format(time.RFC3339Nano)
	if r := p.find(key); r != nil {
		return r, nil
	}
	select {
	case p.slot <- struct{}{}:
		defer func() { <-p.slot }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if r := p.find(key); r != nil {
		return r, nil
	}
	reader, err := e.foldPast(ctx, m, asOf)
	if err != nil {
		return nil, err
	}
	if e.options.Clock.Now().Sub(asOf) > pastAge {
		p.keep(key, reader)
	}
	return reader, nil
}

func (p *pastFolds) find(key string) *Reader {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept, ok := p.kept[key]
	if !ok || time.Now().After(kept.until) {
		delete(p.kept, key)
		return nil
	}
	return kept.reader
}

func (p *pastFolds) keep(key string, r *Reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for oldest := range p.kept {
		if len(p.kept) < pastKept {
			break
		}
		delete(p.kept, oldest)
	}
	p.kept[key] = keptPast{r, time.Now().Add(pastFor)}
}

var errPastReached = errors.New("the log has been read")

// foldPast folds the model as it was.
func (e *Engine) foldPast(ctx context.Context, m *Model, asOf time.Time) (*Reader, error) {
	if e.options.Log == nil {
		return nil, &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "The log can't be read here."}
	}
	options := e.options
	options.Documents, options.Hooks, options.Logger = newMemory(), Hooks{}, slog.New(slog.DiscardHandler)
	side := New(options)
	side.skips = e.skipped
	g := generation{m, 1}
	if _, err := side.registry.fresh(ctx, m); err != nil {
		return nil, err
	}
	events, over := 0, map[string]bool{}
	cache := newWorkCache(e.options.AsOfEvents)
	err := e.options.Log.Tail(ctx, domain.From{}, m.Prefixes(), func(ctx context.Context, batch []domain.Delivery, _ uint64, live bool) error {
		var hints []hint
		for _, d := range batch {
			if !m.Feeds(d.Stream) || over[d.Stream] {
				continue
			}
			if events++; events > e.options.AsOfEvents {
				return tooExpensive(e.options.AsOfEvents)
			}
			if when(d.Recorded).After(asOf) {
				over[d.Stream] = true
				continue
			}
			hints = append(hints, hint{stream: d.Stream, revision: d.Revision, event: d.Recorded, known: true, err: d.Err})
		}
		for _, result := range side.project(ctx, g, hints, cache) {
			if result.outcome == failed {
				return result.err
			}
		}
		if live {
			return errPastReached
		}
		return nil
	})
	if !errors.Is(err, errPastReached) {
		if err == nil {
			err = ctx.Err()
		}
		return nil, err
	}
	return &Reader{engine: e, documents: options.Documents, now: func() time.Time { return asOf }, past: true}, nil
}

func tooExpensive(most int) error {
	return &domain.Error{Kind: domain.KindInvalid, Code: "as_of_too_expensive",
		Message: fmt.Sprintf("This question about the past would fold more than %d events; ask it about one order, stock item, account or fulfilment.", most),
		Fields:  []domain.Field{{Pointer: "/asOf", Code: "too_expensive", Detail: fmt.Sprintf("would fold more than %d events", most)}}}
}
