package groups

import (
	"cmp"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world checks a group against what it was told: a message is offered once, and from then on it is
// settled exactly when somebody acknowledged, skipped or parked it while it was in flight.
type world struct {
	group      *Group
	now        time.Time
	next       int64
	consumers  map[uint64]int // free slots as the world sees them
	ids        uint64
	settled    map[int64]bool
	flying     map[int64]uint64 // message to consumer
	parking    map[*Message]bool
	retries    map[int64]int
	checkpoint int64
	storing    bool
	delivered  map[int64]int
}

func (w *world) took(t *rapid.T) {
	e := w.group.Take(Effects{})
	for _, d := range e.Deliveries {
		seq := d.Message.Seq
		if _, twice := w.flying[seq]; twice || w.settled[seq] || w.parking[d.Message] {
			t.Fatalf("message %d was delivered while in flight, parking or settled", seq)
		}
		free, known := w.consumers[d.Consumer]
		if !known || free == 0 {
			t.Fatalf("message %d went to consumer %d, which is gone or full", seq, d.Consumer)
		}
		w.consumers[d.Consumer]--
		w.flying[seq] = d.Consumer
		w.delivered[seq]++
		if d.Retries != w.retries[seq] {
			t.Fatalf("message %d says %d retries, had %d", seq, d.Retries, w.retries[seq])
		}
	}
	for _, p := range e.Parkings {
		w.parking[p.Message] = true
	}
	if e.Store {
		if w.storing {
			t.Fatal("two checkpoints at a time")
		}
		w.storing = true
		if e.Checkpoint < w.checkpoint {
			t.Fatalf("checkpoint went back from %d to %d", w.checkpoint, e.Checkpoint)
		}
		w.checkpoint = e.Checkpoint
		for seq := int64(0); seq <= e.Checkpoint; seq++ {
			if !w.settled[seq] && w.offered(seq) {
				t.Fatalf("checkpoint %d passes message %d, which is not settled", e.Checkpoint, seq)
			}
		}
	}
}

// offered tells messages from places that the filter left out: every fifth is.
func (w *world) offered(seq int64) bool { return seq < w.next && seq%5 != 4 }

func (w *world) land(seq int64) {
	if c, ok := w.flying[seq]; ok {
		if _, connected := w.consumers[c]; connected {
			w.consumers[c]++
		}
		delete(w.flying, seq)
	}
}

func (w *world) pick(t *rapid.T) (int64, bool) {
	if len(w.flying) == 0 {
		return 0, false
	}
	var all []int64
	for seq := int64(0); seq < w.next; seq++ {
		if _, ok := w.flying[seq]; ok {
			all = append(all, seq)
		}
	}
	return rapid.SampledFrom(all).Draw(t, "message"), true
}

func TestNothingIsLostWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		settings := Settings{
			MessageTimeout: 5 * time.Second, MaxRetryCount: rapid.IntRange(0, 3).Draw(t, "retries"),
			CheckpointAfter: 2 * time.Second, MinCheckpointCount: rapid.IntRange(0, 5).Draw(t, "min"),
			MaxCheckpointCount: rapid.IntRange(1, 20).Draw(t, "max"), HistoryBufferSize: rapid.IntRange(2, 20).Draw(t, "buffer"),
			Strategy: rapid.SampledFrom([]Strategy{RoundRobin, DispatchToSingle, Pinned, PinnedByCorrelation}).Draw(t, "strategy"),
		}
		w := &world{group: New(settings, -1, false, epoch), now: epoch, consumers: map[uint64]int{}, settled: map[int64]bool{}, flying: map[int64]uint64{},
			parking: map[*Message]bool{}, retries: map[int64]int{}, checkpoint: -1, delivered: map[int64]int{}}
		t.Repeat(w.actions(settings))
		w.finish(t, settings)
	})
}

