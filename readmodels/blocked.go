package readmodels

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Blocked is a stream that a read model can't take any further: the event at Revision failed, later
// ones wait in the log, all other streams flow.
type Blocked struct {
	Model      string `json:"model"`
	Generation int    `json:"generation"`
	Stream     string `json:"stream"`
	Document   string `json:"document"`
	Revision   int64  `json:"revision"`
	EventID    string `json:"eventId"`
	Type       string `json:"type"`
	Event      string `json:"event"` // as Type
	Code       string `json:"code"`
	Reason     string `json:"reason"`
	Attempts   int64  `json:"attempts"`
	Since      string `json:"since"`
	LastTried  string `json:"lastTriedAt"`
}

// Skip is an operator's decision to go over one event in one read model.
type Skip struct {
	Model    string `json:"model"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	EventID  string `json:"eventId"`
	Type     string `json:"type"`
	Reason   string `json:"reason"` // why the event could not be applied
	Actor    string `json:"actor"`
	At       string `json:"at"`
}

func skipID(m *Model, stream string, revision int64) string {
	return m.Name + "/" + rowID(stream, revision)
}

// blocks reads and keeps the records of blocked streams, remembering each generation's for a moment.
type blocks struct {
	documents Documents
	age       time.Duration

	mu    sync.Mutex
	known map[string]blockedSet // by generation
}

type blockedSet struct {
	revisions map[string]int64 // stream → revision of the event that failed; never changed in place
	at        time.Time
}

// maxBlockedKnown bounds how many blocked streams of a generation are remembered; of more, those that
// are not remembered are tried again with each delivery, which is slower but not wrong.
const maxBlockedKnown = 10_000

func newBlocks(documents Documents, age time.Duration) *blocks {
	return &blocks{documents: documents, age: age, known: map[string]blockedSet{}}
}

func blockedID(g generation, stream string) string { return g.id() + "/" + stream }

// of gives the blocked streams of a generation with the revisions that failed.
func (b *blocks) of(ctx context.Context, g generation) (map[string]int64, error) {
	b.mu.Lock()
	known, ok := b.known[g.id()]
	b.mu.Unlock()
	// The more there are, the longer they are remembered: reading them costs about a microsecond each.
	if ok && time.Since(known.at) < b.age+time.Duration(len(known.revisions))*time.Millisecond {
		return known.revisions, nil
	}
	return b.fresh(ctx, g)
}

func (b *blocks) fresh(ctx context.Context, g generation) (map[string]int64, error) {
	asked := time.Now()
	all, err := b.list(ctx, g, maxBlockedKnown)
	if err != nil {
		return nil, err
	}
	revisions := make(map[string]int64, len(all))
	for _, one := range all {
		revisions[one.Stream] = one.Revision
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if known, ok := b.known[g.id()]; !ok || known.at.Before(asked) {
		b.known[g.id()] = blockedSet{revisions, asked}
	}
	return b.known[g.id()].revisions, nil
}

// list gives the records of a generation, by stream, at most limit.
func (b *blocks) list(ctx context.Context, g generation, limit int) ([]Blocked, error) {
	return findNotes[Blocked](ctx, b.documents, blockedNotes, Find{Where: []Condition{
		{Path: "model", Op: Equal, Value: g.model.Name}, {Path: "generation", Op: Equal, Value: int64(g.number)}}}, limit)
}

// confirm gives those of the streams that still are on record as blocked, with the revisions there.
func (b *blocks) confirm(ctx context.Context, g generation, streams map[string]int64) (map[string]int64, error) {
	ids := make([]string, 0, len(streams))
	for s := range streams {
		ids = append(ids, blockedID(g, s))
	}
	confirmed := map[string]int64{}
	for chunk := range slices.Chunk(ids, maxDocuments) {
		notes, err := b.documents.Load(ctx, blockedNotes, chunk)
		if err != nil {
			return nil, err
		}
		for _, n := range notes {
			var one Blocked
			if err := json.Unmarshal(n.Body, &one); err != nil {
				return nil, fmt.Errorf("read note %s: %w", n.ID, err)
			}
			confirmed[one.Stream] = one.Revision
		}
	}
	return confirmed, nil
}

// amend changes what is remembered, so that this process sees its own change at once.
func (b *blocks) amend(g generation, edit func(revisions map[string]int64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	known := b.known[g.id()]
	revisions := maps.Clone(known.revisions)
	if revisions == nil {
		revisions = map[string]int64{}
	}
	edit(revisions)
	b.known[g.id()] = blockedSet{revisions, known.at}
}

// record notes a failed attempt.
func (b *blocks) record(ctx context.Context, g generation, r domain.Recorded, cause error, now time.Time) (Blocked, error) {
	blocked, err := changeNote(ctx, b.documents, blockedNotes, blockedID(g, r.Stream), func(v *Blocked, exists bool) error {
		if !exists || v.Revision != r.Revision {
			*v = Blocked{Since: Stamp(now)}
		}
		v.Model, v.Generation, v.Stream, v.Document = g.model.Name, g.number, r.Stream, g.model.Document(r.Stream)
		v.Revision, v.EventID, v.Type, v.Event = r.Revision, r.ID, r.Type, r.Type
		v.Code, v.Reason = reasonOf(cause)
		v.Attempts++
		v.LastTried = Stamp(now)
		return nil
	})
	if err != nil {
		return Blocked{}, err
	}
	b.amend(g, func(revisions map[string]int64) { revisions[r.Stream] = r.Revision })
	return blocked, nil
}

// reasonOf says why for operators, who may see the cause.
func reasonOf(cause error) (code, reason string) {
	code, reason = domain.CodeOf(cause), cause.Error()
	if code == "internal" {
		code = "fold_failed"
	}
	const longest = 500
	if len(reason) > longest {
		reason = fmt.Sprintf("%.*s…", longest, reason)
	}
	return code, reason
}

// clear forgets streams that got past their failed event.
func (b *blocks) clear(ctx context.Context, g generation, streams []string) error {
	if len(streams) == 0 {
		return nil
	}
	ids := make([]string, len(streams))
	for i, s := range streams {
		ids[i] = blockedID(g, s)
	}
	if err := b.documents.Delete(ctx, blockedNotes, ids); err != nil {
		return err
	}
	b.amend(g, func(revisions map[string]int64) {
		for _, s := range streams {
			delete(revisions, s)
		}
	})
	return nil
}

// skipped says whether an operator has decided to go over this event in this read model.
func (e *Engine) skipped(ctx context.Context, m *Model, stream string, revision int64) (bool, error) {
	if e.skips != nil {
		return e.skips(ctx, m, stream, revision)
	}
	if err := e.registry.prepare(ctx); err != nil {
		return false, err
	}
	_, _, ok, err := readNote[Skip](ctx, e.options.Documents, skipNotes, skipID(m, stream, revision))
	return ok, err
}
