package eventlog

import (
	"sort"
	"sync"
)

// tail is what was committed, as far as it is held in memory: the newest events, in the order of the log
// and by stream, and the heads of the streams used lately. It is bounded by count and by bytes. The writer
// publishes to it after each commit; readers near the head need nothing else.
type tail struct {
	mu        sync.RWMutex
	maxEvents int
	maxBytes  int

	head    int64 // position of the newest event; 0: none
	base    int64 // every event behind this position is in events
	events  []*Event
	start   int // of what is still held, in events
	bytes   int
	streams map[string][]*Event

	heads      *cache[string, head]
	generation uint64
	changed    chan struct{}
}

func newTail(maxEvents, maxBytes int, position int64) *tail {
	return &tail{maxEvents: maxEvents, maxBytes: maxBytes, head: position, base: position,
		streams: map[string][]*Event{}, heads: newCache[string, head](cachedHeads), changed: make(chan struct{})}
}

// publish makes a commit visible.
func (t *tail) publish(written []*Event, touched map[string]head) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation++
	for stream, h := range touched {
		t.heads.put(stream, h)
	}
	for _, e := range written {
		t.events = append(t.events, e)
		t.streams[e.Stream] = append(t.streams[e.Stream], e)
		t.bytes += e.size()
		t.head = e.Position
	}
	for t.bytes > t.maxBytes || len(t.events)-t.start > t.maxEvents {
		t.forget()
	}
	if t.start > len(t.events)/2 {
		t.events = append([]*Event(nil), t.events[t.start:]...)
		t.start = 0
	}
	close(t.changed)
	t.changed = make(chan struct{})
}

// forget drops the oldest event.
func (t *tail) forget() {
	e := t.events[t.start]
	t.events[t.start] = nil
	t.start++
	t.bytes -= e.size()
	t.base = e.Position
	// Its stream's oldest is this very event: both are in the order of the log.
	list := t.streams[e.Stream]
	if len(list) == 1 {
		delete(t.streams, e.Stream)
		return
	}
	list[0] = nil
	t.streams[e.Stream] = list[1:]
}

// reset forgets all events and heads, after some were removed from the file.
func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.generation++
	t.heads.clear()
	t.base, t.events, t.start, t.bytes, t.streams = t.head, nil, 0, 0, map[string][]*Event{}
}

// position is that of the newest event, and a channel that is closed at the next commit.
func (t *tail) position() (int64, <-chan struct{}) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.head, t.changed
}

// window returns up to n events at and behind a position. It is not ok when older ones than are held
// are asked for. Backwards it returns those before the position, newest first.
func (t *tail) window(from int64, backwards bool, n int) (events []*Event, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	held := t.events[t.start:]
	i := sort.Search(len(held), func(i int) bool { return held[i].Position >= from })
	if backwards {
		events = make([]*Event, 0, min(n, i))
		for i--; i >= 0 && len(events) < n; i-- {
			events = append(events, held[i])
		}
		return events, len(events) > 0
	}
	if from <= t.base {
		return nil, false
	}
	return append([]*Event(nil), held[i:min(i+n, len(held))]...), true
}

// revisions returns up to n events of a stream from a revision on, not beyond last. It is not ok when
// the first of them is not held. Backwards the same, newest first.
func (t *tail) revisions(stream string, from, last int64, backwards bool, n int) (events []*Event, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	held := t.streams[stream]
	if len(held) == 0 || from < held[0].Revision {
		return nil, false
	}
	i := sort.Search(len(held), func(i int) bool { return held[i].Revision >= from })
	step := 1
	if backwards {
		step = -1
	}
	for ; i >= 0 && i < len(held) && len(events) < n && held[i].Revision <= last; i += step {
		events = append(events, held[i])
	}
	return events, len(events) > 0
}

// lookup finds one event.
func (t *tail) lookup(stream string, revision int64) (*Event, bool) {
	events, ok := t.revisions(stream, revision, revision, false, 1)
	if !ok || events[0].Revision != revision {
		return nil, false
	}
	return events[0], true
}

// headOf finds the head of a stream; generation tells fill whether a commit came in between.
func (t *tail) headOf(stream string) (h head, generation uint64, ok bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	h, ok = t.heads.get(stream)
	return h, t.generation, ok
}

// fill remembers a head that was read from the file, unless something was committed since headOf:
// then it may be out of date.
func (t *tail) fill(stream string, h head, generation uint64) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.generation == generation {
		t.heads.put(stream, h)
	}
}

func (t *tail) size() (events, bytes int) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.events) - t.start, t.bytes
}
