package esnode

import (
	"context"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// consumer is one connection to a group: the group puts deliveries in, the call's goroutine sends them.
type consumer struct {
	id    uint64
	name  string
	drop  chan struct{} // closed when the group drops the consumer
	once  sync.Once
	ready chan struct{} // has a value while there are deliveries

	mu    sync.Mutex
	queue []groups.Delivery // at most as many as the consumer asked for
}

func (c *consumer) put(d groups.Delivery) {
	c.mu.Lock()
	c.queue = append(c.queue, d)
	c.mu.Unlock()
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take returns all deliveries waiting; into is reused.
func (c *consumer) take(into []groups.Delivery) []groups.Delivery {
	clear(into)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.queue
	c.queue = into[:0]
	return out
}

// connect adds a consumer.
func (r *runner) connect(ctx context.Context, name string, size int) (*consumer, error) {
	c := &consumer{name: name, drop: make(chan struct{}), ready: make(chan struct{}, 1)}
	var err error
	asked := r.ask(ctx, func(now time.Time) {
		if r.failure != nil {
			err = groupDropped(r.config.Stream, r.config.Group)
			return
		}
		r.nextID++
		c.id = r.nextID
		r.consumers[c.id] = c
		if r.machine.Connect(now, c.id, size) != nil {
			delete(r.consumers, c.id)
			err = groupFull(r.config.Stream, r.config.Group)
		}
	})
	if asked != nil {
		return nil, asked
	}
	return c, err
}

// disconnect gives the consumer's messages to others. It is told also to a group that just ends.
func (r *runner) disconnect(c *consumer) {
	_ = r.ask(context.Background(), func(now time.Time) {
		delete(r.consumers, c.id)
		r.machine.Disconnect(now, c.id)
	})
}

// dropAll ends the calls of all consumers; the group's goroutine or its end calls it.
func (r *runner) dropAll() {
	for _, c := range r.consumers {
		c.once.Do(func() { close(c.drop) })
	}
}

// ask runs something on the group's goroutine and waits for it.
func (r *runner) ask(ctx context.Context, do func(now time.Time)) error {
	done := make(chan struct{})
	in := input{do: func(now time.Time) {
		defer close(done)
		do(now)
	}}
	select {
	case r.inputs <- in:
	case <-r.ended:
		return errGroupGone
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-r.ended:
		return errGroupGone
	}
}

// tell passes an acknowledgement on; a busy group holds the consumer back.
func (r *runner) tell(ctx context.Context, in input) error {
	select {
	case r.inputs <- in:
		return nil
	case <-r.ended:
		return errGroupGone
	case <-ctx.Done():
		return ctx.Err()
	}
}
