package eventlog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"
)

const (
	// batchBytes bounds the data of one commit.
	batchBytes = 8 << 20
	// worthACommit is how many requests share the cost of a sync so well that waiting for more doesn't pay.
	worthACommit = 32
)

// request is one thing to do inside the writer's transaction.
type request struct {
	ctx   context.Context
	size  int
	do    func(*ledger) error
	state atomic.Int32
	err   error
	done  chan struct{}
}

// States of a request. It leaves waiting once: taken by the writer or withdrawn by its caller.
const (
	waiting int32 = iota
	taken
	withdrawn
)

// do has f carried out in the next commit. When ctx ends before the writer took the request, f is never
// called; after that the answer is waited for, because the events may be on their way to the disk.
func (l *Log) do(ctx context.Context, size int, f func(*ledger) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.Err(); err != nil {
		return err
	}
	weight := int64(min(size, l.options.QueueBytes))
	if err := l.budget.Acquire(ctx, weight); err != nil {
		return err
	}
	defer l.budget.Release(weight)
	r := &request{ctx: ctx, size: size, do: f, done: make(chan struct{})}
	select {
	case l.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closing:
		return ErrClosed
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return ctx.Err()
		}
	case <-l.stopped:
	}
	select {
	case <-r.done:
		return r.err
	case <-l.stopped:
	}
	select { // answered, or left in the queue when the writer stopped
	case <-r.done:
		return r.err
	default:
		return ErrClosed
	}
}

// run is the writer's goroutine: it takes what is queued, commits it at once and answers. Between commits
// projections catch up with history, one bounded chunk at a time.
func (l *Log) run() {
	defer close(l.stopped)
	if l.ledger.behind() {
		l.wake()
	}
	for {
		var first *request
		select {
		case <-l.closing:
			return
		default:
		}
		select {
		case first = <-l.queue:
		case <-l.work:
			first = &request{ctx: context.Background(), done: make(chan struct{}), do: func(w *ledger) error { return w.catchUp() }}
		case <-l.closing:
			return
		}
		l.commit(l.gather(first))
	}
}

// wake makes the writer look at projections that are behind.
func (l *Log) wake() {
	select {
	case l.work <- struct{}{}:
	default:
	}
}

// gather takes what else is queued, up to the bounds of a commit. Callers that were just answered are
// let run first, as long as that brings more: else they would miss this commit by a moment and few writers
// would fall into two halves, each waiting for the other's sync. Many writers do better in halves: one is
// served while the other is synced; so do those whose way back is longer, over gRPC, than a sync is.
func (l *Log) gather(first *request) []*request {
	for queued := -1; queued < len(l.queue) && queued < worthACommit; {
		queued = len(l.queue)
		runtime.Gosched()
	}
	batch := take(nil, first)
	for size := first.size; len(batch) < l.options.Batch && size < batchBytes; {
		select {
		case r := <-l.queue:
			size += r.size
			batch = take(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// take adds a request unless its caller gave up.
func take(batch []*request, r *request) []*request {
	if r.ctx.Err() != nil || !r.state.CompareAndSwap(waiting, taken) {
		return batch // if its context ended just now, its caller withdraws it
	}
	return append(batch, r)
}

// commit carries out a batch in one transaction and answers after the sync. A refusal concerns its
// request alone; any other error ends the log.
func (l *Log) commit(batch []*request) {
	if len(batch) == 0 {
		return
	}
	err := l.Err()
	if err == nil {
		err = l.transact(batch)
	}
	for _, r := range batch {
		if err != nil {
			r.err = err
		}
		close(r.done)
	}
	if l.Err() == nil {
		if err := l.db.Checkpoint(); err != nil {
			_ = l.stop(err) // told to everybody who asks from here on
		}
	}
	if l.Err() == nil && l.ledger.behind() {
		l.wake()
	}
}

func (l *Log) transact(batch []*request) error {
	w := l.ledger
	if err := w.conn.Run(`BEGIN IMMEDIATE`); err != nil {
		if errors.Is(err, sqlite3.BUSY) {
			return fmt.Errorf("another process holds the log's file: %w", err)
		}
		return l.stop(err)
	}
	w.begin()
	for _, r := range batch {
		r.err = w.carryOut(r.do)
		if r.err != nil && !refused(r.err) {
			return l.stop(r.err)
		}
	}
	if len(w.written) == 0 && !w.dirty {
		if err := w.conn.Run(`ROLLBACK`); err != nil {
			return l.stop(err)
		}
		return nil
	}
	began := time.Now()
	if err := w.conn.Run(`COMMIT`); err != nil {
		return fmt.Errorf("%w: %w", ErrUncertain, l.stop(err))
	}
	l.counts.commitTime.Add(int64(time.Since(began)))
	l.counts.commits.Add(1)
	l.counts.written.Add(int64(len(w.written)))
	l.counts.streams.Store(w.streams)
	l.publishProjections()
	l.tail.publish(w.written, w.touched)
	if w.removed {
		l.tail.reset()
	}
	return nil
}

// carryOut does one request, and what the projections make of it.
func (l *ledger) carryOut(do func(*ledger) error) error {
	l.sources = l.sources[:0]
	if err := do(l); err != nil {
		return err
	}
	return l.project()
}

// stop makes an error final. The transaction is undone and the write-ahead log left for the next start:
// after an I/O error SQLite would go on, but what it says about the disk can't be believed any more.
func (l *Log) stop(err error) error {
	failure := l.fail(err)
	if !l.ledger.conn.GetAutocommit() {
		_ = l.ledger.conn.Run(`ROLLBACK`) // the file may be gone; recovery undoes it anyway
	}
	_ = l.db.Abandon()
	return failure
}
