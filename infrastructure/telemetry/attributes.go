package telemetry

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/tidemark-dev/tidemark/domain"
)

func serviceName(program string) attribute.KeyValue {
	return attribute.String("service.name", program)
}

// end finishes a span with the outcome of what it covered. Refusals are outcomes, not failures.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetAttributes(attribute.String("error.code", domain.CodeOf(err)))
		if failed(err) {
			span.SetStatus(codes.Error, domain.CodeOf(err))
		}
	}
	span.End()
}

// failed tells failures from outcomes that belong to normal work.
func failed(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindInvalid, domain.KindNotFound, domain.KindForbidden, domain.KindRefused, domain.KindConflict, domain.KindMismatch, domain.KindMalformed:
		return false
	default:
		return true
	}
}

// outcome is the label that a finished call gets.
func outcome(err error) string {
	if err == nil {
		return "done"
	}
	switch domain.KindOf(err) {
	case domain.KindConflict:
		return "conflict"
	case domain.KindUnavailable:
		return "not_done"
	case domain.KindUnknown:
		return "unknown"
	default:
		return "failed"
	}
}
