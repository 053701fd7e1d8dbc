package readmodels

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// silentFor is how long the event store may leave a read without an answer, or without its next event.
const silentFor = 2 * time.Second

// heedful are streams whose reads end when the store falls silent. A long stream may take as long as it needs.
type heedful struct{ streams Streams }

// heed bounds the silence of streams.
func heed(streams Streams) Streams {
	if _, already := streams.(heedful); already || streams == nil {
		return streams
	}
	return heedful{streams}
}

var errSilent = errors.New("the event store fell silent")

// eventStoreSilent says that a read got no answer.
func eventStoreSilent() *domain.Error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "The event store does not answer.", Err: errSilent}
}

// ReadStream implements Streams.
func (h heedful) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		bounded, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		silence := time.AfterFunc(silentFor, func() { cancel(context.DeadlineExceeded) })
		defer silence.Stop()
		for event, err := range h.streams.ReadStream(bounded, stream, from) {
			silence.Stop() // what the caller does with it is not the store's time
			if err != nil && ctx.Err() == nil && bounded.Err() != nil {
				yield(domain.Recorded{}, eventStoreSilent())
				return
			}
			if !yield(event, err) {
				return
			}
			silence.Reset(silentFor)
		}
		if ctx.Err() == nil && bounded.Err() != nil { // whoever merely stopped has not read it all
			yield(domain.Recorded{}, eventStoreSilent())
		}
	}
}

// ReadLast implements Streams.
func (h heedful) ReadLast(ctx context.Context, stream string) (domain.Recorded, bool, error) {
	bounded, cancel := context.WithTimeout(ctx, silentFor)
	defer cancel()
	last, ok, err := h.streams.ReadLast(bounded, stream)
	if err != nil && ctx.Err() == nil && bounded.Err() != nil {
		return domain.Recorded{}, false, eventStoreSilent()
	}
	return last, ok, err
}
