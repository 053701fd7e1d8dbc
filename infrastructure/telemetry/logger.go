// Package telemetry is where logs, metrics and traces come from: the logger, the registry with every
// metric's name, the tracer with every span's name, and wrappers of the ports. Engines know nothing of
// it; they report through callbacks.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger writes lines of the format, "text" or "json", from the level on: debug, info, warn or error.
// Each line carries the trace id of its context.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: %w", level, err)
	}
	options := &slog.HandlerOptions{Level: least}
	var handler slog.Handler = slog.NewTextHandler(w, options)
	if format == "json" {
		options.ReplaceAttr = readable
		handler = slog.NewJSONHandler(w, options)
	}
	return slog.New(traced{handler}), nil
}

// readable writes times as in "1.5s": a number would be of nanoseconds, and say so nowhere.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// traced adds the trace id of the context to each record.
type traced struct{ slog.Handler }

// Handle implements slog.Handler.
func (h traced) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

// WithGroup implements slog.Handler.
func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
