package application

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// broker is a consumer group at its worst: deliveries come in any order, some twice, some never.
type broker struct {
	m     *market
	mu    sync.Mutex
	queue []domain.Delivery
	wake  chan struct{}
}

// await waits for deliveries, a while at the longest.
func (b *broker) await(ctx context.Context) {
	select {
	case <-b.wake:
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
}

func (b *broker) add(d domain.Delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.queue = append(b.queue, d)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *broker) publish(r domain.Recorded) {
	lost, twice := b.m.chance(3), b.m.chance(10)
	if lost {
		return
	}
	b.add(domain.Delivery{Recorded: r})
	if twice {
		b.add(domain.Delivery{Recorded: r})
	}
}

func (b *broker) again(d domain.Delivery) {
	d.Retry++
	b.add(d)
}

func (b *broker) take(most int) []domain.Delivery {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []domain.Delivery
	for len(batch) < most && len(b.queue) > 0 {
		last := len(b.queue) - 1
		i := b.m.pick(len(b.queue))
		batch = append(batch, b.queue[i])
		b.queue[i] = b.queue[last]
		b.queue = b.queue[:last]
	}
	return batch
}

func (b *broker) empty() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue) == 0
}

// deadlineIndex is what the order board's index is in earnest: deadlines by what is stored.
type deadlineIndex struct {
	mu     sync.Mutex
	orders map[string]order.Order
	procs  map[string]fulfilment.Process
	at     map[string]time.Time
	seen   map[string]int
	limits fulfilment.Limits
}

func newDeadlineIndex() *deadlineIndex {
	return &deadlineIndex{orders: map[string]order.Order{}, procs: map[string]fulfilment.Process{}, at: map[string]time.Time{}, seen: map[string]int{},
		limits: fulfilment.Limits{OpenFor: time.Hour, PrepareWithin: 15 * time.Minute, Nudge: 30 * time.Second}}
}

// take follows a stream to its end.
func (x *deadlineIndex) take(stream string, events []domain.Recorded) {
	category, id := domain.Category(stream), domain.StreamID(stream)
	if category != "order" && category != "fulfilment" {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for ; x.seen[stream] < len(events); x.seen[stream]++ {
		r := events[x.seen[stream]]
		if category == "order" {
			x.orders[id] = x.orders[id].Apply(r)
		} else {
			x.procs[id] = x.procs[id].Apply(r)
		}
	}
	at, ok := fulfilment.Attention(factsOf(x.orders[id]), x.procs[id], x.limits)
	if ok {
		x.at[id] = at
	} else {
		delete(x.at, id)
	}
}

func (x *deadlineIndex) Due(_ context.Context, now time.Time, limit int) (due []Deadline, next time.Time, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, at := range x.at {
		if at.After(now) {
			if next.IsZero() || at.Before(next) {
				next = at
			}
			continue
		}
		due = append(due, Deadline{OrderID: id, At: at})
	}
	slices.SortFunc(due, func(a, b Deadline) int { return a.At.Compare(b.At) })
	return due[:min(limit, len(due))], next, nil
}

// underway are the orders that still have a deadline.
func (x *deadlineIndex) underway() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var ids []string
	for id := range x.at {
		ids = append(ids, id)
	}
	return ids
}
