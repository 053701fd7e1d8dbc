// Package domain holds the words that every other package shares: events as they are
// proposed and recorded, their metadata, the outcome of a delivery, money and refusals.
// It knows no aggregate, no store and no transport; it reads no clock and does no I/O.
package domain

import (
	"strings"
	"time"
)

// NoStream is the revision of a stream that does not exist: one before its first event.
const NoStream int64 = -1

// Event is a fact in the past tense. Implementations are plain structs whose field tags are
// the stored shape; EventType is the stored name and is written by hand beside the type.
type Event interface {
	EventType() string
}

// Meta is the envelope that every event carries. The zero value of a field means that the
// stored metadata did not have it.
type Meta struct {
	SchemaVersion int       // version of the stored shape; 1 where the metadata names none
	CorrelationID string    // $correlationId: what the event belongs to
	CausationID   string    // $causationId: the command or event that caused it
	CommandID     string    // the command that produced it
	RequestHash   string    // fingerprint of the request behind the command; finds a reused key
	Actor         string    // who: the principal's subject, or "process:<name>"
	BatchIndex    int       // place of the event among those of its command, from 0
	BatchSize     int       // how many events the command produced in this stream
	At            time.Time // when, by the injected clock; UTC, whole microseconds
	TraceParent   string    // W3C trace context of the request
	PrevHash      string    // Hash of the event before it in the stream; empty for the first
	Hash          string    // SHA-256 of PrevHash and of the event's own content, hex
}

// Proposed is an event on its way to a stream.
type Proposed struct {
	ID    string // UUID, derived from (command id, stream, index)
	Event Event
	Meta  Meta // PrevHash, Hash and SchemaVersion are filled in by the store's codec
}

// Recorded is an event as it was read from the log.
type Recorded struct {
	Event    Event // nil when it could not be decoded: see the error that came with it
	Type     string
	ID       string
	Stream   string
	Revision int64  // place in the stream, from 0
	Position uint64 // place in the whole log, strictly increasing
	Stored   time.Time
	Meta     Meta
}

// Tip is where a stream stood when it was read: what an append is expected to follow.
type Tip struct {
	Revision int64  // NoStream if there was none
	Hash     string // Meta.Hash of the event at Revision
}

// Appended is what a store says of a finished append.
type Appended struct {
	Revision int64  // of the last event written
	Position uint64 // of the last event written
	Hash     string // Meta.Hash of the last event written
}

// Stream names the stream of one aggregate: "<category>-<id>".
func Stream(category, id string) string { return category + "-" + id }

// Category is the part of a stream's name before the first "-"; empty if there is none or
// the name starts with "$" (a system stream).
func Category(stream string) string {
	if strings.HasPrefix(stream, "$") {
		return ""
	}
	category, _, found := strings.Cut(stream, "-")
	if !found {
		return ""
	}
	return category
}

// StreamID is the part of a stream's name after the first "-".
func StreamID(stream string) string {
	_, id, _ := strings.Cut(stream, "-")
	return id
}
