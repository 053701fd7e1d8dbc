package readmodels

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

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

// since is the time from an event's being stored to now.
func since(event domain.Recorded, now time.Time) time.Duration {
	at := event.Stored
	if at.IsZero() {
		at = event.Meta.At
	}
	return max(0, now.Sub(at))
}
