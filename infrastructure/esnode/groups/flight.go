package groups

import (
	"fmt"
	"time"
)

// push hands out what waits, retries first, until nobody has a free slot.
func (g *Group) push(now time.Time) {
	g.drain(now, &g.retry)
	g.drain(now, &g.replays)
	g.drain(now, &g.buffer)
}

// drain offers the messages of a queue in order. A pinned message whose consumer is full keeps its
// place and may be overtaken by messages of other buckets.
func (g *Group) drain(now time.Time, q *queue) {
	skipped := g.skipped[:0]
	for g.free > 0 && q.len() > 0 {
		m := q.pop()
		if c := g.strategy.choose(m); c != nil {
			g.send(now, c, m)
		} else {
			skipped = append(skipped, m)
		}
	}
	q.unpop(skipped)
	clear(skipped)
	g.skipped = skipped[:0]
}

func (g *Group) send(now time.Time, c *consumer, m *Message) {
	m.state, m.consumer, m.sent = inFlight, c, now
	c.inFlight++
	c.total++
	g.free--
	g.total++
	g.strategy.started(m)
	m.twin = g.flying[m.ID]
	g.flying[m.ID] = m
	m.prev, m.next = g.newest, nil
	if g.newest != nil {
		g.newest.next = m
	} else {
		g.oldest = m
	}
	g.newest = m
	g.effects.Deliveries = append(g.effects.Deliveries, Delivery{c.id, m, m.retries})
}

// land takes a message out of flight, whatever becomes of it.
func (g *Group) land(m *Message) {
	g.strategy.ended(m)
	m.consumer.inFlight--
	g.free++
	m.consumer = nil
	g.unlink(m)
	first := g.flying[m.ID]
	switch {
	case first == m && m.twin == nil:
		delete(g.flying, m.ID)
	case first == m:
		g.flying[m.ID] = m.twin
	default:
		for ; first.twin != m; first = first.twin {
		}
		first.twin = m.twin
	}
	m.twin = nil
}

func (g *Group) unlink(m *Message) {
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		g.oldest = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		g.newest = m.prev
	}
	m.prev, m.next = nil, nil
}

// fail counts a failed delivery: another try, or the parked stream when there were enough.
func (g *Group) fail(m *Message) {
	if m.retries >= g.settings.MaxRetryCount {
		g.park(m, fmt.Sprintf("Reached retry count of %d", g.settings.MaxRetryCount))
		return
	}
	m.retries++
	g.again(m)
}

func (g *Group) again(m *Message) {
	m.state = retrying
	if m.Replayed {
		g.replays.push(m)
	} else {
		g.retry.insert(m)
	}
}

func (g *Group) park(m *Message, reason string) {
	m.state, m.reason = parking, reason
	g.parking[m] = struct{}{}
	g.effects.Parkings = append(g.effects.Parkings, Parking{m, reason})
}

func (g *Group) settle(m *Message) {
	m.state = settled
	if m.Replayed {
		g.replayed.settle(m.mark)
	} else {
		g.ledger.settle(m.mark)
	}
}
