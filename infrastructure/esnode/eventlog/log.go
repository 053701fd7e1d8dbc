package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

const (
	// cachedHeads bounds each of the two caches of stream heads (twice this number is held at most).
	cachedHeads = 16 << 10
	// cachedNames bounds the names of streams held for reads of the whole log, likewise.
	cachedNames = 32 << 10
)

// Options of a log. The zero value means the defaults.
type Options struct {
	// Relaxed answers before the sync: a power cut may take the last acknowledged events. For tests and
	// throw-away logs.
	Relaxed bool
	// Readers bounds the reading connections. Default 4.
	Readers int
	// CacheBytes bounds the page cache of each connection. Default 16 MiB.
	CacheBytes int
	// Queue bounds the requests waiting for the writer; more wait outside, as long as their contexts
	// last. Default 1024.
	Queue int
	// QueueBytes bounds the data and metadata waiting for the writer; more wait outside. Default 64 MiB.
	QueueBytes int
	// Batch bounds the requests of one commit. Default 500.
	Batch int
	// TailEvents and TailBytes bound the newest events held in memory. Defaults 8192 and 16 MiB.
	TailEvents, TailBytes int
	// Projections are enabled when the file is created; an existing file keeps what it has.
	Projections []string
	// CatchUp bounds the events of history that a projection which is behind handles in one commit.
	// Default 500.
	CatchUp int
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// NewID makes ids for the log's own events. Default random UUIDs.
	NewID func() [16]byte
	// CheckpointPages is the length of the write-ahead log from which it is folded into the file, in pages
	// of 4 KiB. Default 4000: pages that many commits change, as those of the index over random names, are
	// then folded in once for all of them.
	CheckpointPages int
	// VFS names a registered SQLite file system. Default: the operating system's.
	VFS string
}

func (o Options) withDefaults() Options {
	fill := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	fill(&o.Queue, 1024)
	fill(&o.QueueBytes, 64<<20)
	fill(&o.Batch, 500)
	fill(&o.CatchUp, 500)
	fill(&o.CheckpointPages, 4000)
	fill(&o.TailEvents, 8192)
	fill(&o.TailBytes, 16<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = randomID
	}
	return o
}

// Log is an open event log. All methods may be called concurrently.
type Log struct {
	options Options
	db      *sqlite.DB
	tail    *tail
	names   *cache[int64, string]
	ledger  *ledger // the writer's

	queue   chan *request
	budget  *semaphore.Weighted // of bytes queued
	work    chan struct{}       // a token: a projection has history to catch up with
	closing chan struct{}
	stopped chan struct{}
	close   sync.Once
	closed  error

	failed  chan struct{}
	failure atomic.Pointer[error]

	projected atomic.Pointer[[]ProjectionState]
	counts    counts
}

type counts struct {
	appends, written, repeats, conflicts, commits, commitTime atomic.Int64
	tailReads, fileReads, scavenged, streams                  atomic.Int64
}

// Open opens the log at path, creating it if there is none, in a time that doesn't depend on its size. A
// file of a newer release or of another program is refused, untouched, with *sqlite.NewerError or
// *sqlite.ForeignError. Only one process may have a log open: the caller sees to that.
func Open(path string, options Options) (*Log, error) {
	options = options.withDefaults()
	for _, name := range options.Projections {
		if _, ok := builtIn[name]; !ok {
			return nil, fmt.Errorf("%w: %q", ErrNoProjection, name)
		}
	}
	db, err := sqlite.Open(path, sqlite.Options{ApplicationID: applicationID, Migrations: migrations, Relaxed: options.Relaxed,
		CacheBytes: options.CacheBytes, Readers: options.Readers, CheckpointPages: options.CheckpointPages, VFS: options.VFS})
	if err != nil {
		return nil, fmt.Errorf("open the event log: %w", err)
	}
	l := &Log{options: options, db: db, names: newCache[int64, string](cachedNames),
		queue: make(chan *request, options.Queue), budget: semaphore.NewWeighted(int64(options.QueueBytes)), work: make(chan struct{}, 1),
		closing: make(chan struct{}), stopped: make(chan struct{}), failed: make(chan struct{})}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open the event log: %w", err), db.Close())
	}
	go l.run()
	return l, nil
}

