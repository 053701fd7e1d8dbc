package readmodels

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Reader answers the screens' queries, from the live generation of each read model or, for questions
// about the past, from documents folded for the question.
type Reader struct {
	engine    *Engine
	documents Documents
	now       func() time.Time
	past      bool // documents holds one generation of one model, as it was at now
}

// NewReader makes a reader for a process that only reads. One that shares a process with projectors
// comes from that process's Engine, and is woken by them.
func NewReader(options ReaderOptions) *Reader { return New(options).Reader() }

// live is the generation that serves.
func (r *Reader) live(ctx context.Context, m *Model) (generation, error) {
	if r.past {
		return generation{m, 1}, nil
	}
	record, err := r.engine.registry.of(ctx, m)
	if err != nil {
		return generation{}, err
	}
	return generation{m, record.Live}, nil
}

// streams are those that feed a document.
func (m *Model) streams(id string) []string {
	if m.Document("x-"+id) != id { // keyed by the whole name
		return []string{id}
	}
	all := make([]string, len(m.Categories))
	for i, c := range m.Categories {
		all[i] = domain.Stream(c, id)
	}
	return all
}

// found is one document with its body decoded.
type found[D any] struct {
	id      string
	body    *D
	sources map[string]int64
}

// revision is that of the document's main stream, the one of the model's first category.
func (f found[D]) revision(m *Model) int64 {
	if at, ok := f.sources[m.streams(f.id)[0]]; ok {
		return at
	}
	return domain.NoStream
}

// reflects are the marks that a document includes.
func reflects(sources map[string]int64) Tidemark {
	marks := make(Tidemark, 0, len(sources))
	for stream, revision := range sources {
		marks = append(marks, Mark{stream, revision})
	}
	return marks.Merged()
}

// fetch gives one document: as it was, if the question says so; as it is live, after waiting; or folded
// from its streams when the read model doesn't have it yet or can't be reached. ok is false when the
// document's main stream does not exist, or not up to the revision that was asked for.
func fetch[D any](ctx context.Context, r *Reader, m *Model, ask Ask, id string) (f found[D], ok bool, err error) {
	if ask.Revision != nil || !ask.AsOf.IsZero() {
		return foldFound[D](ctx, r, m, id, until{revision: ask.Revision, at: ask.AsOf})
	}
	err = r.Wait(ctx, m, ask.After, ask.Wait)
	var g generation
	if err == nil {
		g, err = r.live(ctx, m)
	}
	if err == nil {
		f, ok, err = loadFound[D](ctx, r, g, id)
	}
	if ok && err == nil && f.revision(m) != domain.NoStream {
		return f, true, nil
	}
	if err != nil && domain.KindOf(err) != domain.KindUnavailable {
		return f, false, err
	}
	return foldFound[D](ctx, r, m, id, until{})
}

func loadFound[D any](ctx context.Context, r *Reader, g generation, id string) (f found[D], ok bool, err error) {
	documents, err := r.documents.Load(ctx, g.documents(), []string{id})
	if err != nil || len(documents) == 0 {
		return f, false, err
	}
	f, err = decodeFound[D](documents[0])
	return f, err == nil, err
}

func decodeFound[D any](d Document) (found[D], error) {
	f := found[D]{id: d.ID, body: new(D), sources: d.Sources}
	if err := json.Unmarshal(d.Body, f.body); err != nil {
		return f, fmt.Errorf("decode document %s: %w", d.ID, err)
	}
	return f, nil
}

func foldFound[D any](ctx context.Context, r *Reader, m *Model, id string, bound until) (f found[D], ok bool, err error) {
	work, err := r.foldDocument(ctx, m, id, bound, nil)
	if domain.KindOf(err) == domain.KindNotFound { // the stream does not reach the bound; err is not nil then
		return f, false, nil
	}
	if err != nil {
		return f, false, err
	}
	f = found[D]{id: id, body: work.state.(*D), sources: work.reached}
	return f, f.revision(m) != domain.NoStream, nil
}

