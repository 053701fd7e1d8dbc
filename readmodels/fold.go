package readmodels

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/tidemark-dev/tidemark/domain"
)

// working is a document being moved forward, event by event.
type working struct {
	model   *Model
	id      string
	stored  int64            // Version as it was read, 0 if there was none
	base    []byte           // body as it was read
	reached map[string]int64 // Sources by now
	state   any
	taken   []step // since base; state is the fold of these over base
	rows    []Document
}

type step struct {
	event   domain.Recorded
	skipped bool
}

// open starts from a stored document, or from none.
func (m *Model) open(id string, stored *Document) (*working, error) {
	w := &working{model: m, id: id, reached: map[string]int64{}}
	if stored != nil {
		w.stored, w.base = stored.Version, stored.Body
		maps.Copy(w.reached, stored.Sources)
	}
	state, err := m.kind.decode(w.base)
	if err != nil {
		return nil, err
	}
	w.state = state
	return w, nil
}

// next is the revision that the document needs of a stream.
func (w *working) next(stream string) int64 {
	if at, ok := w.reached[stream]; ok {
		return at + 1
	}
	return 0
}

// apply takes the next event of its stream. After an error the document is as it was before.
func (w *working) apply(r domain.Recorded) error {
	if want := w.next(r.Stream); r.Revision != want {
		return fmt.Errorf("stream %s: event %d offered where %d is next", r.Stream, r.Revision, want)
	}
	if err := understood(r); err != nil {
		return err
	}
	row, err := w.fold(r)
	if err == nil && row != nil {
		err = w.addRow(r, row)
	}
	if err != nil {
		w.restore()
		return err
	}
	w.took(step{event: r})
	return nil
}

// skip goes over the next event without applying it, as an operator has decided.
func (w *working) skip(r domain.Recorded) { w.took(step{event: r, skipped: true}) }

func (w *working) took(s step) {
	w.taken = append(w.taken, s)
	w.reached[s.event.Stream] = s.event.Revision
}

// fold calls the model's function; a panic in it is one more way to fail.
func (w *working) fold(r domain.Recorded) (row any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the fold of %s panicked: %v", w.model.Name, p)
		}
	}()
	return w.model.kind.fold(w.state, r)
}

func (w *working) addRow(r domain.Recorded, row any) error {
	body, err := json.Marshal(row)
	if err != nil {
		return fmt.Errorf("encode a row: %w", err)
	}
	w.rows = append(w.rows, Document{ID: rowID(r.Stream, r.Revision), Version: r.Revision + 1,
		Sources: map[string]int64{r.Stream: r.Revision}, Body: body})
	return nil
}

// restore folds again what had been applied, in case a failed fold left half a change behind.
func (w *working) restore() {
	state, err := w.model.kind.decode(w.base)
	if err != nil {
		return // it was decoded before
	}
	w.state = state
	for _, s := range w.taken {
		if !s.skipped {
			_, _ = w.fold(s.event) // it succeeded before
		}
	}
}

// changed says whether there is anything to write.
func (w *working) changed() bool { return len(w.taken) > 0 }

// version is how many events the document has taken.
func (w *working) version() int64 {
	var sum int64
	for _, revision := range w.reached {
		sum += revision + 1
	}
	return sum
}

// document is the result.
func (w *working) document() (Document, error) {
	body, hidden, err := w.model.kind.encode(w.state)
	if err != nil {
		return Document{}, err
	}
	return Document{ID: w.id, Version: w.version(), Sources: maps.Clone(w.reached), Hidden: hidden, Body: body}, nil
}

// put is the conditional write of the result.
func (w *working) put(g generation) (Put, error) {
	d, err := w.document()
	if err != nil {
		return Put{}, err
	}
	p := Put{Document: d, IfVersion: w.stored, Rows: w.rows}
	if len(w.rows) > 0 {
		p.RowsIn = g.rows()
	}
	return p, nil
}