// load reads the little that must be known before the first append.
func (l *Log) load() error {
	w := &ledger{rows: rows{conn: l.db.Writer()}, heads: newCache[string, head](cachedHeads),
		categories: newCache[string, int64](1024), ids: map[recentKey]identity{}, chunk: l.options.CatchUp,
		now: func() int64 { return l.options.Now().UnixNano() / 100 }, newID: l.options.NewID}
	if err := w.loadNewest(); err != nil {
		return err
	}
	if err := w.loadProjections(l.options.Projections); err != nil {
		return err
	}
	scavenged, err := w.counter(counterScavenged)
	if err != nil {
		return err
	}
	l.counts.scavenged.Store(scavenged)
	l.counts.streams.Store(w.streams)
	l.ledger = w
	l.tail = newTail(l.options.TailEvents, l.options.TailBytes, w.position)
	l.publishProjections()
	return nil
}

// Head is the position of the newest event; 0 if there is none.
func (l *Log) Head() int64 {
	position, _ := l.tail.position()
	return position
}

// Changed returns a channel that is closed at the next commit. Take it before reading: then nothing that
// the read didn't see goes unnoticed.
func (l *Log) Changed() <-chan struct{} {
	_, changed := l.tail.position()
	return changed
}

// Failed returns a channel that is closed at the first I/O error; Err tells which. What was committed can
// still be read, but the process should end: the next start recovers.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Err is nil, or ErrFailed with the first I/O error.
func (l *Log) Err() error {
	if err := l.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (l *Log) fail(err error) error {
	failure := fmt.Errorf("%w: %w", ErrFailed, err)
	if l.failure.CompareAndSwap(nil, &failure) {
		close(l.failed)
	}
	return l.Err()
}

// Close lets the writer finish what it took, refuses what is queued with ErrClosed, waits for readers and
// closes the file. It may be called twice.
func (l *Log) Close() error {
	l.close.Do(func() {
		close(l.closing)
		<-l.stopped
		l.closed = l.db.Close()
	})
	return l.closed
}

// isClosed reports whether Close was called.
func (l *Log) isClosed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// Append writes events to the end of a stream, all or none, contiguously, if the stream stands where it
// is expected: at a revision, or NoStream, StreamExists, Any. It returns after the sync. A repeat of an
// earlier append (the same event ids at the same place) is recognised and answered like the first.
//
// Errors: *WrongVersion, *StreamDeleted, ErrInvalid; the context's error if it ended while the request
// was waiting, and nothing was written; ErrFailed, with ErrUncertain if it may have been written;
// ErrClosed. The log keeps the slices in events: don't change them any more.
func (l *Log) Append(ctx context.Context, stream string, expected int64, events []Proposed) (Appended, error) {
	if err := errors.Join(checkStream(stream), checkEvents(events)); err != nil {
		return Appended{}, err
	}
	size := 0
	for _, e := range events {
		size += len(e.Data) + len(e.Metadata)
	}
	var done Appended
	err := l.do(ctx, size, func(w *ledger) (err error) {
		done, err = w.append(stream, expected, events)
		return err
	})
	if err != nil {
		if wrong := (*WrongVersion)(nil); errors.As(err, &wrong) {
			l.counts.conflicts.Add(1)
		}
		return Appended{}, err
	}
	if done.Repeated {
		l.counts.repeats.Add(1)
	} else {
		l.counts.appends.Add(1)
	}
	return done, nil
}

// Delete soft-deletes a stream: readers don't find it until somebody appends to it, and its numbering goes
// on then. It returns the position of the metadata event that says so. Errors as for Append; *WrongVersion
// also for a stream that never was.
func (l *Log) Delete(ctx context.Context, stream string, expected int64) (position int64, err error) {
	return l.end(ctx, stream, func(w *ledger) (int64, error) { return w.delete(stream, expected) })
}

// Tombstone ends a stream for good, also one that never was. It returns the tombstone's position. Errors
// as for Append.
func (l *Log) Tombstone(ctx context.Context, stream string, expected int64) (position int64, err error) {
	return l.end(ctx, stream, func(w *ledger) (int64, error) { return w.tombstone(stream, expected) })
}

func (l *Log) end(ctx context.Context, stream string, f func(*ledger) (int64, error)) (position int64, err error) {
	if err := checkStream(stream); err != nil {
		return 0, err
	}
	err = l.do(ctx, 0, func(w *ledger) (err error) {
		position, err = f(w)
		return err
	})
	if err != nil {
		return 0, err
	}
	return position, nil
}
