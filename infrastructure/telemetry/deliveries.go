package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// tracedDeliveries bounds the spans that one batch makes for its deliveries; a consumer that catches up
// takes hundreds of events at once, and those that come after the bound have no span.
const tracedDeliveries = 32

// Deliveries traces a consumer's handler: each delivery of a sampled trace gets a span called name below
// the request that caused the event. What the handler asks of the event store belongs to that span too,
// as far as it can be told: by the only trace of the batch, else by the id that both streams carry, else
// it belongs to a span of the batch, which is linked to those of its deliveries. Without tracing the
// handler is called as it is.
func Deliveries(name string, handle application.Handler) application.Handler {
	return func(ctx context.Context, batch []domain.Delivery) []error {
		if !tracing.Load() {
			return handle(ctx, batch)
		}
		spans := deliverySpans(ctx, name, batch)
		if len(spans) == 0 {
			return handle(ctx, batch)
		}
		ctx, done := within(ctx, name, batch, spans)
		outcomes := handle(ctx, batch)
		done()
		for i, span := range spans {
			var err error
			if i < len(outcomes) {
				err = outcomes[i]
			}
			end(span, err)
		}
		return outcomes
	}
}

// deliverySpans starts the spans of a batch, by index of their deliveries.
func deliverySpans(ctx context.Context, name string, batch []domain.Delivery) map[int]trace.Span {
	spans := map[int]trace.Span{}
	for i, d := range batch {
		if d.Meta.TraceParent == "" {
			continue
		}
		caused := Continue(ctx, d.Meta.TraceParent)
		if !trace.SpanContextFromContext(caused).IsSampled() {
			continue
		}
		_, spans[i] = tracer.Start(caused, name, trace.WithSpanKind(trace.SpanKindConsumer), delivered(d))
		if len(spans) == tracedDeliveries {
			break
		}
	}
	return spans
}

// within is the context that a batch is handled in; done ends the span of the batch, if it has one.
func within(ctx context.Context, name string, batch []domain.Delivery, spans map[int]trace.Span) (_ context.Context, done func()) {
	byID := make(map[string]trace.Span, len(spans))
	traces := map[trace.TraceID]bool{}
	links := make([]trace.Link, 0, len(spans))
	var first trace.Span
	for i := range batch {
		span, traced := spans[i]
		if !traced {
			continue
		}
		if first == nil {
			first = span
		}
		byID[domain.StreamID(batch[i].Stream)] = span // the newest: what happened last is what moves things on
		traces[span.SpanContext().TraceID()] = true
		links = append(links, trace.Link{SpanContext: span.SpanContext()})
	}
	if len(traces) == 1 && len(spans) == len(batch) {
		return trace.ContextWithSpan(ctx, first), func() {}
	}
	ctx, span := tracer.Start(ctx, name+" batch", trace.WithLinks(links...), trace.WithAttributes(attribute.Int("messaging.batch.message_count", len(batch))))
	return context.WithValue(ctx, causes{}, byID), func() { span.End() }
}

// causes is the context key of a batch's spans by the id of their streams.
type causes struct{}

// cause is ctx below the delivery that a call about stream is made for, where a batch says so.
func cause(ctx context.Context, stream string) context.Context {
	if !tracing.Load() {
		return ctx
	}
	byID, _ := ctx.Value(causes{}).(map[string]trace.Span)
	if span := byID[domain.StreamID(stream)]; span != nil {
		return trace.ContextWithSpan(ctx, span)
	}
	return ctx
}
