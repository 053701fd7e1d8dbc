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
	switch code := domain.CodeOf(err); {
	case err == nil:
	case failed(err):
		span.SetAttributes(attribute.String("error.type", code))
		span.SetStatus(codes.Error, code)
	default:
		span.SetAttributes(attribute.String("tidemark.refusal", code))
	}
	span.End()
}

// Attributes are named as the semantic conventions of OpenTelemetry say where those have a name, else below
// "tidemark.". What events and requests contain is in none of them.

// storeCall describes a call to the event store.
func storeCall(call, stream string) trace.SpanStartEventOption {
	return trace.WithAttributes(attribute.String("db.system.name", "eventstoredb"), attribute.String("db.operation.name", call),
		attribute.String("db.collection.name", domain.Category(stream)), attribute.String("tidemark.stream", stream))
}

// delivered describes a delivery.
func delivered(d domain.Delivery) trace.SpanStartEventOption {
	return trace.WithAttributes(attribute.String("messaging.system", "eventstoredb"), attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"), attribute.String("messaging.destination.name", domain.Category(d.Stream)),
		attribute.String("messaging.message.id", d.ID), attribute.String("tidemark.stream", d.Stream), attribute.Int64("tidemark.revision", d.Revision),
		attribute.String("tidemark.event_type", d.Type), attribute.Int("tidemark.retry", d.Retry))
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
