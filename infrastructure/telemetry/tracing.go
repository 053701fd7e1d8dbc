package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// tracer makes all our spans; it does nothing until StartTracing found an endpoint.
var tracer = otel.Tracer("github.com/tidemark-dev/tidemark")

// tracing says that spans go somewhere: without that nobody prepares any.
var tracing atomic.Bool

// StartTracing sends spans to the endpoint that the standard OpenTelemetry variables name and gives
// the function that flushes and stops it. Without an endpoint it only passes trace contexts on. A
// collector that does not answer costs spans and a line in the log, never a request.
func StartTracing(ctx context.Context, program string, log *slog.Logger) (stop func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.TraceContext{})
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "" {
		return func(context.Context) error { return nil }, nil
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("spans were lost", "error", err) }))
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithProcessPID(), resource.WithHost(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	if os.Getenv("OTEL_SERVICE_NAME") == "" {
		named := resource.NewSchemaless(serviceName(program))
		if described, err = resource.Merge(described, named); err != nil {
			return nil, fmt.Errorf("tracing: %w", err)
		}
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))
	otel.SetTracerProvider(provider)
	tracing.Store(true)
	return provider.Shutdown, nil
}

// TraceRequests starts a span for every request, continuing the caller's trace. Without tracing it is
// next itself: what only passes the caller's header on need not cost every refused request a span.
func TraceRequests(next http.Handler) http.Handler {
	if !tracing.Load() {
		return next
	}
	return otelhttp.NewHandler(next, "http", otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Continue is ctx within the trace that an event's metadata names, so that a projection or a process
// step shows up under the request that caused it.
func Continue(ctx context.Context, traceParent string) context.Context {
	if traceParent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceParent})
}

// TraceParent is the W3C form of ctx's span, empty without one.
func TraceParent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
