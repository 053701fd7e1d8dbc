package readmodels

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Comparison is what came out of comparing the live documents, and rows, with those expected.
type Comparison struct {
	Checked     int64        `json:"checked"`     // documents and rows
	Differing   int64        `json:"differing"`   // of them
	Differences []Difference `json:"differences"` // of the first maxDifferences fields
}

// Difference is one field that is not as it should be. A document or row that is missing, or should not
// be there, has the empty field.
type Difference struct {
	Document string          `json:"document"` // id of a document or of a row
	Field    string          `json:"field"`
	Live     json.RawMessage `json:"live"`
	Expected json.RawMessage `json:"expected"`
}

const maxDifferences = 1000

type comparer struct {
	engine   *Engine
	live     generation
	expected generation
	job      *runningJob
	found    Comparison
	idle     time.Duration // since the live generation last took a document that it was waited for
}

// compare compares two generations, document by document at equal revisions.
func (o *Operations) compare(ctx context.Context, live, expected generation, j *runningJob) (Comparison, error) {
	c := &comparer{engine: o.engine, live: live, expected: expected, job: j, found: Comparison{Differences: []Difference{}}}
	if err := c.merge(ctx, live.documents(), expected.documents(), c.documents); err != nil {
		return c.found, err
	}
	if live.model.RowIndexes == nil {
		return c.found, nil
	}
	err := c.merge(ctx, live.rows(), expected.rows(), c.rows)
	return c.found, err
}

// pair is what two collections have under an id; nil where one has nothing.
type pair struct {
	id             string
	live, expected *Document
}

// merge walks two collections by id and calls check for each page of pairs.
func (c *comparer) merge(ctx context.Context, live, expected string, check func(ctx context.Context, pairs []pair) error) error {
	left := &walk{documents: c.engine.options.Documents, collection: live}
	right := &walk{documents: c.engine.options.Documents, collection: expected}
	var pairs []pair
	flush := func() error {
		err := check(ctx, pairs)
		c.found.Checked += int64(len(pairs))
		c.job.report("comparing", c.found.Checked, 0)
		pairs = pairs[:0]
		return err
	}
	for {
		a, err := left.peek(ctx)
		if err != nil {
			return err
		}
		b, err := right.peek(ctx)
		if err != nil {
			return err
		}
		switch {
		case a == nil && b == nil:
			return flush()
		case b == nil || a != nil && a.ID < b.ID:
			pairs = append(pairs, pair{a.ID, left.next(), nil})
		case a == nil || b.ID < a.ID:
			pairs = append(pairs, pair{b.ID, nil, right.next()})
		default:
			pairs = append(pairs, pair{a.ID, left.next(), right.next()})
		}
		if len(pairs) == maxDocuments {
			if err := flush(); err != nil {
				return err
			}
		}
	}
}

// walk reads a collection by id.
type walk struct {
	documents  Documents
	collection string
	page       []Document
	last       string
	end        bool
}

func (w *walk) peek(ctx context.Context) (*Document, error) {
	if len(w.page) == 0 && !w.end {
		find := Find{Limit: maxDocuments, Hidden: true}
		if w.last != "" {
			find.After = []any{w.last}
		}
		page, err := w.documents.Find(ctx, w.collection, find)
		if err != nil {
			return nil, err
		}
		w.page, w.end = page, len(page) < find.Limit
		if len(page) > 0 {
			w.last = page[len(page)-1].ID
		}
	}
	if len(w.page) == 0 {
		return nil, nil
	}
	return &w.page[0], nil
}

func (w *walk) next() *Document {
	d := &w.page[0]
	w.page = w.page[1:]
	return d
}

// documents compares documents. Where the two stand at other revisions, or one is missing, the live
// document is read again and the expected one folded up to exactly its revisions.
func (c *comparer) documents(ctx context.Context, pairs []pair) error {
	late, err := c.late(ctx, pairs)
	if err != nil {
		return err
	}
	for _, p := range pairs {
		if p.live == nil {
			found, ok := late[p.id]
			if !ok {
				c.differ(p.id, map[string]Difference{"": {Live: null, Expected: p.expected.Body}})
				continue
			}
			p.live = &found
		}
		if p.expected == nil || !maps.Equal(p.live.Sources, p.expected.Sources) {
			expected, err := c.fold(ctx, p.id, p.live.Sources)
			if err != nil {
				return err
			}
			p.expected = expected
		}
		if p.expected == nil {
			c.differ(p.id, map[string]Difference{"": {Live: p.live.Body, Expected: null}})
			continue
		}
		fields, err := differences(*p.live, *p.expected)
		if err != nil {
			return err
		}
		c.differ(p.id, fields)
	}
	return nil
}

var null = json.RawMessage("null")

// late reads what the live read model did not have yet, and gives it time as long as it goes on taking
// some of it. A moment in which it takes nothing is waited for once in a comparison, not once for each
// document: one that lost them all, or that nobody works on, would keep it waiting for hours.
func (c *comparer) late(ctx context.Context, pairs []pair) (map[string]Document, error) {
	found := map[string]Document{}
	var missing []string
	for _, p := range pairs {
		if p.live == nil {
			missing = append(missing, p.id)
		}
	}
	for wait := firstPoll; len(missing) > 0; wait *= 2 {
		again, err := c.engine.options.Documents.Load(ctx, c.live.documents(), missing)
		if err != nil {
			return nil, err
		}
		for _, d := range again {
			found[d.ID] = d
		}
		if len(again) > 0 {
			c.idle, wait = 0, firstPoll
			missing = slices.DeleteFunc(missing, func(id string) bool { _, ok := found[id]; return ok })
		}
		if len(missing) == 0 || c.idle >= 4*c.engine.options.RegistryAge {
			break
		}
		rest(ctx, wait)
		c.idle += wait
	}
	return found, nil
}

