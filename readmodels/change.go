package readmodels

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/tidemark-dev/tidemark/domain"
)

// Change says that a document of the live generation took an event.
type Change struct {
	Document string
	Stream   string
	Revision int64  // of the event; where a model has no rows, of the newest of several
	Resume   string // opaque: where Watch goes on behind this change; empty while nobody follows the log here
}

// ErrReset says that changes were missed: what was read before has to be read anew. The watch itself
// goes on.
var ErrReset = errors.New("changes were missed; read anew")

// Bounds of a watch.
const (
	watchQueue  = 1024   // changes not yet taken
	watchSent   = 32     // marks in a resume token
	watchKnown  = 4096   // streams remembered against repeats
	watchMissed = 20_000 // events that a resumption reads
)

// Watch hears of the changes of a read model. It never slows who makes them: a reader that falls
// behind by more than watchQueue changes is told ErrReset.
type Watch struct {
	reader   *Reader
	model    *Model
	document string
	leave    func()
	start    place

	mu    sync.Mutex
	queue []Change
	reset bool
	known map[string]int64 // newest revision queued of each stream
	shown map[string]int64 // revision of each stream that the caller has shown by other means
	sent  []placed         // newest changes handed out, for the resume token
	wake  chan struct{}
	ahead ahead
}

// Watch begins to hear of changes of a model's documents, of one document if it is named. Given what
// Resume said once, it first tells what has changed since. A model of "" stands for all events.
// Close must be called.
func (r *Reader) Watch(ctx context.Context, model, document, resume string) (*Watch, error) {
	if model == "" {
		model = auditLog.Name
	}
	m, err := lookup(r.engine.options.Models, model)
	if err != nil {
		return nil, err
	}
	w := &Watch{reader: r, model: m, document: document, known: map[string]int64{}, wake: make(chan struct{}, 1)}
	w.leave = r.engine.hub.hear(w.heard)
	_, _, w.start = w.taken()
	if resume != "" {
		w.resume(ctx, resume)
	}
	return w, nil
}

// Start is the resume token of the moment before anything that Next tells; empty while nobody follows the log here.
func (w *Watch) Start() string { return w.start.token(w.model.Name) }

// Shown is told what an answer that was read since the watch began includes: Next says nothing of that
// again. It gives the resume token of the moment of the answer, as far as a token has room for all of it;
// empty while nobody follows the log here.
func (w *Watch) Shown(marks Tidemark) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown = map[string]int64{}
	for _, m := range marks.Merged() {
		w.shown[m.Stream] = m.Revision
	}
	w.queue = slices.DeleteFunc(w.queue, func(c Change) bool {
		at, ok := w.shown[c.Stream]
		return ok && c.Revision <= at
	})
	at := w.start
	at.marks = slices.Concat(at.marks, marks[:min(len(marks), watchSent)])
	return at.token(w.model.Name)
}

// Close ends the watch.
func (w *Watch) Close() { w.leave() }

