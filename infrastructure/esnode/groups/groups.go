// Package groups is the state machine of one consumer group ("persistent subscription"): what is
// buffered, in flight, waiting for a retry or being parked, which consumer gets what, and how far
// everything is settled. It takes state, time and input and leaves effects behind; it has no clock, no
// timer, no goroutine and no I/O, so every timeout is a row of a table. The node's runner feeds it from
// the log, carries out its effects and tells it how they ended; before it comes the log, after it the
// gRPC stream of a consumer.
//
// Its promise: each message offered is delivered at least once or parked, and the checkpoint never
// passes a message that is not settled. It promises no order, and it is not safe for concurrent use.
package groups

import (
	"errors"
	"time"
)

// Actions of a negative acknowledgement, numbered as on the wire.
const (
	Unknown Action = iota // treated as Retry
	Park
	Retry
	Skip
	Stop // treated as Skip, as the original does
)

// ErrFull says that the group has as many consumers as its settings allow.
var ErrFull = errors.New("maximum subscribers reached")

// maxHeld bounds the messages of a group in memory, whatever sizes consumers ask for.
const maxHeld = 1 << 16

// maxMarks bounds how far the group runs ahead of its oldest unsettled message.
const maxMarks = 1 << 20

type (
	// Action is what a consumer wants done with messages it could not process.
	Action int32

	// Settings of a group, taken literally: there are no defaults. A MessageTimeout of 0 expires at the
	// next Tick, a CheckpointAfter of 0 never, a MaxSubscriberCount of 0 is no limit.
	Settings struct {
		MessageTimeout     time.Duration
		MaxRetryCount      int
		CheckpointAfter    time.Duration
		MinCheckpointCount int
		MaxCheckpointCount int
		MaxSubscriberCount int
		HistoryBufferSize  int
		ExtraStatistics    bool
		Strategy           Strategy
	}

	// Message is an event on its way through a group. The exported fields are the caller's and never
	// changed here.
	Message struct {
		Seq      int64    // place in the source, revision or log position; of a replayed one, in the parked stream
		ID       [16]byte // what consumers acknowledge by
		Key      uint32   // hash that the pinned strategies send by
		Event    any      // what the caller delivers
		Replayed bool     // from the parked stream; set by Replay

		retries  int
		state    state
		consumer *consumer
		sent     time.Time
		mark     uint64
		reason   string
		prev     *Message // neighbours in flight, oldest first
		next     *Message
		twin     *Message // another message in flight with the same id
	}

	// Delivery asks to hand a message to a consumer.
	Delivery struct {
		Consumer uint64
		Message  *Message
		Retries  int // deliveries before this one that failed
	}

	// Parking asks to store a message in the parked stream and to answer with Parked.
	Parking struct {
		Message *Message
		Reason  string
	}

	// Effects is what has to be done, in this order, since they were last taken.
	Effects struct {
		Deliveries []Delivery
		Parkings   []Parking
		Checkpoint int64 // to be stored, if Store
		Store      bool  // the answer is Checkpointed
	}

	// Group is the state of one group.
	Group struct {
		settings  Settings
		started   time.Time
		consumers []*consumer
		strategy  strategy
		free      int // slots over all consumers

		buffer  queue // from the log, not delivered yet
		retry   queue // failed, in source order
		replays queue // from the parked stream
		skipped []*Message

		flying  map[[16]byte]*Message
		oldest  *Message
		newest  *Message
		parking map[*Message]struct{}
		unsaved []*Message // whose parking failed

		ledger     ledger
		replayed   ledger // the same of the parked stream
		saved      int64  // last checkpoint stored
		hasSaved   bool
		storing    bool
		storingPos int64
		storingN   int64
		storedAt   time.Time

		total    int64
		lastSeen int64 // total at the last query

		effects Effects
	}

	state uint8
)

const (
	buffered state = iota
	inFlight
	retrying
	parking
	settled
)

// New starts a group behind the given checkpoint, or without one.
func New(settings Settings, checkpoint int64, has bool, now time.Time) *Group {
	g := &Group{
		settings: settings, started: now, storedAt: now,
		saved: checkpoint, hasSaved: has,
		flying: map[[16]byte]*Message{}, parking: map[*Message]struct{}{},
	}
	g.ledger.frontier, g.replayed.frontier = checkpoint, -1
	g.strategy = newStrategy(settings.Strategy, g)
	return g
}

// Room is how many messages may be offered now; 0 while the buffer is full.
func (g *Group) Room() int {
	room := g.settings.HistoryBufferSize - g.buffer.len()
	if held := g.held(); held+room > maxHeld {
		room = maxHeld - held
	}
	if g.ledger.len() > maxMarks {
		return 0
	}
	return max(room, 0)
}

func (g *Group) held() int {
	return g.buffer.len() + g.retry.len() + g.replays.len() + g.inFlight() + len(g.parking)
}

