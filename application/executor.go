package application

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
)

// Options of an Executor. Zero means the default.
type Options struct {
	Clock Clock            // the machine's
	NewID func() uuid.UUID // ids of commands without a key; random

	SnapshotEvery int   // events between snapshots of a stream; 100; negative: no snapshots
	CacheBytes    int64 // what hot aggregates may hold in memory; 64 MiB; negative: no cache

	Attempts  int           // how often a command starts over before revision_conflict; 64
	Backoff   time.Duration // longest pause before a command on a stream that other processes write, too; 2 ms
	Waiting   int           // how many commands may wait for the same stream; 1024
	StoreWait time.Duration // how long the store may leave a command without answers, in sum, before it counts as unreachable; 1400 ms

	Hooks Hooks
}

// Hooks are called as things happen, from many goroutines; they must be quick. Nil ones are left out.
type Hooks struct {
	// Loaded: an aggregate was read; events is how many were folded on top of the start.
	Loaded func(category string, start Start, events int)
	// Snapshot: a load began at a snapshot of this age.
	Snapshot func(category string, age time.Duration, events int64)
	// SnapshotIgnored: a snapshot was not trusted.
	SnapshotIgnored func(stream, reason string)
	// SnapshotTaken: one was written, or could not be: err.
	SnapshotTaken func(stream string, err error)
	// Conflict: somebody else wrote first; attempt counts from 1.
	Conflict func(category, operation string, attempt int)
	// Queued: a command waited for its turn on a stream.
	Queued func(category string, waited time.Duration)
	// Unknown: an append had no answer; resolved tells whether its outcome was found out.
	Unknown func(stream string, resolved bool)
	// Replayed: a repeat was recognised.
	Replayed func(operation string)
}

// Start is where a load began.
type Start int

// The starts.
const (
	FromFirst    Start = iota // at the stream's first event
	FromSnapshot              // at a snapshot
	FromCache                 // at a state in memory
)

// String names the start for metrics.
func (s Start) String() string { return [...]string{"first", "snapshot", "cache"}[s] }

// Executor carries out commands on streams. It is safe for concurrent use.
type Executor struct {
	store     EventStore
	options   Options
	hooks     Hooks
	queue     *queue
	cache     *cache
	snapshots *snapshotter
}

// NewExecutor makes an executor over store. It works without Run, but then takes no snapshots.
func NewExecutor(store EventStore, options Options) *Executor {
	options = options.filled()
	e := &Executor{
		store: store, options: options, hooks: options.Hooks.filled(),
		queue: newQueue(options.Waiting),
		cache: newCache(options.CacheBytes),
	}
	e.snapshots = newSnapshotter(e)
	return e
}

// Run takes snapshots until ctx ends. What waits to be taken then is dropped: snapshots are a cache.
func (e *Executor) Run(ctx context.Context) { e.snapshots.run(ctx) }

func (o Options) filled() Options {
	if o.Clock == nil {
		o.Clock = machineClock{}
	}
	if o.NewID == nil {
		o.NewID = uuid.New
	}
	o.SnapshotEvery = cmp.Or(o.SnapshotEvery, 100)
	o.CacheBytes = cmp.Or(o.CacheBytes, 64<<20)
	o.Attempts = cmp.Or(o.Attempts, 64)
	o.Backoff = cmp.Or(o.Backoff, 2*time.Millisecond)
	o.Waiting = cmp.Or(o.Waiting, 1024)
	o.StoreWait = cmp.Or(o.StoreWait, 1400*time.Millisecond)
	return o
}

func (h Hooks) filled() Hooks {
	if h.Loaded == nil {
		h.Loaded = func(string, Start, int) {}
	}
	if h.Snapshot == nil {
		h.Snapshot = func(string, time.Duration, int64) {}
	}
	if h.SnapshotIgnored == nil {
		h.SnapshotIgnored = func(string, string) {}
	}
	if h.SnapshotTaken == nil {
		h.SnapshotTaken = func(string, error) {}
	}
	if h.Conflict == nil {
		h.Conflict = func(string, string, int) {}
	}
	if h.Queued == nil {
		h.Queued = func(string, time.Duration) {}
	}
	if h.Unknown == nil {
		h.Unknown = func(string, bool) {}
	}
	if h.Replayed == nil {
		h.Replayed = func(string) {}
	}
	return h
}

type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

// pause waits a random time of at most longest. The randomness spreads replicas that ran into each other.
func pause(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(rand.N(longest + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return storeSilent(context.Cause(ctx))
	}
}

// defect is an error of ours: what must not happen did.
func defect(message string) *domain.Error {
	return &domain.Error{Kind: domain.KindInternal, Code: "internal", Message: message}
}
