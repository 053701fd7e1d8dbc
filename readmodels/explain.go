package readmodels

import (
	"context"
	"encoding/json"

	"github.com/tidemark-dev/tidemark/domain"
)

// Cause is an event that changed a field.
type Cause struct {
	Stream        string `json:"stream"`
	Revision      int64  `json:"revision"`
	EventID       string `json:"eventId"`
	Type          string `json:"type"`
	At            string `json:"at"`
	Actor         string `json:"actor"`
	CommandID     string `json:"commandId"`
	CorrelationID string `json:"correlationId"`
}

// Explanation says why a document shows what it shows: for each field (a path such as "items.0.quantity")
// the events that made it, oldest first. Folding a field's events alone gives the field, unless older ones
// were left out: of each field the newest maxCauses are listed, Omitted counts the others, and Shortened
// says that something was left out anywhere.
type Explanation struct {
	Fields    map[string][]Cause `json:"fields"`
	Shortened bool               `json:"shortened,omitempty"`
	Omitted   map[string]int     `json:"omitted,omitempty"` // events, by field
	Sums      *Sums              `json:"sums,omitempty"`    // of answers that add up many documents
}

const maxCauses = 100

// Explain folds a document of a screen event by event and tells which events made which field.
func (r *Reader) Explain(ctx context.Context, model, document string) (Explanation, error) {
	m, err := lookup(r.engine.options.Models, model)
	if err != nil {
		return Explanation{}, err
	}
	return r.explain(ctx, m, document, until{})
}

func (r *Reader) explain(ctx context.Context, m *Model, document string, bound until) (Explanation, error) {
	t, leaves, err := r.trace(ctx, m, document, bound, r.shows)
	if err == nil && t.events == 0 {
		err = domain.NotFound("document", document)
	}
	if err != nil {
		return Explanation{}, err
	}
	return explanationOf(t, leaves), nil
}

// trace folds a document up to a bound under the eyes of a tracer; leaves are what it shows in the end.
func (r *Reader) trace(ctx context.Context, m *Model, document string, bound until, shows func(*working) (view, rules)) (t *tracer, leaves []leaf, err error) {
	w, err := m.open(document, nil)
	if err != nil {
		return nil, nil, err
	}
	_, follow := shows(w)
	t = newTracer(follow)
	w, err = r.foldDocument(ctx, m, document, bound, func(w *working, event domain.Recorded) error {
		v, _ := shows(w)
		return t.take(event, v)
	})
	if err != nil {
		return nil, nil, err
	}
	last, _ := shows(w)
	leaves, err = leavesOf(last)
	return t, leaves, err
}

// traceRow folds what a row is computed from, up to its own event.
func (r *Reader) traceRow(ctx context.Context, m *Model, row Document) (t *tracer, leaves []leaf, unread int64, err error) {
	stream, revision, _ := rowPlace(row.ID)
	before, follow := rowHistory(m)
	if before >= 0 {
		unread = max(0, revision-before)
	}
	w, err := m.open(m.Document(stream), nil)
	if err != nil {
		return nil, nil, 0, err
	}
	w.reached[stream] = unread - 1
	t = newTracer(follow)
	for event, err := range r.engine.options.Streams.ReadStream(ctx, stream, unread) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			return nil, nil, 0, err
		}
		if event.Revision > revision {
			break
		}
		if err != nil || w.apply(event) != nil {
			w.skip(event) // the row was made, so an operator has skipped this event
		}
		if err := t.take(event, showsRow(w)); err != nil {
			return nil, nil, 0, err
		}
	}
	leaves, err = leavesOf(showsRow(w))
	return t, leaves, unread, err
}

func explanationOf(t *tracer, leaves []leaf) Explanation {
	x := Explanation{Fields: map[string][]Cause{}}
	for _, l := range leaves {
		if l.path != "" {
			x.add(l.path, t, l.key, 0)
		}
	}
	return x
}

// add explains a field by the events behind a key; unread is how many older events were not looked at.
func (x *Explanation) add(path string, t *tracer, key string, unread int64) {
	causes, omitted := t.of(key)
	if len(t.rulesOf(key)) > 0 {
		omitted += int(unread)
	}
	x.Fields[path] = append(x.Fields[path], causes...)
	if omitted == 0 {
		return
	}
	if x.Omitted == nil {
		x.Omitted = map[string]int{}
	}
	x.Omitted[path] += omitted
	x.Shortened = true
}

func causeOf(r domain.Recorded) Cause {
	return Cause{Stream: r.Stream, Revision: r.Revision, EventID: r.ID, Type: r.Type, At: Stamp(when(r)),
		Actor: r.Meta.Actor, CommandID: r.Meta.CommandID, CorrelationID: r.Meta.CorrelationID}
}

// explainedRow says which events made a row: its own, and for running sums those before it.
func (r *Reader) explainedRow(ctx context.Context, m *Model, row Document, item any) (any, error) {
	t, leaves, unread, err := r.traceRow(ctx, m, row)
	if err != nil {
		return nil, err
	}
	x := Explanation{Fields: map[string][]Cause{}}
	for _, l := range leaves {
		if l.path != "" {
			x.add(l.path, t, l.key, unread)
		}
	}
	return withMember(item, "explain", x)
}

// explained puts the explanation of a document that has taken its sources so far into an answer's body, as
// its member "explain".
func (r *Reader) explained(ctx context.Context, m *Model, document string, sources map[string]int64, body any) (any, error) {
	explanation, err := r.explain(ctx, m, document, until{sources: sources})
	if err != nil {
		return nil, err
	}
	return withMember(body, "explain", explanation)
}

// withMember adds a member to what marshals to a JSON object.
func withMember(body any, name string, value any) (any, error) {
	object, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	member, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		return nil, err
	}
	if len(object) <= 2 {
		return json.RawMessage(member), nil
	}
	return json.RawMessage(append(append(object[:len(object)-1:len(object)-1], ','), member[1:]...)), nil
}