func (w *world) actions(settings Settings) map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"offer": func(t *rapid.T) {
			room := w.group.Room()
			if room == 0 {
				t.Skip("no room")
			}
			w.offer(rapid.IntRange(1, room).Draw(t, "n"))
			w.took(t)
		},
		"connect": func(t *rapid.T) {
			w.ids++
			size := rapid.IntRange(1, 6).Draw(t, "size")
			w.consumers[w.ids] = size
			if err := w.group.Connect(w.now, w.ids, size); err != nil {
				t.Fatal(err)
			}
			w.took(t)
		},
		"disconnect": func(t *rapid.T) {
			if len(w.consumers) == 0 {
				t.Skip("nobody")
			}
			w.disconnect(t, rapid.Uint64Range(1, w.ids).Draw(t, "consumer"))
		},
		"ack": func(t *rapid.T) {
			seq, ok := w.pick(t)
			if !ok {
				t.Skip("nothing in flight")
			}
			w.land(seq)
			w.settled[seq] = true
			w.group.Ack(w.now, key32(uint64(seq)), key32(1<<40))
			w.took(t)
		},
		"nack": func(t *rapid.T) {
			seq, ok := w.pick(t)
			if !ok {
				t.Skip("nothing in flight")
			}
			action := rapid.SampledFrom([]Action{Unknown, Park, Retry, Skip, Stop}).Draw(t, "action")
			w.land(seq)
			w.failedOr(seq, action, settings)
			w.group.Nack(w.now, action, "x", key32(uint64(seq)))
			w.took(t)
		},
		"tick": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 6).Draw(t, "seconds")) * time.Second)
			for m := w.group.oldest; m != nil && w.now.Sub(m.sent) >= settings.MessageTimeout; m = m.next {
				w.land(m.Seq)
				w.failedOr(m.Seq, Retry, settings)
			}
			w.group.Tick(w.now)
			w.took(t)
		},
		"parked": func(t *rapid.T) {
			stored := rapid.Bool().Draw(t, "stored")
			if waiting := w.waiting(); len(waiting) > 0 {
				w.parked(waiting[0], stored)
			}
			w.took(t)
		},
		"stored": func(t *rapid.T) {
			w.storing = false
			w.group.Checkpointed(w.now, rapid.Bool().Draw(t, "stored"))
			w.took(t)
		},
		"": func(t *rapid.T) { w.invariants(t) },
	}
}

func (w *world) disconnect(t *rapid.T, id uint64) {
	delete(w.consumers, id)
	for seq, c := range w.flying {
		if c == id {
			delete(w.flying, seq)
			w.retries[seq]++
		}
	}
	w.group.Disconnect(w.now, id)
	w.took(t)
}

// waiting has the messages whose parking was asked for and not answered, in order.
func (w *world) waiting() []*Message {
	return slices.SortedFunc(maps.Keys(w.parking), func(a, b *Message) int { return cmp.Compare(a.Seq, b.Seq) })
}

func (w *world) parked(m *Message, stored bool) {
	delete(w.parking, m)
	w.settled[m.Seq] = stored
	w.group.Parked(w.now, m, stored)
}

func (w *world) offer(n int) {
	var batch []*Message
	skipped := 0
	for range n {
		if w.next%5 == 4 {
			skipped++
		} else {
			batch = append(batch, &Message{Seq: w.next, ID: key32(uint64(w.next)), Key: uint32(w.next % 3)})
		}
		w.next++
	}
	w.group.Offer(w.now, batch, w.next-1, skipped)
}

func (w *world) failedOr(seq int64, action Action, settings Settings) {
	switch action {
	case Skip, Stop:
		w.settled[seq] = true
	case Park:
	default:
		if w.retries[seq] < settings.MaxRetryCount {
			w.retries[seq]++
		}
	}
}

func (w *world) invariants(t *rapid.T) {
	free := 0
	for _, n := range w.consumers {
		free += n
	}
	if free != w.group.free {
		t.Fatalf("the group counts %d free slots, there are %d", w.group.free, free)
	}
	if s := w.group.Stats(w.now); s.InFlight != len(w.flying) {
		t.Fatalf("the group counts %d in flight, there are %d", s.InFlight, len(w.flying))
	}
	if free > 0 && anyConsumerWillDo(w.group) && w.group.buffer.len()+w.group.retry.len() > 0 {
		t.Fatalf("messages wait although %d slots are free", free)
	}
}

func anyConsumerWillDo(g *Group) bool {
	return g.settings.Strategy == RoundRobin || g.settings.Strategy == DispatchToSingle
}

// finish lets everything end well: a consumer with room acks whatever comes. Then each message offered
// was delivered or parked, and the frontier is at the last place looked at.
func (w *world) finish(t *rapid.T, settings Settings) {
	for _, id := range slices.Sorted(maps.Keys(w.consumers)) {
		w.disconnect(t, id)
	}
	w.consumers[1<<20] = 1 << 16
	if err := w.group.Connect(w.now, 1<<20, 1<<16); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		w.took(t)
		w.group.Tick(w.now)
		w.took(t)
		for _, m := range w.waiting() {
			w.parked(m, true)
		}
		for _, seq := range slices.Sorted(maps.Keys(w.flying)) {
			w.land(seq)
			w.settled[seq] = true
			w.group.Ack(w.now, key32(uint64(seq)))
		}
	}
	for seq := range w.next {
		if w.offered(seq) && (!w.settled[seq] || w.delivered[seq] == 0) {
			t.Fatalf("message %d: settled %v, delivered %d times", seq, w.settled[seq], w.delivered[seq])
		}
	}
	if w.group.ledger.frontier != w.next-1 || w.group.held() != 0 {
		t.Fatalf("frontier %d of %d, %d messages held with %v", w.group.ledger.frontier, w.next-1, w.group.held(), settings)
	}
}
