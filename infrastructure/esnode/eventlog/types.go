package eventlog

import (
	"errors"
	"time"
)

// ErrUncertain is in the error of an append whose commit failed: it may or may not be on the disk. It comes
// together with ErrFailed.
var ErrUncertain = errors.New("outcome unknown")

// StreamMetadata is what the latest event of "$$stream" says. The zero value of a limit means none. Metadata
// that is not JSON, or in which a known key has the wrong type, is empty as a whole.
type StreamMetadata struct {
	MaxCount       int64         // keep the newest n events; 0: all
	MaxAge         time.Duration // keep events younger than this; 0: for ever
	TruncateBefore int64         // first readable revision; Tombstone marks a soft-deleted stream
	CacheControl   time.Duration // for HTTP caches
	ACL            *ACL          // nil: none

	Revision int64  // of the metadata event; -1: there is none
	Raw      []byte // its data as written; nil if there is none or it does not count
}

// SoftDeleted reports whether the stream is deleted until somebody writes to it again.
func (m StreamMetadata) SoftDeleted() bool { return m.TruncateBefore == Tombstone }

// ACL holds the roles of a stream's "$acl"; nil lists were not given.
type ACL struct {
	Read, Write, Delete, MetaRead, MetaWrite []string
}

// State is how a stream stands.
type State struct {
	Stream      string
	First       int64 // first readable revision by count and truncation; Last+1 if there is none
	Last        int64 // last revision ever written; -1: never written
	SoftDeleted bool
	Tombstoned  bool
	Metadata    StreamMetadata
}

// Exists reports whether a reader finds the stream: it was written to and is not deleted.
func (s State) Exists() bool { return s.Last >= 0 && !s.SoftDeleted && !s.Tombstoned }

// ProjectionState is one built-in projection as it stands.
type ProjectionState struct {
	Name     string
	Query    string
	Enabled  bool
	Live     bool  // has caught up: computed in each append's own transaction from here on
	Position int64 // every source event up to here was handled
	Version  int64 // starts at 0, one more with each command
	Epoch    int64 // version at the last reset; -1: never reset
	Emitted  int64 // derived events written since the log was opened or the projection was reset
}

// Names of the built-in projections.
const (
	ByCategory       = "$by_category"
	ByEventType      = "$by_event_type"
	Streams          = "$streams"
	StreamByCategory = "$stream_by_category"
	ByCorrelationID  = "$by_correlation_id"
)

// ErrNoProjection: there is no built-in projection of that name.
var ErrNoProjection = errors.New("projection not found")

// Stats counts since the log was opened, except for the sizes.
type Stats struct {
	Head       int64 // position of the newest event
	Events     int64 // in the file
	Streams    int64 // names ever used
	FileBytes  int64
	WALBytes   int64
	Appends    int64 // requests that wrote
	Written    int64 // events written, derived ones too
	Repeats    int64 // requests recognised as repeats
	Conflicts  int64 // wrong expected revisions
	Commits    int64
	CommitTime time.Duration // in COMMIT, the sync included
	Queued     int           // requests waiting now
	Readers    int           // reading connections in use now
	TailEvents int           // newest events held in memory
	TailBytes  int
	TailReads  int64 // pages answered from memory
	FileReads  int64 // pages that needed SQLite
}

// ScavengeResult tells what a scavenge removed.
type ScavengeResult struct {
	Streams int64 // looked at
	Events  int64 // removed
	Bytes   int64 // of data and metadata removed
}