func (g *Group) inFlight() int {
	n := 0
	for _, c := range g.consumers {
		n += c.inFlight
	}
	return n
}

// Offer adds messages in source order. Everything up to examined was looked at, and skipped of it
// did not pass the group's filter.
func (g *Group) Offer(now time.Time, messages []*Message, examined int64, skipped int) {
	for _, m := range messages {
		m.mark = g.ledger.open(m.Seq)
		m.state = buffered
		g.buffer.push(m)
	}
	if skipped > 0 {
		g.ledger.skip(examined, int64(skipped))
	}
	g.push(now)
	g.checkpoint(now, false)
}

// Replay adds messages read from the parked stream, to be delivered after those that wait for a retry.
// Everything up to examined was looked at; skipped of it can't be delivered any more.
func (g *Group) Replay(now time.Time, messages []*Message, examined int64, skipped int) {
	for _, m := range messages {
		m.mark = g.replayed.open(m.Seq)
		m.Replayed, m.state = true, retrying
		g.replays.push(m)
	}
	if skipped > 0 {
		g.replayed.skip(examined, int64(skipped))
	}
	g.push(now)
}

// Replayed is up to where replayed messages are settled, as places in the parked stream, and how many
// are not yet.
func (g *Group) Replayed() (settled int64, open int) {
	return g.replayed.frontier, g.replayed.len()
}

// Connect adds a consumer that takes at most size unacknowledged messages, at least 1.
func (g *Group) Connect(now time.Time, id uint64, size int) error {
	if limit := g.settings.MaxSubscriberCount; limit > 0 && len(g.consumers) >= limit {
		return ErrFull
	}
	c := &consumer{id: id, size: max(size, 1), since: now, extra: g.settings.ExtraStatistics}
	g.consumers = append(g.consumers, c)
	g.free += c.size
	g.strategy.join(c)
	g.push(now)
	return nil
}

// Disconnect removes a consumer; what it had in flight is delivered again, to others, at once.
func (g *Group) Disconnect(now time.Time, id uint64) {
	c := g.take(id)
	if c == nil {
		return
	}
	g.strategy.leave(c)
	for m := g.oldest; m != nil; {
		next := m.next
		if m.consumer == c {
			g.land(m)
			m.retries++
			g.again(m)
		}
		m = next
	}
	g.free -= c.size
	g.push(now)
}

func (g *Group) take(id uint64) *consumer {
	for i, c := range g.consumers {
		if c.id == id {
			g.consumers = append(g.consumers[:i:i], g.consumers[i+1:]...)
			return c
		}
	}
	return nil
}

// Ack settles messages in flight, whichever consumer has them. Unknown ids are ignored, so is a late
// one of a message that already waits for its retry.
func (g *Group) Ack(now time.Time, ids ...[16]byte) {
	for _, id := range ids {
		for m := g.flying[id]; m != nil; m = g.flying[id] {
			m.consumer.observe(now.Sub(m.sent))
			g.land(m)
			g.settle(m)
		}
	}
	g.push(now)
	g.checkpoint(now, false)
}

// Nack says that messages in flight were not processed, and what is to happen with them.
func (g *Group) Nack(now time.Time, action Action, reason string, ids ...[16]byte) {
	for _, id := range ids {
		for m := g.flying[id]; m != nil; m = g.flying[id] {
			g.land(m)
			switch action {
			case Park:
				g.park(m, "Client explicitly NAK'ed message.\n"+reason)
			case Skip, Stop:
				g.settle(m)
			default:
				g.fail(m)
			}
		}
	}
	g.push(now)
	g.checkpoint(now, false)
}

// Tick is to be called about once a second: messages in flight for longer than the timeout fail,
// parkings that could not be stored are tried again, and a checkpoint may be due.
func (g *Group) Tick(now time.Time) {
	for m := g.oldest; m != nil && now.Sub(m.sent) >= g.settings.MessageTimeout; m = g.oldest {
		g.land(m)
		g.fail(m)
	}
	for _, m := range g.unsaved {
		g.effects.Parkings = append(g.effects.Parkings, Parking{m, m.reason})
	}
	g.unsaved = g.unsaved[:0]
	g.push(now)
	g.checkpoint(now, true)
}

// Parked answers a Parking. Only a stored one settles the message; else it is asked for again.
func (g *Group) Parked(now time.Time, m *Message, stored bool) {
	if _, known := g.parking[m]; !known {
		return
	}
	if !stored {
		g.unsaved = append(g.unsaved, m)
		return
	}
	delete(g.parking, m)
	g.settle(m)
	g.checkpoint(now, false)
}

// Take returns the effects since the last call. The slices are the caller's until its next call.
func (g *Group) Take(into Effects) Effects {
	out := g.effects
	g.effects = Effects{Deliveries: clearAll(into.Deliveries), Parkings: clearAll(into.Parkings)}
	return out
}

func clearAll[T any](s []T) []T {
	clear(s)
	return s[:0]
}
