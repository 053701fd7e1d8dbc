// Package application carries out commands: it loads a stream, recognises a repeat, lets the domain
// decide and appends what was decided at the revision that was read. It knows no transport, no JSON
// shape of events and no store; the ports below are what it needs from outside. Process managers live
// here too. Commands never wait for a read model.
package application

import (
	"context"
	"iter"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// EventStore is the log, stream by stream. Every method is bounded by its context even while the
// adapter reconnects. Failures are *domain.Error: KindUnavailable (certainly not done), KindUnknown
// (an append whose outcome nobody knows), KindConflict with Revision (the expectation did not hold),
// KindUndecodable (an event this binary can't read).
type EventStore interface {
	// Append writes events to stream, all or none, if the stream's last event is the one in after.
	// A repeat of an append that already succeeded (same ids at the same revisions) succeeds again.
	Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error)

	// ReadStream yields the events of stream with revision >= from, in order. A stream that does not
	// exist yields nothing. An event that can't be decoded is yielded with a KindUndecodable error
	// and everything but Event set; any other error ends the sequence.
	ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error]

	// ReadLast gives the newest event of stream; ok is false if there is none.
	ReadLast(ctx context.Context, stream string) (last domain.Recorded, ok bool, err error)

	// KeepNewest bounds how many events of stream stay readable; for snapshot streams.
	KeepNewest(ctx context.Context, stream string, events int) error
}

// Handler takes a batch of deliveries and answers one outcome for each, in order: nil acknowledges;
// KindUnavailable, KindUnknown, KindConflict, KindStale and context errors are delivered again; any
// other error parks the delivery on the server, which raises an alarm.
type Handler func(ctx context.Context, batch []domain.Delivery) []error

// Batching bounds the batches that a consumer takes.
type Batching struct {
	Size int           // at most this many deliveries; 0 means 100
	Wait time.Duration // at most this long for the batch to fill; 0 means 5 ms
}

// Subscriptions delivers events to whoever follows the log.
type Subscriptions interface {
	// Consume creates the group from the start of the log if it is missing, then hands its deliveries
	// to handle, batch by batch, resubscribing for ever with backoff. It returns when ctx ends.
	Consume(ctx context.Context, group domain.Group, batching Batching, handle Handler) error

	// Tail reads the whole log from a position on, filtered by stream prefixes, first history, then
	// what comes, and calls handle for each batch, in order, without gaps or repeats, resubscribing
	// for ever. checkpoint is a position with nothing undelivered at or before it; live is true once
	// history has been read. Tail returns when ctx ends or handle fails, with handle's error.
	Tail(ctx context.Context, from domain.From, prefixes []string, handle func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error) error
}

// Groups administers persistent subscriptions. Errors: KindNotFound for a missing group.
type Groups interface {
	List(ctx context.Context) ([]domain.GroupInfo, error)
	Info(ctx context.Context, group string) (domain.GroupInfo, error)
	Create(ctx context.Context, group domain.Group, from domain.From) error
	// Update changes settings of the group, which goes on from its checkpoint; what it follows stays. Its
	// consumers are disconnected by the server and resubscribe by themselves.
	Update(ctx context.Context, group string, change domain.GroupChange) error
	Delete(ctx context.Context, group string) error
	// Reset moves the group: it is deleted and made anew with the settings it has, changed by those of
	// group; its consumers resubscribe by themselves. KindUnknown: it is deleted, and consumers that find it
	// missing make it anew from the start.
	Reset(ctx context.Context, group domain.Group, from domain.From) error
	// Parked lists parked events, oldest first, at most limit.
	Parked(ctx context.Context, group string, limit int) ([]domain.Parked, error)
	// ReplayParked delivers parked events again: the oldest limit of them, or all for 0.
	ReplayParked(ctx context.Context, group string, limit int) error
}

// Clock tells the time; the one of production is the machine's.
type Clock interface {
	Now() time.Time
}
