package telemetry

import (
	"context"
	"fmt"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidemark-dev/tidemark/domain"
)

// recording puts finished spans into the recorder that it gives, until the test ends.
func recording(t *testing.T) *tracetest.SpanRecorder {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	before := tracer
	tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	tracing.Store(true)
	t.Cleanup(func() {
		tracer = before
		tracing.Store(false)
	})
	return recorder
}

// caused is a delivery of an event that a request of the numbered trace caused.
func caused(stream string, number int, flags string) domain.Delivery {
	d := domain.Delivery{Recorded: domain.Recorded{Stream: stream, Type: "OrderConfirmed"}}
	d.Meta.TraceParent = fmt.Sprintf("00-%032x-%016x-%s", number, number, flags)
	return d
}

func TestDeliveriesBelongToTheTraceOfTheirEvent(t *testing.T) {
	recorder := recording(t)
	batch := []domain.Delivery{caused("order-1", 1, "01"), caused("order-2", 2, "01"), caused("order-3", 3, "00"), {Recorded: domain.Recorded{Stream: "order-4"}}}
	failure := &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable"}
	within := map[string]trace.TraceID{}
	outcomes := Deliveries("project", func(ctx context.Context, batch []domain.Delivery) []error {
		for _, stream := range []string{"fulfilment-1", "fulfilment-2", "account-9"} {
			within[stream] = trace.SpanContextFromContext(cause(ctx, stream)).TraceID()
		}
		return []error{nil, failure, nil, nil}
	})(t.Context(), batch)
	if len(outcomes) != 4 || outcomes[1] != error(failure) {
		t.Errorf("outcomes %v", outcomes)
	}
	spans := map[string]sdktrace.ReadOnlySpan{}
	for _, span := range recorder.Ended() {
		spans[span.Name()+" "+span.Parent().SpanID().String()] = span
	}
	first, second, whole := spans["project 0000000000000001"], spans["project 0000000000000002"], spans["project batch 0000000000000000"]
	if len(spans) != 3 || first == nil || second == nil || whole == nil {
		t.Fatalf("spans %v", spans)
	}
	if within["fulfilment-1"] != first.SpanContext().TraceID() || within["fulfilment-2"] != second.SpanContext().TraceID() || within["account-9"] != whole.SpanContext().TraceID() {
		t.Errorf("calls of the handler belong to %v", within)
	}
	if len(whole.Links()) != 2 || second.Status().Description != failure.Code || first.Status().Description != "" {
		t.Errorf("%d links, outcomes %v and %v", len(whole.Links()), first.Status(), second.Status())
	}
}

func TestSpansOfABatchAreBounded(t *testing.T) {
	recorder := recording(t)
	batch := make([]domain.Delivery, 200)
	for i := range batch {
		batch[i] = caused(fmt.Sprintf("order-%d", i), i+1, "01")
	}
	Deliveries("project", func(context.Context, []domain.Delivery) []error { return make([]error, 200) })(t.Context(), batch)
	if got := len(recorder.Ended()); got != tracedDeliveries+1 {
		t.Errorf("%d spans for 200 deliveries", got)
	}
}

// TestTracingThatIsOffCostsNothing: the handler gets what it would get without the wrapper.
func TestTracingThatIsOffCostsNothing(t *testing.T) {
	batch := []domain.Delivery{caused("order-1", 1, "01")}
	outcomes := []error{nil}
	ctx := t.Context()
	handle := Deliveries("project", func(got context.Context, _ []domain.Delivery) []error {
		if got != ctx {
			t.Error("another context")
		}
		return outcomes
	})
	if allocations := testing.AllocsPerRun(100, func() { handle(ctx, batch) }); allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}
