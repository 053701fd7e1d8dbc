package readmodels

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

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
// the events that changed it, oldest first. Of a field that changed more often than maxCauses times the
// newest are listed, and Shortened says so.
type Explanation struct {
	Fields    map[string][]Cause `json:"fields"`
	Shortened bool               `json:"shortened,omitempty"`
}

const maxCauses = 100

// Explain folds a document of a screen event by event and tells which event changed which field.
func (r *Reader) Explain(ctx context.Context, model, document string) (Explanation, error) {
	m, err := lookup(r.engine.options.Models, model)
	if err != nil {
		return Explanation{}, err
	}
	return r.explain(ctx, m, document, until{})
}

func (r *Reader) explain(ctx context.Context, m *Model, document string, bound until) (Explanation, error) {
	explanation := Explanation{Fields: map[string][]Cause{}}
	before := map[string]string{}
	events := 0
	_, err := r.foldDocument(ctx, m, document, bound, func(w *working, event domain.Recorded) error {
		events++
		after, err := r.shown(w)
		if err != nil {
			return err
		}
		for path := range before {
			if _, still := after[path]; !still {
				delete(explanation.Fields, path)
			}
		}
		for path, value := range after {
			if old, had := before[path]; !had || old != value {
				explanation.add(path, event)
			}
		}
		before = after
		return nil
	})
	if err == nil && events == 0 {
		err = domain.NotFound("document", document)
	}
	return explanation, err
}

func (x *Explanation) add(path string, r domain.Recorded) {
	causes := append(x.Fields[path], causeOf(r))
	if len(causes) > maxCauses {
		causes, x.Shortened = slices.Delete(causes, 0, 1), true
	}
	x.Fields[path] = causes
}

func causeOf(r domain.Recorded) Cause {
	return Cause{Stream: r.Stream, Revision: r.Revision, EventID: r.ID, Type: r.Type, At: Stamp(when(r)),
		Actor: r.Meta.Actor, CommandID: r.Meta.CommandID, CorrelationID: r.Meta.CorrelationID}
}

// explainedRow says that each field of a row comes from the row's event.
func (r *Reader) explainedRow(ctx context.Context, row Document, item any) (any, error) {
	stream, revision, _ := rowPlace(row.ID)
	explanation := Explanation{Fields: map[string][]Cause{}}
	for event, err := range r.engine.options.Streams.ReadStream(ctx, stream, revision) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			return nil, err
		}
		fields, err := fieldsOf(row)
		if err != nil {
			return nil, err
		}
		for path := range fields {
			explanation.Fields[path] = []Cause{causeOf(event)}
		}
		break
	}
	return withMember(item, "explain", explanation)
}

// shown is what the document's screen shows by now: paths of plain values → their JSON.
func (r *Reader) shown(w *working) (map[string]string, error) {
	body, err := json.Marshal(r.shows(w))
	if err != nil {
		return nil, fmt.Errorf("explain document %s: %w", w.id, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var decoded any
	if err := decoder.Decode(&decoded); err != nil {
		return nil, fmt.Errorf("explain document %s: %w", w.id, err)
	}
	flat := map[string]string{}
	flatten("", decoded, func(path string, value any) { flat[path] = fmt.Sprintf("%T %v", value, value) })
	return flat, nil
}

// flatten calls add for the plain values in a JSON value, and for its empty arrays and objects, with their paths.
func flatten(path string, value any, add func(path string, value any)) {
	join := func(key string) string {
		if path == "" {
			return key
		}
		return path + "." + key
	}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			flatten(join(key), inner, add)
		}
		if len(v) == 0 && path != "" {
			add(path, v)
		}
	case []any:
		for i, inner := range v {
			flatten(join(strconv.Itoa(i)), inner, add)
		}
		if len(v) == 0 {
			add(path, v)
		}
	default:
		add(path, v)
	}
}

// explained puts the explanation into an answer's body, as its member "explain".
func (r *Reader) explained(ctx context.Context, m *Model, document string, ask Ask, body any) (any, error) {
	explanation, err := r.explain(ctx, m, document, until{revision: ask.Revision, at: ask.AsOf})
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
