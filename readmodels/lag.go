package readmodels

import (
	"maps"
	"sync"
	"time"
)

// lagBoard is what this process knows of how far each read model is behind the log.
type lagBoard struct {
	engine *Engine

	mu     sync.Mutex
	models map[string]*tracker
	heard  time.Time // when the event store last answered; zero before the first time
	live   bool      // the follower has read all history
	began  bool      // a follower runs or ran
}

// tracker follows one read model: which events the log has that its live documents may not have yet.
type tracker struct {
	model      *Model
	generation int    // the live one, which it is about
	from       uint64 // events at or before this position are known to be applied
	position   uint64 // the log is read up to here
	events     int64  // how many events of the model the log has up to position
	counted    int64  // how many up to from
	pending    map[string]*pendingStream
	untracked  int64               // events that found no place in pending
	recent     [2]map[string]int64 // newest revisions applied, to know of events that are applied before they are seen
	paused     bool

	progress time.Time // when something was last applied, or there was last nothing to apply
	applied  rate
	changed  bool // since the checkpoint was stored
}

// pendingStream is a stream with events that are not known to be applied.
type pendingStream struct {
	first   int64  // revision of the first of them
	head    int64  // and of the last
	before  uint64 // a position before all of them
	counted int64  // how many events of the model are at or before that
	stored  time.Time
	seen    time.Time
	checked time.Time
	hinted  time.Time
	blocked bool
}

const (
	maxPending = 50_000 // streams of one model
	maxRecent  = 20_000
)

func newLagBoard(e *Engine) *lagBoard {
	b := &lagBoard{engine: e, models: map[string]*tracker{}}
	for _, m := range e.options.Models {
		b.models[m.Name] = &tracker{model: m, pending: map[string]*pendingStream{}, recent: [2]map[string]int64{{}, {}}}
	}
	return b
}

// restart begins anew from a checkpoint; what is pending is forgotten as it will be seen again.
func (b *lagBoard) restart(model string, generation int, note tailNote) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.models[model]
	if t.generation != generation {
		t.recent = [2]map[string]int64{{}, {}}
	}
	t.generation, t.from, t.position, t.events, t.counted = generation, note.Position, note.Position, note.Events, note.Events
	t.pending, t.untracked, t.progress = map[string]*pendingStream{}, 0, time.Now()
}

// saw notes an event of the log; stored is when it came to be there.
func (b *lagBoard) saw(model, stream string, revision int64, stored time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.models[model]
	if t.knows(stream) >= revision {
		return
	}
	now := time.Now()
	p := t.pending[stream]
	if p == nil {
		if len(t.pending) >= maxPending {
			t.untracked++
			return
		}
		if t.behind() == 0 {
			t.progress = now // there was nothing to do until now
		}
		p = &pendingStream{first: revision, before: t.position, counted: t.events, stored: stored, seen: now}
		t.pending[stream] = p
	}
	p.head = max(p.head, revision)
}

// knows is the newest revision of a stream that is known to be applied, -1 if none is.
func (t *tracker) knows(stream string) int64 {
	for _, recent := range t.recent {
		if at, ok := recent[stream]; ok {
			return at
		}
	}
	return -1
}

// advanced says that the log has been read up to a checkpoint, with more events of the model.
func (b *lagBoard) advanced(model string, checkpoint uint64, events int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.models[model]
	if checkpoint > t.position {
		t.position, t.changed = checkpoint, true
	}
	t.events += events
}

// reached notes that the live documents have a stream up to a revision; events is how many that brought.
func (b *lagBoard) reached(model string, generation int, stream string, revision, events int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.models[model]
	if !ok || t.generation != 0 && t.generation != generation {
		return
	}
	if events > 0 {
		t.progress = time.Now()
		t.applied.add(t.progress, events)
	}
	if len(t.recent[0]) >= maxRecent {
		t.recent[0], t.recent[1] = map[string]int64{}, t.recent[0]
	}
	t.recent[0][stream] = max(revision, t.recent[0][stream])
	p := t.pending[stream]
	switch {
	case p == nil:
	case revision >= p.head:
		delete(t.pending, stream)
		t.changed = true
	case revision >= p.first:
		p.first = revision + 1
	}
}

// behind is how many events are not known to be applied; those of blocked streams don't count.
func (t *tracker) behind() int64 {
	events := t.untracked
	for _, p := range t.pending {
		if !p.blocked {
			events += p.head - p.first + 1
		}
	}
	return events
}

