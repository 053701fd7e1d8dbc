package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
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
	otel.SetErrorHandler(&lost{log: log, now: time.Now})
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

// lostEvery is how often the log is told of spans that could not be sent.
const lostEvery = time.Minute

// lost tells of spans that could not be sent: at once, and then once in a while, for a collector that is away fails
// every batch.
type lost struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	told   time.Time
	silent int
}

// Handle implements otel.ErrorHandler.
func (l *lost) Handle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); l.told.IsZero() || now.Sub(l.told) >= lostEvery {
		l.log.Warn("spans were lost", "error", err, "batches_before", l.silent)
		l.told, l.silent = now, 0
		return
	}
	l.silent++
}

// TraceRequests starts a span for every request, continuing the caller's trace. Its name is the route, and it has the
// request's id, by which it is found from the log and from an answer. Without tracing it is
// next itself: what only passes the caller's header on need not cost every refused request a span.
func TraceRequests(next http.Handler) http.Handler {
	if !tracing.Load() {
		return next
	}
	described := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		span := trace.SpanFromContext(r.Context())
		if r.Pattern != "" { // known only now
			span.SetAttributes(attribute.String("http.route", r.Pattern))
		}
		span.SetAttributes(attribute.StringSlice("http.response.header.x-request-id", w.Header().Values("X-Request-Id")))
	})
	return otelhttp.NewHandler(described, "http", otelhttp.WithPropagators(propagation.TraceContext{}))
}

// Continue is ctx within the trace that an event's metadata names, so that a projection or a process
// step shows up under the request that caused it. Events don't keep a tracestate: it is the vendors', of any content,
// and an event outlives it.
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
