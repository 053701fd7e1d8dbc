// Package eventlog is the engine of the embedded node: an append-only log of streams in one SQLite
// file, with the observable semantics of EventStoreDB and no idea of gRPC. It appends with one writer
// and group commit (many appends, one sync) and answers only after the sync; it reads streams and the
// whole log, evaluates stream metadata ($maxCount, $maxAge, $tb), deletes and tombstones, and computes
// the built-in projections' streams in the append's own transaction.
//
// An I/O error while committing is final: the log stops itself, because SQLite accepts further commits
// after a failed sync although the failed one is gone.
package eventlog

import (
	"errors"
	"fmt"
)

// Expected revisions with a meaning of their own, as EventStoreDB numbers them.
const (
	Any          int64 = -2
	NoStream     int64 = -1
	StreamExists int64 = -4
)

// Tombstone is the revision of the event that ends a stream for good.
const Tombstone int64 = 1<<63 - 1

// Names of system events.
const (
	TypeMetadata      = "$metadata"
	TypeStreamDeleted = "$streamDeleted"
	TypeLink          = "$>"
)

// Event is an event as stored.
type Event struct {
	Stream   string
	Revision int64
	Position int64 // > 0, strictly increasing over the whole log, with gaps; commit = prepare
	ID       [16]byte
	Type     string
	JSON     bool
	Data     []byte
	Metadata []byte // the client's custom metadata
	Created  int64  // 100 ns units since the Unix epoch
}

// Resolved is what a reader gets: an event, or a link with the event it points at. With links
// resolved, Link is the "$>" event and Event its target, nil if the target can't be read any more.
type Resolved struct {
	Event *Event
	Link  *Event
}

// Original is the event of the stream that was read: the link if there is one.
func (r Resolved) Original() *Event {
	if r.Link != nil {
		return r.Link
	}
	return r.Event
}

// Proposed is an event to append.
type Proposed struct {
	ID       [16]byte
	Type     string
	JSON     bool
	Data     []byte
	Metadata []byte
}

// Appended is the outcome of an append: revision and position of the last event of the request.
// Revision is -1 where the stream has no events; Position is 0 where it is not known any more.
type Appended struct {
	Revision int64
	Position int64
	Repeated bool // recognised as a repeat; nothing was written
}

// StreamQuery reads one stream. From is inclusive; forwards it may lie before the first readable
// revision, backwards -1 means the end.
type StreamQuery struct {
	Stream       string
	From         int64
	Backwards    bool
	Limit        int
	ResolveLinks bool
}

// StreamPage is a page of a stream. First and Last are the stream's first readable and last ever
// written revision; Next is where the next page starts; End says that there is nothing behind it now.
type StreamPage struct {
	Events []Resolved
	First  int64
	Last   int64
	Next   int64
	End    bool
}

// AllQuery reads the whole log. Forwards From is inclusive, backwards exclusive (0 forwards: from the
// start; backwards -1: from the end). Window bounds how many events are examined, Limit how many are
// returned; Filter decides on the original event, never on a link's target.
type AllQuery struct {
	From         int64
	Backwards    bool
	Window       int
	Limit        int
	ResolveLinks bool
	Hidden       bool   // also what is Hidden
	Filter       Filter // nil: everything
}

// AllPage is a page of the log. Examined is the position of the last event examined (0: none),
// matching or not; Count how many were; Next continues; End says that there is nothing behind it now.
type AllPage struct {
	Events   []Resolved
	Examined int64
	Count    int
	Next     int64
	End      bool
}

// Filter selects events of the whole log by stream or by type. Match must be quick and safe for
// concurrent use. StreamPrefixes may name prefixes that cover every match, so that an index can
// be used; nil if it can't tell.
type Filter interface {
	Match(stream, eventType string) bool
	StreamPrefixes() []string
}

// Errors of the log. ErrNotFound: the stream does not exist or is soft-deleted. ErrClosed: the log was
// closed. ErrFailed wraps the first I/O error; the log takes nothing any more.
var (
	ErrNotFound = errors.New("stream not found")
	ErrClosed   = errors.New("log is closed")
	ErrFailed   = errors.New("log stopped after an I/O error")
	ErrInvalid  = errors.New("invalid argument")
)

// WrongVersion is a failed expectation. Current is -1 if the stream has no events.
type WrongVersion struct {
	Stream            string
	Expected, Current int64
}

// Error implements error.
func (e *WrongVersion) Error() string {
	return fmt.Sprintf("stream %q is at %d, expected %d", e.Stream, e.Current, e.Expected)
}

// StreamDeleted is an operation on a tombstoned stream, or stream-exists on a soft-deleted one.
type StreamDeleted struct{ Stream string }

// Error implements error.
func (e *StreamDeleted) Error() string { return fmt.Sprintf("stream %q is deleted", e.Stream) }
