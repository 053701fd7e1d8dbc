// Package sqlitedocs keeps the documents of read models in one SQLite file. One goroutine writes and commits
// what several callers want at once; readers have connections of their own and never wait for it. It knows documents
// and collections, not what is in them; readmodels comes before it, infrastructure/sqlite after it.
//
// Commits are synchronised fully. Documents could be made anew from the log, but only if somebody noticed that they
// went back: the consumer group has checkpointed what a power cut took, so nothing is delivered again, and
// until the sweep comes by readers see the past. Shared commits make the promise cheap; see the benchmarks.
package sqlitedocs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// applicationID marks the file: "Tdoc".
const applicationID = 0x54646f63

// migrations are empty but for the first: collections are made by Ensure. A change of how tables are laid
// out is a new entry, and files that have it are refused by older releases.
var migrations = []string{
	"CREATE TABLE layout(version INTEGER NOT NULL); INSERT INTO layout VALUES(1)",
}

// Options tune a store. The zero value of a field means its default.
type Options struct {
	Readers    int // connections for reading; default 4
	CacheBytes int // page cache of each reading connection; default 16 MiB. That of the writer is four times as large

	// Committed is called after each commit with the number of calls and puts that shared it and how long
	// it took. It must not block.
	Committed func(calls, puts int, took time.Duration)

	vfs string // a registered virtual file system, in tests

	// Failed is called once, with the I/O error after which the store takes no more writes. It must
	// not block.
	Failed func(error)
}

// Store keeps documents in a file. It is safe for concurrent use.
type Store struct {
	options Options
	hub     hub
	catalog atomic.Pointer[map[string]*table] // replaced by the writer only
	failed  atomic.Pointer[error]

	db *sqlite.DB // its writing connection belongs to the writer's goroutine

	jobs    chan *job
	closing chan struct{}
	written chan struct{} // closed when the writer has ended
	once    sync.Once
	closed  error
}

var (
	_ readmodels.Documents = (*Store)(nil)
	_ readmodels.Watcher   = (*Store)(nil)
)

// Open opens or makes the file at path. Files of a newer release and of other programs are refused,
// untouched, with a *sqlite.NewerError or *sqlite.ForeignError. The file must not be opened twice.
func Open(path string, options Options) (*Store, error) {
	s := &Store{
		options: options,
		jobs:    make(chan *job, 256),
		closing: make(chan struct{}),
		written: make(chan struct{}),
	}
	if options.CacheBytes <= 0 {
		options.CacheBytes = 16 << 20
	}
	var err error
	s.db, err = sqlite.Open(path, sqlite.Options{
		ApplicationID: applicationID, Migrations: migrations, Readers: options.Readers, CacheBytes: options.CacheBytes, VFS: options.vfs,
	})
	if err != nil {
		return nil, fmt.Errorf("open document store: %w", err)
	}
	catalog, err := readCatalog(s.db.Writer())
	if err == nil {
		// A rebuild touches pages of all indexes at random; those that don't fit are written again and again.
		err = s.db.Writer().Exec(fmt.Sprintf("PRAGMA cache_size=%d", -4*options.CacheBytes>>10))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open document store: %w", err), s.db.Close())
	}
	s.catalog.Store(&catalog)
	go s.write()
	return s, nil
}

// Close ends the store: the transaction under way is finished, waiting calls fail as unavailable. It waits
// for running reads and may be called again.
func (s *Store) Close() error {
	s.once.Do(func() {
		close(s.closing)
		<-s.written
		s.closed = s.db.Close()
	})
	return s.closed
}

// Ping implements readmodels.Documents. It fails after an I/O error that ended the store's writing.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.failure(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	err := s.transact(ctx, func(r *sqlite.Conn) error {
		_, err := exec(r, "SELECT 1 FROM layout")
		return err
	})
	if err != nil && ctx.Err() != nil {
		return readmodels.StoreUnavailable(ctx.Err())
	}
	return translate(err)
}