// until bounds a fold over the past. The zero value is no bound.
type until struct {
	revision *int64           // of the document's main stream; its other streams up to that event's time
	at       time.Time        // events up to then, by their own time
	sources  map[string]int64 // exactly the events that a document has taken; nil: no bound
}

// foldDocument folds a document from its streams, with the model's own fold. Each stream is taken up to
// the first event beyond the bound, so that what comes out is a state that the stream was in. step,
// if not nil, is called before and after each event.
func (r *Reader) foldDocument(ctx context.Context, m *Model, id string, bound until, step func(w *working, event domain.Recorded) error) (*working, error) {
	w, err := m.open(id, nil)
	if err != nil {
		return nil, err
	}
	for i, stream := range m.streams(id) {
		limit := bound
		if i > 0 {
			limit.revision = nil
		}
		if at, taken := bound.sources[stream]; taken {
			limit.revision = &at
		} else if bound.sources != nil {
			continue
		}
		last, err := r.foldStream(ctx, w, stream, limit, step)
		if err != nil {
			return nil, err
		}
		if i > 0 || bound.revision == nil {
			continue
		}
		if w.next(stream) <= *bound.revision {
			return nil, domain.NotFound("revision", fmt.Sprint(*bound.revision))
		}
		if bound.at.IsZero() {
			bound.at = last
		}
	}
	return w, nil
}

func (r *Reader) foldStream(ctx context.Context, w *working, stream string, bound until, step func(w *working, event domain.Recorded) error) (last time.Time, err error) {
	for event, err := range r.engine.options.Streams.ReadStream(ctx, stream, 0) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			return last, err
		}
		if bound.revision != nil && event.Revision > *bound.revision || !bound.at.IsZero() && when(event).After(bound.at) {
			return last, nil
		}
		if err == nil {
			err = w.apply(event)
		}
		if err != nil {
			skip, other := r.engine.skipped(ctx, w.model, event.Stream, event.Revision)
			if other != nil || !skip {
				return last, staleError(w.model, "blocked", fmt.Sprintf("Event %d of stream %q can't be applied.", event.Revision, stream))
			}
			w.skip(event)
		}
		last = when(event)
		if step != nil {
			if err := step(w, event); err != nil {
				return last, err
			}
		}
	}
	return last, nil
}

// when is the time of an event: what its writer's clock said, else when it was stored.
func when(r domain.Recorded) time.Time {
	if r.Meta.At.IsZero() {
		return r.Stored
	}
	return r.Meta.At
}

// param gives a parameter of the question.
func (a Ask) param(name string) string { return a.Params[name] }

// period turns from (inclusive) and to (exclusive) into conditions on a path that holds stamps.
func (a Ask) period(path string) ([]Condition, error) {
	var all []Condition
	for name, op := range map[string]Op{"from": GreaterOrEqual, "to": Less} {
		t, err := a.time(name)
		if err != nil {
			return nil, err
		}
		if !t.IsZero() {
			all = append(all, Condition{Path: path, Op: op, Value: Stamp(t)})
		}
	}
	return all, nil
}

// time reads a parameter in RFC 3339, rounded up to the precision of stamps; zero if it is absent.
func (a Ask) time(name string) (time.Time, error) {
	text := a.param(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(text))
	if err != nil {
		return time.Time{}, domain.Invalid(domain.Field{Pointer: "/" + name, Code: "invalid_format", Detail: "must be a time in RFC 3339"})
	}
	if whole := t.Truncate(time.Microsecond); !whole.Equal(t) {
		t = whole.Add(time.Microsecond)
	}
	return t.UTC(), nil
}

// equals turns parameters into conditions: name of the parameter → path.
func (a Ask) equals(paths map[string]string) []Condition {
	var all []Condition
	for name, path := range paths {
		if value := a.param(name); value != "" {
			all = append(all, Condition{Path: path, Op: Equal, Value: value})
		}
	}
	return all
}
