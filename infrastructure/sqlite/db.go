package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"github.com/ncruces/go-sqlite3"
)

// ErrClosed: the database was closed.
var ErrClosed = errors.New("database is closed")

// truncatePages of write-ahead log, 64 MiB, are worth holding the readers back for a moment: as long as
// their transactions overlap, the log can't start over and grows.
const truncatePages = 16 << 10

// DB is a database with one native writing connection and a pool of reading ones.
type DB struct {
	path    string
	options Options
	writer  *Conn

	walPages   int // owned by whoever uses the writer, like the next two
	truncateAt int
	limit      int // truncatePages, less in tests

	gate sync.RWMutex   // read-held by reading transactions, held by a truncating checkpoint
	idle chan *Conn     // open reading connections; at most options.Readers
	free chan struct{}  // one token for each reading connection that may still be handed out
	long sync.WaitGroup // uses of connections outside the pool
	used atomic.Int64

	mu     sync.Mutex
	closed bool
	done   chan struct{}
}

// Open prepares the database at path, creating it if it is missing, and opens it. Errors are *NewerError and
// *ForeignError for refused files. Opening one file twice is safe; whoever writes waits for the other.
func Open(path string, options Options) (*DB, error) {
	options = options.withDefaults()
	if err := prepare(path, options); err != nil {
		return nil, err
	}
	writer, err := openConn(path, options, false)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path, options: options, writer: writer, truncateAt: truncatePages, limit: truncatePages, done: make(chan struct{}),
		idle: make(chan *Conn, options.Readers), free: make(chan struct{}, options.Readers)}
	for range options.Readers {
		db.free <- struct{}{}
	}
	// The hook replaces SQLite's automatic checkpoint, which swallows I/O errors: a failed sync of the
	// file followed by a checkpoint that succeeds would lose pages for good. See Checkpoint.
	writer.WALHook(func(_ *sqlite3.Conn, _ string, pages int) error {
		db.walPages = pages
		return nil
	})
	return db, nil
}

// Writer is the one writing connection. One goroutine owns it. It must call Checkpoint between its
// transactions, because nothing else bounds the write-ahead log.
func (db *DB) Writer() *Conn { return db.writer }

// Checkpoint folds the write-ahead log into the file if that is due. Only the owner of the writer may call
// it, outside a transaction. An error means that the file can't be trusted to be on the disk: call Abandon,
// and write no more.
func (db *DB) Checkpoint() error {
	if db.walPages < db.options.CheckpointPages {
		return nil
	}
	if db.walPages >= db.truncateAt {
		return db.truncate()
	}
	_, _, err := db.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	if err != nil && !errors.Is(err, sqlite3.BUSY) {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}

// truncate holds new readers back, waits for those at work, and starts the log over. Long readers are not
// waited for: then the log grows until the next try.
func (db *DB) truncate() error {
	db.gate.Lock()
	defer db.gate.Unlock()
	if err := db.writer.BusyTimeout(0); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	_, _, err := db.writer.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE)
	if errors.Is(err, sqlite3.BUSY) {
		db.truncateAt, err = db.walPages+db.limit, nil
	} else if err == nil {
		db.truncateAt, db.walPages = db.limit, 0
	}
	return errors.Join(err, db.writer.BusyTimeout(db.options.BusyTimeout))
}

// Abandon makes Close leave the write-ahead log as it is, for the next start to recover. It is for the time
// after an I/O error, when a checkpoint could do harm. The writer's owner calls it.
func (db *DB) Abandon() error {
	_, err := db.writer.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true)
	return err
}

// Acquire takes a reading connection from the pool and begins a read transaction on it, waiting until
// one is free or ctx ends; ctx also interrupts its statements. Release gives it back. Hold it for a page of
// results, not for long: the log can't start over meanwhile.
func (db *DB) Acquire(ctx context.Context) (*Conn, error) {
	select {
	case <-db.free:
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-db.done:
		return nil, ErrClosed
	}
	db.gate.RLock()
	conn, err := db.reader()
	if err == nil {
		conn.SetInterrupt(ctx)
		err = conn.Run(`BEGIN`)
	}
	if err != nil {
		db.gate.RUnlock()
		db.drop(conn)
		db.free <- struct{}{}
		return nil, err
	}
	db.used.Add(1)
	return conn, nil
}

// Release ends the read transaction and returns the connection to the pool.
func (db *DB) Release(conn *Conn) {
	conn.SetInterrupt(context.Background())
	err := conn.Run(`ROLLBACK`)
	db.used.Add(-1)
	db.gate.RUnlock()
	if err != nil {
		db.drop(conn) // a connection in doubt is not reused
	} else {
		db.idle <- conn
	}
	db.free <- struct{}{}
}

func (db *DB) reader() (*Conn, error) {
	select {
	case conn := <-db.idle:
		return conn, nil
	default:
		return openConn(db.path, db.options, true)
	}
}

func (db *DB) drop(conn *Conn) {
	if conn != nil {
		_ = conn.Close() // read only: nothing can be lost by it
	}
}

// Long runs f on a reading connection of its own, outside the pool and without a transaction, for
// what takes seconds. ctx interrupts its statements.
func (db *DB) Long(ctx context.Context, f func(*Conn) error) (err error) {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return ErrClosed
	}
	db.long.Add(1)
	db.mu.Unlock()
	defer db.long.Done()
	conn, err := openConn(db.path, db.options, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx)
	defer conn.SetInterrupt(context.Background())
	return f(conn)
}

// Busy is the number of pooled reading connections in use.
func (db *DB) Busy() int { return int(db.used.Load()) }

// Sizes are those of the file and of its write-ahead log, in bytes; 0 where there is none.
func (db *DB) Sizes() (file, wal int64) {
	size := func(path string) int64 {
		info, err := os.Stat(path)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	return size(db.path), size(db.path + "-wal")
}

// Close waits for the readers at work and closes all connections, the writer last. The owner of the writer
// must have stopped. It may be called twice.
func (db *DB) Close() error {
	db.mu.Lock()
	if db.closed {
		db.mu.Unlock()
		return nil
	}
	db.closed = true
	close(db.done)
	db.mu.Unlock()
	db.long.Wait()
	for range db.options.Readers {
		<-db.free
	}
	var errs []error
	for range len(db.idle) {
		errs = append(errs, (<-db.idle).Close())
	}
	return errors.Join(append(errs, db.writer.Close())...)
}
