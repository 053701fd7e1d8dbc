package readmodels

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// generations is what is on record about a read model: which of its generations serves, which is kept
// for a rollback, which is being built. Every change of it is one compare-and-set, so a switch is atomic.
type generations struct {
	Model    string         `json:"model"`
	Live     int            `json:"live"`
	Previous int            `json:"previous,omitempty"` // kept and kept up to date
	Building int            `json:"building,omitempty"`
	Ready    bool           `json:"ready,omitempty"` // Building has caught up
	Next     int            `json:"next"`            // number of the next generation
	Folds    map[string]int `json:"folds"`           // number of a generation → version of its fold
	Paused   bool           `json:"paused,omitempty"`
	Job      string         `json:"job,omitempty"`     // at work on the model
	Held     bool           `json:"held,omitempty"`    // rolled back: no release replaces the live generation by itself
	Side     int            `json:"side,omitempty"`    // built to be compared with, never to serve
	Retired  []retirement   `json:"retired,omitempty"` // to be dropped; nothing is to read or write them any more
}

// retirement is a generation on its way out; readers that remember it get a moment to forget.
type retirement struct {
	Generation int    `json:"generation"`
	At         string `json:"at"`
}

// generation is one set of a model's documents.
type generation struct {
	model  *Model
	number int
}

func (g generation) documents() string { return fmt.Sprintf("%s_%d", g.model.Name, g.number) }
func (g generation) rows() string      { return fmt.Sprintf("%s_%d_rows", g.model.Name, g.number) }
func (g generation) id() string        { return fmt.Sprintf("%s/%d", g.model.Name, g.number) }

// ensure makes the generation's collections and indexes.
func (g generation) ensure(ctx context.Context, documents Documents) error {
	if err := documents.Ensure(ctx, Collection{Name: g.documents(), Indexes: g.model.Indexes}); err != nil {
		return err
	}
	if g.model.RowIndexes == nil {
		return nil
	}
	return documents.Ensure(ctx, Collection{Name: g.rows(), Indexes: g.model.RowIndexes})
}

func (g generations) fold(number int) int { return g.Folds[strconv.Itoa(number)] }

// written lists the generations that this binary keeps up to date, those made by its own fold, in the
// order they are written: the one that serves comes last, so that another is never behind it when it
// takes its place.
func (g generations) written(m *Model) []generation {
	var all []generation
	for _, number := range []int{g.Building, g.Previous, g.Live} {
		if number != 0 && g.fold(number) == m.Version {
			all = append(all, generation{m, number})
		}
	}
	return all
}

// idle says that a process of this release has nothing to write for now.
func (g generations) idle(m *Model) bool { return g.Paused || len(g.written(m)) == 0 }

// ours says that the generation that serves was made by this release's fold.
func (g generations) ours(m *Model) bool { return g.fold(g.Live) == m.Version }

// registry reads the records of generations, remembering each for a moment.
type registry struct {
	documents Documents
	now       func() time.Time // the machine's clock: ages of memories
	age       time.Duration

	mu       sync.Mutex
	prepared bool
	known    map[string]remembered
}

type remembered struct {
	generations
	at time.Time
}

func newRegistry(documents Documents, age time.Duration) *registry {
	return &registry{documents: documents, now: time.Now, age: age, known: map[string]remembered{}}
}

// prepare makes the bookkeeping collections, once.
func (r *registry) prepare(ctx context.Context) error {
	r.mu.Lock()
	done := r.prepared
	r.mu.Unlock()
	if done {
		return nil
	}
	for _, c := range bookkeeping {
		if err := r.documents.Ensure(ctx, c); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.prepared = true
	r.mu.Unlock()
	return nil
}

// serving is the generation that served when last looked at; 0 if nobody has looked. It asks nobody.
func (r *registry) serving(model string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.known[model].Live
}

// of gives the model's record, at most age old; a model without one gets its first generation.
func (r *registry) of(ctx context.Context, m *Model) (generations, error) {
	r.mu.Lock()
	known, ok := r.known[m.Name]
	r.mu.Unlock()
	if ok && r.now().Sub(known.at) < r.age {
		return known.generations, nil
	}
	return r.fresh(ctx, m)
}

// remembered is the record as it was last read, however long ago.
func (r *registry) remembered(m *Model) (generations, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.known[m.Name]
	return known.generations, ok
}

func (r *registry) fresh(ctx context.Context, m *Model) (generations, error) {
	if err := r.prepare(ctx); err != nil {
		return generations{}, err
	}
	asked := r.now()
	record, _, ok, err := readNote[generations](ctx, r.documents, modelNotes, m.Name)
	if err != nil {
		return generations{}, err
	}
	if !ok {
		return r.first(ctx, m)
	}
	r.remember(m, record, asked)
	return record, nil
}

// first gives a new model generation 1, which serves from the start and fills from the beginning of history.
func (r *registry) first(ctx context.Context, m *Model) (generations, error) {
	if err := (generation{m, 1}).ensure(ctx, r.documents); err != nil {
		return generations{}, err
	}
	return r.change(ctx, m, func(g *generations) error {
		if g.Live != 0 {
			return errUnchanged // another process was quicker
		}
		*g = generations{Model: m.Name, Live: 1, Next: 2, Folds: map[string]int{"1": m.Version}}
		return nil
	})
}

// change edits the record atomically and remembers the result.
func (r *registry) change(ctx context.Context, m *Model, edit func(g *generations) error) (generations, error) {
	if err := r.prepare(ctx); err != nil {
		return generations{}, err
	}
	asked := r.now()
	record, err := changeNote(ctx, r.documents, modelNotes, m.Name, func(g *generations, _ bool) error { return edit(g) })
	if err != nil {
		return generations{}, err
	}
	r.remember(m, record, asked)
	return record, nil
}

func (r *registry) remember(m *Model, record generations, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[m.Name]; ok && known.at.After(at) {
		return
	}
	r.known[m.Name] = remembered{record, at}
}

// take reserves the number of a new generation and records its fold.
func (g *generations) take(m *Model) int {
	number := g.Next
	g.Next++
	if g.Folds == nil {
		g.Folds = map[string]int{}
	}
	g.Folds[strconv.Itoa(number)] = m.Version
	return number
}

// retire marks a generation for dropping.
func (g *generations) retire(number int, now time.Time) {
	if number == 0 {
		return
	}
	g.Retired = append(g.Retired, retirement{number, Stamp(now)})
	delete(g.Folds, strconv.Itoa(number))
}
