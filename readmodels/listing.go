package readmodels

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// listing is a list of documents, or of rows, of one read model.
type listing struct {
	operation string
	model     func() *Model // a function, as models name their screens
	rows      bool
	kept      bool // what it lists is never changed: the past is what there was by then, and nothing is folded
	sort      []Sort
	where     func(ask Ask, r *Reader) ([]Condition, error) // nil: it has no filters
	item      func(d Document, r *Reader) (any, error)
	exists    func(ctx context.Context, r *Reader, ask Ask) error // for lists below an entity: refuses an unknown one
}

func (l listing) screen(model string) Screen {
	return Screen{Operation: l.operation, Model: model, Answer: l.answer, Item: l.one}
}

// Limits of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

func (l listing) answer(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	m := l.model()
	if !l.kept {
		var err error
		if r, err = r.at(ctx, m, ask); err != nil {
			return Answer{}, err
		}
	}
	filter := filterHash(l.operation, ask.Params, ask.Customer, Stamp(ask.AsOf))
	after, err := decodeCursor(ask.Cursor, filter, len(l.sort)+1)
	if err == nil && after != nil {
		if _, id := after[len(after)-1].(string); !id {
			err = invalidCursor()
		}
	}
	if err != nil {
		return Answer{}, err
	}
	if l.exists != nil {
		if err := l.exists(ctx, r, ask); err != nil {
			return Answer{}, err
		}
	}
	if err := r.Wait(ctx, m, ask.After, ask.Wait); err != nil {
		return Answer{}, err
	}
	where, err := l.conditions(ask, r)
	if err != nil {
		return Answer{}, err
	}
	limit := ask.limit()
	find := Find{Where: where, Sort: l.sort, After: after, Limit: limit + 1}
	documents, err := l.find(ctx, r, m, find)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{List: true, Items: []any{}, Lag: r.lagOf(m)}
	if len(documents) > limit {
		documents = documents[:limit]
		values, err := afterOf(find, documents[limit-1])
		if err != nil {
			return Answer{}, err
		}
		answer.Next = encodeCursor(filter, values)
	}
	answer.Reflects = reflected(m, ask, documents)
	answer.Items, err = l.items(ctx, r, m, ask, documents)
	return answer, err
}

func (l listing) conditions(ask Ask, r *Reader) ([]Condition, error) {
	if l.where == nil {
		return nil, nil
	}
	return l.where(ask, r)
}

func (l listing) items(ctx context.Context, r *Reader, m *Model, ask Ask, documents []Document) ([]any, error) {
	items := make([]any, 0, len(documents))
	for _, d := range documents {
		item, err := l.item(d, r)
		if err != nil {
			return nil, err
		}
		if ask.Explain {
			if item, err = l.explained(ctx, r, m, d, item); err != nil {
				return nil, err
			}
		}
		items = append(items, item)
	}
	return items, nil
}

// explained adds to an item which events made it.
func (l listing) explained(ctx context.Context, r *Reader, m *Model, d Document, item any) (any, error) {
	if l.rows {
		return r.explainedRow(ctx, m, d, item)
	}
	return r.explained(ctx, m, d.ID, d.Sources, item)
}

func (l listing) find(ctx context.Context, r *Reader, m *Model, find Find) ([]Document, error) {
	g, err := r.live(ctx, m)
	if err != nil {
		return nil, err
	}
	collection := g.documents()
	if l.rows {
		collection = g.rows()
	}
	return r.documents.Find(ctx, collection, find)
}

// one is the list's item that a change shows.
func (l listing) one(ctx context.Context, r *Reader, ask Ask, change Change) (any, bool, error) {
	where, err := l.conditions(ask, r)
	if err != nil {
		return nil, false, err
	}
	id := change.Document
	if l.rows {
		id = rowID(change.Stream, change.Revision)
	}
	where = append(where, Condition{Path: "_id", Op: Equal, Value: id})
	documents, err := l.find(ctx, r, l.model(), Find{Where: where, Sort: l.sort, Limit: 1})
	if err != nil || len(documents) == 0 {
		return nil, false, err
	}
	item, err := l.item(documents[0], r)
	return item, err == nil, err
}

func (a Ask) limit() int {
	if a.Limit < 1 {
		return defaultLimit
	}
	return min(a.Limit, maxLimit)
}

// maxReflected bounds the marks of a list's items in its answer.
const maxReflected = 32

// reflected is what a list's answer includes: the marks it waited for, and those of its first items.
func reflected(m *Model, ask Ask, documents []Document) Tidemark {
	marks := feeding(m, ask.After)
	for _, d := range documents {
		if len(marks) >= maxReflected {
			break
		}
		marks = append(marks, reflects(d.Sources)...)
	}
	return marks.Merged()
}

// afterOf gives the values behind which a page ends: those at the sort's paths, then the id.
func afterOf(find Find, last Document) ([]any, error) {
	decoder := json.NewDecoder(strings.NewReader(string(last.Body)))
	decoder.UseNumber()
	var body map[string]any
	if err := decoder.Decode(&body); err != nil {
		return nil, fmt.Errorf("decode document %s: %w", last.ID, err)
	}
	var after []any
	for _, s := range find.Sort {
		if s.Path == "_id" {
			after = append(after, last.ID)
			continue
		}
		switch v := at(body, s.Path).(type) {
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return nil, fmt.Errorf("document %s has no whole number at %s", last.ID, s.Path)
			}
			after = append(after, n)
		case string, bool, nil:
			after = append(after, v)
		default:
			return nil, fmt.Errorf("document %s can't be sorted by %s", last.ID, s.Path)
		}
	}
	return append(after, last.ID), nil
}

// at follows a dotted path into a decoded body; nil where it leads nowhere.
func at(body map[string]any, path string) any {
	var value any = body
	for part := range strings.SplitSeq(path, ".") {
		object, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = object[part]
	}
	return value
}
