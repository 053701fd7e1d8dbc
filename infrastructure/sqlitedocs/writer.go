package sqlitedocs

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// groupWeight bounds how many puts go into one transaction of several callers; a single call may be larger.
const groupWeight = 4096

// job is one call that changes the store, on its way through the writer.
type job struct {
	run     func(w *sqlite.Conn) error // may be run again after a rollback
	weight  int                        // puts
	alone   context.Context            // not nil: a transaction of its own, interrupted at the end of this context
	written func()                     // after the commit, in the writer's goroutine; must not block
	undone  func()                     // after a rollback, there too
	claimed atomic.Bool                // by the writer, or by the caller giving up: whoever comes first
	done    chan error
}

// submit queues a job and waits for its end or that of ctx. The error is translated.
func (s *Store) submit(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	j.done = make(chan error, 1)
	select {
	case s.jobs <- j:
	case <-ctx.Done():
		return readmodels.StoreUnavailable(ctx.Err())
	case <-s.closing:
		return readmodels.StoreUnavailable(errClosed)
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		if j.claimed.CompareAndSwap(false, true) {
			return readmodels.StoreUnavailable(ctx.Err()) // the writer will pass it by
		}
		return readmodels.StoreUnknown(ctx.Err())
	case <-s.written:
		if j.claimed.CompareAndSwap(false, true) {
			return readmodels.StoreUnavailable(errClosed) // queued behind the writer's back, while it ended
		}
		return <-j.done
	}
}

// write is the only goroutine that changes the file. It takes what is waiting, up to groupWeight
// puts, and commits it at once: many calls share one sync.
func (s *Store) write() {
	defer close(s.written)
	var next *job
	for {
		first := next
		next = nil
		if first == nil {
			select {
			case first = <-s.jobs:
			case <-s.closing:
				s.drain()
				return
			}
		}
		group := []*job{first}
		for weight := first.weight; first.alone == nil && weight < groupWeight; {
			another := s.waiting()
			if another == nil {
				break
			}
			if another.alone != nil {
				next = another
				break
			}
			group = append(group, another)
			weight += another.weight
		}
		s.commit(group)
	}
}

// waiting is the next job if there is one already.
func (s *Store) waiting() *job {
	select {
	case j := <-s.jobs:
		return j
	default:
		return nil
	}
}

// drain ends the jobs that came too late.
func (s *Store) drain() {
	for j := s.waiting(); j != nil; j = s.waiting() {
		if j.claimed.CompareAndSwap(false, true) {
			j.done <- readmodels.StoreUnavailable(errClosed)
		}
	}
}

// commit runs a group in one transaction. If one of several jobs fails, each runs again by itself, so
// that nobody fails with another's error.
func (s *Store) commit(group []*job) {
	claimed := group[:0]
	for _, j := range group {
		if j.claimed.CompareAndSwap(false, true) {
			claimed = append(claimed, j)
		}
	}
	if len(claimed) == 0 {
		return
	}
	start := time.Now()
	err := s.transaction(claimed)
	if err != nil && len(claimed) > 1 && s.failure() == nil {
		for _, j := range claimed {
			s.finish(j, s.transaction([]*job{j}))
		}
		return
	}
	weight := 0
	for _, j := range claimed {
		weight += j.weight
		s.finish(j, err)
	}
	if err != nil {
		return
	}
	if s.options.Committed != nil {
		s.options.Committed(len(claimed), weight, time.Since(start))
	}
	if err := s.db.Checkpoint(); err != nil {
		s.fail(err)
	}
}

func (s *Store) finish(j *job, err error) {
	if err == nil && j.written != nil {
		j.written()
	}
	j.done <- err
}

func (s *Store) transaction(group []*job) error {
	if err := s.failure(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	w := s.db.Writer()
	ctx := context.Background() // a group belongs to no single caller; a single statement of it is short
	if group[0].alone != nil {
		ctx = group[0].alone
	}
	w.SetInterrupt(ctx)
	committing, err := run(w, group)
	w.SetInterrupt(context.Background())
	if err == nil {
		return nil
	}
	if !w.GetAutocommit() {
		err = errors.Join(err, w.Run("ROLLBACK"))
	}
	for _, j := range group {
		if j.undone != nil {
			j.undone()
		}
	}
	return s.judge(err, committing)
}

// run does the work of a group up to the commit; committing says whether it got there.
func run(w *sqlite.Conn, group []*job) (committing bool, err error) {
	if err := w.Run("BEGIN IMMEDIATE"); err != nil {
		return false, err
	}
	for _, j := range group {
		if err := j.run(w); err != nil {
			return false, err
		}
	}
	return true, w.Run("COMMIT")
}

// judge translates a failed transaction. After a failed read, write or sync SQLite goes on as if nothing had
// happened, although what it believes written may be gone: the first one is final for this store.
func (s *Store) judge(err error, committing bool) error {
	switch codeOf(err) {
	case sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.CANTOPEN, sqlite3.PROTOCOL:
		s.fail(err)
		if committing {
			return readmodels.StoreUnknown(err)
		}
		return readmodels.StoreUnavailable(err)
	}
	return translate(err)
}

// failure is what ended the store's writing, nil while it is well.
func (s *Store) failure() error {
	if failed := s.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}

func (s *Store) fail(cause error) {
	err := fmt.Errorf("the document file failed and takes no more writes until the next start: %w", cause)
	if !s.failed.CompareAndSwap(nil, &err) {
		return
	}
	if abandonErr := s.db.Abandon(); abandonErr != nil {
		err = errors.Join(err, abandonErr)
	}
	if s.options.Failed != nil {
		s.options.Failed(err)
	}
}