// fold computes a document from its streams up to given revisions; nil if it has no events.
func (c *comparer) fold(ctx context.Context, id string, sources map[string]int64) (*Document, error) {
	reader := c.engine.reader
	w, err := c.live.model.open(id, nil)
	if err != nil {
		return nil, err
	}
	for _, stream := range slices.Sorted(maps.Keys(sources)) {
		if !c.live.model.Feeds(stream) || c.live.model.Document(stream) != id {
			continue
		}
		revision := sources[stream]
		if _, err := reader.foldStream(ctx, w, stream, until{revision: &revision}, nil); err != nil && domain.KindOf(err) != domain.KindStale {
			return nil, err
		}
	}
	if !w.changed() {
		return nil, nil
	}
	d, err := w.document()
	return &d, err
}

// differences are the fields in which two documents differ.
func differences(live, expected Document) (map[string]Difference, error) {
	fields := map[string]Difference{}
	if !bytes.Equal(live.Body, expected.Body) {
		a, err := fieldsOf(live)
		if err != nil {
			return map[string]Difference{"": {Live: quoted(live.Body), Expected: expected.Body}}, nil
		}
		b, err := fieldsOf(expected)
		if err != nil {
			return nil, err
		}
		for field := range a {
			if other, ok := b[field]; !ok || !bytes.Equal(a[field], other) {
				fields[field] = Difference{Live: a[field], Expected: orNull(other)}
			}
		}
		for field := range b {
			if _, ok := a[field]; !ok {
				fields[field] = Difference{Live: null, Expected: b[field]}
			}
		}
	}
	if live.Hidden != expected.Hidden {
		fields["_hidden"] = Difference{Live: encoded(live.Hidden), Expected: encoded(expected.Hidden)}
	}
	if !maps.Equal(live.Sources, expected.Sources) {
		fields["_sources"] = Difference{Live: encoded(live.Sources), Expected: encoded(expected.Sources)}
	}
	return fields, nil
}

func quoted(body []byte) json.RawMessage { return encoded(string(body)) }

func encoded(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		return null
	}
	return text
}

func orNull(m json.RawMessage) json.RawMessage {
	if m == nil {
		return null
	}
	return m
}

// fieldsOf lists the plain values of a body by their paths.
func fieldsOf(d Document) (map[string]json.RawMessage, error) {
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	decoder.UseNumber()
	var body any
	if err := decoder.Decode(&body); err != nil {
		return nil, fmt.Errorf("decode document %s: %w", d.ID, err)
	}
	fields := map[string]json.RawMessage{}
	flatten("", "", body, func(path, _ string, value any) { fields[path] = encoded(value) })
	return fields, nil
}

// differ notes what differs in a document.
func (c *comparer) differ(id string, fields map[string]Difference) {
	if len(fields) == 0 {
		return
	}
	c.found.Differing++
	for _, field := range slices.SortedFunc(maps.Keys(fields), strings.Compare) {
		if len(c.found.Differences) == maxDifferences {
			return
		}
		d := fields[field]
		d.Document, d.Field = id, field
		c.found.Differences = append(c.found.Differences, d)
	}
}

// rows compares rows. A row that only one side has differs only if the other's document is past its
// event, and still has no such row when it is read after that.
func (c *comparer) rows(ctx context.Context, pairs []pair) error {
	for _, p := range pairs {
		if p.live == nil || p.expected == nil {
			past, err := c.isPast(ctx, p)
			if err != nil {
				return err
			}
			if !past {
				continue
			}
			if p, err = c.reread(ctx, p); err != nil {
				return err
			}
		}
		switch {
		case p.live == nil:
			c.differ(p.id, map[string]Difference{"": {Live: null, Expected: p.expected.Body}})
		case p.expected == nil:
			c.differ(p.id, map[string]Difference{"": {Live: p.live.Body, Expected: null}})
		default:
			fields, err := differences(Document{Body: p.live.Body}, Document{Body: p.expected.Body})
			if err != nil {
				return err
			}
			c.differ(p.id, fields)
		}
	}
	return nil
}

// reread looks again for the row that was missing when its page was read.
func (c *comparer) reread(ctx context.Context, p pair) (pair, error) {
	g := c.live
	if p.expected == nil {
		g = c.expected
	}
	found, err := c.engine.options.Documents.Load(ctx, g.rows(), []string{p.id})
	if err != nil || len(found) == 0 {
		return p, err
	}
	if p.live == nil {
		p.live = &found[0]
	} else {
		p.expected = &found[0]
	}
	return p, nil
}

// isPast says whether the side without the row has applied its event.
func (c *comparer) isPast(ctx context.Context, p pair) (bool, error) {
	stream, revision, ok := rowPlace(p.id)
	if !ok || !c.live.model.Feeds(stream) {
		return true, nil
	}
	g := c.live
	if p.expected == nil {
		g = c.expected
	}
	found, err := c.engine.options.Documents.Load(ctx, g.documents(), []string{g.model.Document(stream)})
	if err != nil || len(found) == 0 {
		return false, err
	}
	at, ok := found[0].Sources[stream]
	return ok && at >= revision, nil
}