// heard queues what a write brought. It runs while the hub is locked.
func (w *Watch) heard(c committed) {
	if c.model != w.model.Name || w.document != "" && c.document != w.document {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	serving := w.follow()
	for _, event := range c.events {
		if serving == 0 || c.generation == serving {
			w.ahead.caughtUp(event.Mark)
			w.add(c.document, event)
		} else if position, ok := w.reader.engine.lag.appliedUpTo(w.model.Name); ok && (event.position == 0 || event.position > position) {
			w.ahead.note(c.generation, c.document, event)
		}
	}
}

// follow notices that another generation has come to serve: what that one has already, and the one before
// it did not have, has changed now. It gives the generation that serves; 0 if that isn't known.
func (w *Watch) follow() int {
	serving := w.reader.engine.registry.serving(w.model.Name)
	changes, missed := w.ahead.serves(serving)
	for _, c := range changes {
		w.add(c.document, c.event)
	}
	if missed {
		w.queue, w.reset = nil, true
	}
	return serving
}

// add queues one event's change unless it was before.
func (w *Watch) add(document string, event placed) {
	if at, ok := w.known[event.Stream]; ok && event.Revision <= at {
		return
	}
	if len(w.known) >= watchKnown {
		w.known = map[string]int64{}
	}
	w.known[event.Stream] = event.Revision
	if at, ok := w.shown[event.Stream]; ok && event.Revision <= at {
		w.noteSent(event)
		return
	}
	change := Change{Document: document, Stream: event.Stream, Revision: event.Revision}
	if w.model.RowIndexes == nil {
		for i := range w.queue {
			if w.queue[i].Stream == event.Stream {
				w.queue[i].Revision = event.Revision
				w.noteSent(event)
				return
			}
		}
	}
	if len(w.queue) >= watchQueue {
		w.queue, w.reset = nil, true
	} else {
		w.queue = append(w.queue, change)
	}
	w.noteSent(event)
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Watch) noteSent(event placed) {
	for i := range w.sent {
		if w.sent[i].Stream == event.Stream {
			w.sent = append(w.sent[:i], w.sent[i+1:]...)
			break
		}
	}
	if len(w.sent) >= watchSent {
		w.sent = w.sent[1:]
	}
	w.sent = append(w.sent, event)
}

// Next waits for changes and gives all there are, at least one, or ErrReset. Only the last one's Resume
// covers all of them, and the others have none.
func (w *Watch) Next(ctx context.Context) ([]Change, error) {
	for {
		changes, reset, at := w.taken()
		if reset {
			w.start = at
			return nil, ErrReset
		}
		if len(changes) > 0 {
			changes[len(changes)-1].Resume = at.token(w.model.Name)
			return changes, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// taken empties the queue, with the place that covers it. The hub is locked meanwhile, so that no write
// is half told: known to the follower, whose position the place names, but not yet in the queue.
func (w *Watch) taken() (changes []Change, reset bool, at place) {
	w.reader.engine.hub.locked(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.follow()
		changes, reset, at = w.queue, w.reset, w.place()
		w.queue, w.reset = nil, false
	})
	return changes, reset, at
}

// place is where a watch is: everything up to a position, and single events behind it.
type place struct {
	followed bool // somebody follows the log here, so that the position is known
	position uint64
	marks    Tidemark
}

func (w *Watch) place() (at place) {
	at.position, at.followed = w.reader.engine.lag.appliedUpTo(w.model.Name)
	for _, s := range w.sent {
		if s.position == 0 || s.position > at.position {
			at.marks = append(at.marks, s.Mark)
		}
	}
	return at
}

// token is the place in words that Watch understands; empty where it isn't known.
func (p place) token(model string) string {
	if !p.followed {
		return ""
	}
	return resumeToken(model, p.position, p.marks)
}

// resume finds in the log what changed since the token and queues what of it the documents have; the
// rest comes when they take it.
func (w *Watch) resume(ctx context.Context, token string) {
	position, marks, err := parseResume(w.model.Name, token)
	if err != nil || w.reader.engine.options.Log == nil {
		w.mu.Lock()
		w.reset = true
		w.mu.Unlock()
		return
	}
	seen := map[string]int64{}
	for _, m := range marks {
		seen[m.Stream] = m.Revision
	}
	missed, err := w.missedSince(ctx, position, seen)
	if err == nil {
		missed, err = w.applied(ctx, missed)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.queue, w.reset = nil, true
		return
	}
	heard := w.queue // since the watch began; behind what was missed
	w.queue, w.known, w.sent = nil, seen, nil
	for _, m := range marks {
		w.noteSent(placed{m, 0})
	}
	for _, p := range missed {
		w.add(w.model.Document(p.Stream), p)
	}
	for _, c := range heard {
		w.add(c.Document, placed{Mark{c.Stream, c.Revision}, 0})
	}
}

var errMissedAll = errors.New("the log has been read")

func (w *Watch) missedSince(ctx context.Context, position uint64, seen map[string]int64) ([]placed, error) {
	var missed []placed
	err := w.reader.engine.options.Log.Tail(ctx, domain.From{Position: position}, w.model.Prefixes(), func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
		for _, d := range batch {
			at, had := seen[d.Stream]
			if d.Position <= position || !w.model.Feeds(d.Stream) || had && d.Revision <= at || w.document != "" && w.model.Document(d.Stream) != w.document {
				continue
			}
			missed = append(missed, placed{Mark{d.Stream, d.Revision}, d.Position})
		}
		if len(missed) > watchMissed {
			return ErrReset
		}
		if live {
			return errMissedAll
		}
		return nil
	})
	if errors.Is(err, errMissedAll) {
		err = nil
	}
	return missed, err
}

// applied are those of the events that the live documents have; the others will be heard of.
func (w *Watch) applied(ctx context.Context, missed []placed) ([]placed, error) {
	var have []placed
	for chunk := range slices.Chunk(missed, MaxMarks) {
		marks := make(Tidemark, len(chunk))
		for i, p := range chunk {
			marks[i] = p.Mark
		}
		lacking, err := w.reader.lacking(ctx, w.model, marks)
		if err != nil {
			return nil, err
		}
		for _, p := range chunk {
			if !lacking[p.Mark] {
				have = append(have, p)
			}
		}
	}
	return have, nil
}

// lacking are those of the marks that the live documents don't have.
func (r *Reader) lacking(ctx context.Context, m *Model, marks Tidemark) (map[Mark]bool, error) {
	missing, err := r.missing(ctx, m, marks)
	if err != nil {
		return nil, err
	}
	set := make(map[Mark]bool, len(missing))
	for _, mark := range missing {
		set[mark] = true
	}
	return set, nil
}