// oldest is when the oldest of them was stored.
func (t *tracker) oldest() time.Time {
	var oldest time.Time
	for _, p := range t.pending {
		if !p.blocked && (oldest.IsZero() || p.stored.Before(oldest)) {
			oldest = p.stored
		}
	}
	return oldest
}

// checkpoint is a position up to which everything is applied, or blocked and on record.
func (t *tracker) checkpoint() tailNote {
	note := tailNote{Position: t.position, Events: t.events}
	for _, p := range t.pending {
		if !p.blocked && p.before < note.Position {
			note.Position, note.Events = p.before, p.counted
		}
	}
	if t.untracked > 0 {
		note.Position, note.Events = t.from, t.counted
	}
	return note
}

// Lag is how far a read model is behind.
type lagNow struct {
	Events   int64
	Age      time.Duration
	Rate     int64 // events a second, over the last ten
	Live     bool
	Known    bool // a follower has looked
	Progress time.Time
	Silent   time.Duration // how long the event store has not answered
	Counted  int64
}

func (b *lagBoard) now(model string) lagNow {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	lag := lagNow{Live: b.live, Known: b.began}
	if !b.heard.IsZero() {
		lag.Silent = now.Sub(b.heard)
	}
	t, ok := b.models[model]
	if !ok {
		return lag
	}
	lag.Events, lag.Rate, lag.Progress, lag.Counted = t.behind(), t.applied.perSecond(now), t.progress, t.events
	if oldest := t.oldest(); !oldest.IsZero() {
		lag.Age = max(0, b.engine.options.Clock.Now().Sub(oldest))
	}
	return lag
}

// answered notes that the event store has answered.
func (b *lagBoard) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = time.Now()
}

// pendingOf copies what is pending, for the sweep.
func (b *lagBoard) pendingOf(model string) map[string]pendingStream {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make(map[string]pendingStream, len(b.models[model].pending))
	for stream, p := range b.models[model].pending {
		all[stream] = *p
	}
	return all
}

// positionOf is how far the log has been read for a model.
func (b *lagBoard) positionOf(model string) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.models[model].position
}

// appliedUpTo is a position up to which the live documents of a model have everything; ok is false while nobody follows the log here.
func (b *lagBoard) appliedUpTo(model string) (position uint64, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, known := b.models[model]
	if !known || !b.began || t.generation == 0 {
		return 0, false
	}
	position = t.checkpoint().Position
	for _, p := range t.pending { // also what is blocked: it shows when it is healed
		position = min(position, p.before)
	}
	return position, true
}

// pendingOne is what is pending of one stream.
func (b *lagBoard) pendingOne(model, stream string) (p pendingStream, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if found := b.models[model].pending[stream]; found != nil {
		return *found, true
	}
	return p, false
}

// amend edits what is pending of one stream, if it still is.
func (b *lagBoard) amend(model, stream string, edit func(p *pendingStream)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.models[model].pending[stream]; p != nil {
		edit(p)
	}
}

// checkpoints gives the checkpoints that have changed since the last time.
func (b *lagBoard) checkpoints() map[generation]tailNote {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := map[generation]tailNote{}
	for _, t := range b.models {
		if t.changed && t.generation != 0 {
			all[generation{t.model, t.generation}] = t.checkpoint()
			t.changed = false
		}
	}
	return maps.Clone(all)
}

// lagOf is how far the model is known to be behind: the age of its oldest event to apply, or for how
// long the event store has been silent.
func (r *Reader) lagOf(m *Model) time.Duration {
	if r.past {
		return 0
	}
	lag := r.engine.lag.now(m.Name)
	if lag.Silent > 3*probeEvery {
		return max(lag.Age, lag.Silent)
	}
	return lag.Age
}

// rate counts events by second over ten seconds.
type rate struct {
	seconds [10]int64
	counts  [10]int64
}

func (r *rate) add(now time.Time, n int64) {
	second := now.Unix()
	i := second % 10
	if r.seconds[i] != second {
		r.seconds[i], r.counts[i] = second, 0
	}
	r.counts[i] += n
}

func (r *rate) perSecond(now time.Time) int64 {
	var sum int64
	for i, second := range r.seconds {
		if now.Unix()-second < 10 {
			sum += r.counts[i]
		}
	}
	return (sum + 9) / 10
}
