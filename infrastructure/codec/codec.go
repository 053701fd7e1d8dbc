// Package codec stands between stored bytes and the domain's events: stored names and types, JSON,
// the metadata envelope, the hash chain, and the upcasters that carry every shape ever stored to
// today's. Old shapes end here; nothing above knows that they exist. It does no I/O and reads no clock.
//
// A corpus of every version ever written lies in testdata/golden, and a test reads all of it.
package codec

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Codes of undecodable events.
const (
	CodeUnknownType   = "unknown_event_type"
	CodeUnreadable    = "unreadable_event"
	CodeFutureVersion = "future_schema_version"
)

// Raw is an event as the log holds it.
type Raw struct {
	Stream   string
	Revision int64
	Position uint64
	ID       string
	Type     string
	Stored   time.Time // when the log took it
	Data     []byte
	Metadata []byte
}

// Encoded is an event ready to be appended; data and metadata are JSON objects.
type Encoded struct {
	ID       string
	Type     string
	Data     []byte
	Metadata []byte
}

// Size is what the event counts against the log's limit for one append, in bytes.
func (e Encoded) Size() int { return len(e.Data) + len(e.Metadata) + 2*len(e.Type) }

// Encode turns events that follow after in stream into their stored form at today's schema version
// and chains their hashes; last is the hash of the last one. It fails only for an event that no
// list of events names or that JSON can't express: both are defects of ours.
func Encode(stream string, after domain.Tip, events []domain.Proposed) (encoded []Encoded, last string, err error) {
	encoded = make([]Encoded, 0, len(events))
	last = after.Hash
	for i, proposed := range events {
		kind, known := registry[proposed.Event.EventType()]
		if !known {
			return nil, "", &domain.Error{Kind: domain.KindInternal, Code: CodeUnknownType,
				Message: fmt.Sprintf("The event type %q is in no list of events.", proposed.Event.EventType())}
		}
		data, err := json.Marshal(proposed.Event)
		if err != nil {
			return nil, "", fmt.Errorf("encode %s: %w", kind.name, err)
		}
		meta := proposed.Meta
		meta.SchemaVersion = kind.version
		meta.PrevHash = last
		raw := Raw{Stream: stream, Revision: after.Revision + 1 + int64(i), ID: proposed.ID, Type: kind.name, Data: data}
		raw.Metadata, last, err = encodeMeta(raw, meta)
		if err != nil {
			return nil, "", fmt.Errorf("encode metadata of %s: %w", kind.name, err)
		}
		encoded = append(encoded, Encoded{ID: raw.ID, Type: raw.Type, Data: data, Metadata: raw.Metadata})
	}
	return encoded, last, nil
}

// Decode reads a stored event. An event that can't be read gives a *domain.Error of KindUndecodable
// with one of the codes above, and a Recorded with everything but Event. Decode never panics,
// whatever the bytes.
func Decode(raw Raw) (domain.Recorded, error) {
	recorded := domain.Recorded{
		Type: raw.Type, ID: raw.ID, Stream: raw.Stream, Revision: raw.Revision,
		Position: raw.Position, Stored: raw.Stored,
	}
	envelope, err := decodeMeta(raw.Metadata)
	recorded.Meta = envelope.meta
	if recorded.Meta.Hash == "" {
		recorded.Meta.Hash = Hash(raw)
	}
	recorded.Meta.At = happened(envelope.meta.At, time.Time{}, raw.Stored)
	if err != nil {
		return recorded, undecodable(CodeUnreadable, raw, err)
	}
	kind, known := registry[raw.Type]
	if !known {
		return recorded, undecodable(CodeUnknownType, raw, nil)
	}
	if envelope.meta.SchemaVersion > kind.version {
		return recorded, undecodable(CodeFutureVersion, raw,
			fmt.Errorf("version %d, newest known is %d", envelope.meta.SchemaVersion, kind.version))
	}
	event, dated, err := kind.decode(envelope, raw.Data)
	if err != nil {
		return recorded, undecodable(CodeUnreadable, raw, err)
	}
	recorded.Event = event
	recorded.Meta.At = happened(envelope.meta.At, dated, raw.Stored)
	return recorded, nil
}

// happened is when an event happened: what the writer's metadata says, else its data, else when
// the log took it.
func happened(meta, data, stored time.Time) time.Time {
	switch {
	case !meta.IsZero():
		return meta
	case !data.IsZero():
		return data
	}
	return moment(stored)
}

func undecodable(code string, raw Raw, cause error) *domain.Error {
	message := fmt.Sprintf("Event %d of stream %q (%s) can't be read.", raw.Revision, raw.Stream, raw.Type)
	return &domain.Error{Kind: domain.KindUndecodable, Code: code, Message: message, Err: cause}
}

// moment is the resolution that stored times have: UTC, whole microseconds.
func moment(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}
