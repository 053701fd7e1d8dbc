package application

import (
	"container/list"
	"context"
	"sync"

	"github.com/tidemark-dev/tidemark/domain"
)

// queue lets the commands of this process on one stream through one after the other, first come first
// served. Without it 64 writers of a hot stream would make each other's appends fail: most of the work
// would be loading and deciding again, and who is unlucky would never get through. With it the only
// conflicts left are those with other processes. It holds no lock while a command runs, only its place.
type queue struct {
	limit   int // how many may wait for one stream
	mu      sync.Mutex
	streams map[string]*list.List // the waiting, as chan error; a key is present while somebody is through
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, streams: map[string]*list.List{}}
}

// enter waits for the caller's turn on stream. leave must be called once it is over, with an error if
// those who wait shall fail with it as well, for a silent store would let each of them wait in vain, one
// after the other. Errors are KindUnavailable: nothing was done.
func (q *queue) enter(ctx context.Context, stream string) (leave func(error), waited bool, err error) {
	leave = func(err error) { q.leave(stream, err) }
	q.mu.Lock()
	waiting, busy := q.streams[stream]
	if !busy {
		q.streams[stream] = list.New()
		q.mu.Unlock()
		return leave, false, nil
	}
	if waiting.Len() >= q.limit {
		q.mu.Unlock()
		return nil, true, &domain.Error{
			Kind: domain.KindUnavailable, Code: "overloaded",
			Message: "Too many commands are waiting for the same thing.",
		}
	}
	turn := make(chan error, 1)
	place := waiting.PushBack(turn)
	q.mu.Unlock()

	select {
	case err := <-turn:
		if err != nil {
			return nil, true, err
		}
		return leave, true, nil
	case <-ctx.Done():
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	select {
	case err := <-turn: // it came at the same moment: pass it on
		if err == nil {
			q.pass(stream)
		}
	default:
		waiting.Remove(place)
	}
	return nil, true, storeSilent(context.Cause(ctx))
}

func (q *queue) leave(stream string, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		waiting := q.streams[stream]
		for next := waiting.Front(); next != nil; next = waiting.Front() {
			waiting.Remove(next)
			next.Value.(chan error) <- err
		}
	}
	q.pass(stream)
}

// pass lets the next one through, or forgets the stream. The caller holds mu.
func (q *queue) pass(stream string) {
	waiting := q.streams[stream]
	next := waiting.Front()
	if next == nil {
		delete(q.streams, stream)
		return
	}
	waiting.Remove(next)
	next.Value.(chan error) <- nil
}

// storeSilent says that the store did not get to it in time; nothing was done.
func storeSilent(cause error) *domain.Error {
	return &domain.Error{
		Kind: domain.KindUnavailable, Code: "event_store_unavailable",
		Message: "The event store does not answer.", Err: cause,
	}
}
