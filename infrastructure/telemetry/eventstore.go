package telemetry

import (
	"context"
	"iter"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// EventStore measures and traces every call to an event store.
func EventStore(store application.EventStore, metrics *Metrics) application.EventStore {
	return &measuredStore{store: store, metrics: metrics}
}

type measuredStore struct {
	store   application.EventStore
	metrics *Metrics
}

func (s *measuredStore) begin(ctx context.Context, call, stream string) (context.Context, func(error)) {
	began := time.Now()
	ctx, span := tracer.Start(cause(ctx, stream), "eventstore "+call, trace.WithSpanKind(trace.SpanKindClient), storeCall(call, stream))
	return ctx, func(err error) {
		s.metrics.storeSeconds.WithLabelValues(call, outcome(err)).Observe(time.Since(began).Seconds())
		end(span, err)
	}
}

// Append implements application.EventStore.
func (s *measuredStore) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	ctx, done := s.begin(ctx, "append", stream)
	appended, err := s.store.Append(ctx, stream, after, events)
	done(err)
	return appended, err
}

// ReadStream implements application.EventStore.
func (s *measuredStore) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		ctx, done := s.begin(ctx, "read", stream)
		var last error
		defer func() { done(last) }()
		for recorded, err := range s.store.ReadStream(ctx, stream, from) {
			last = err
			if !yield(recorded, err) {
				return
			}
		}
	}
}

// ReadLast implements application.EventStore.
func (s *measuredStore) ReadLast(ctx context.Context, stream string) (domain.Recorded, bool, error) {
	ctx, done := s.begin(ctx, "read_last", stream)
	recorded, ok, err := s.store.ReadLast(ctx, stream)
	done(err)
	return recorded, ok, err
}

// KeepNewest implements application.EventStore.
func (s *measuredStore) KeepNewest(ctx context.Context, stream string, events int) error {
	ctx, done := s.begin(ctx, "keep_newest", stream)
	err := s.store.KeepNewest(ctx, stream, events)
	done(err)
	return err
}
