package readmodels

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
)

// Model turns the streams of some categories into documents, one stream's events into exactly one
// document. The same fold runs live, in a rebuild, in verify and for every question about the past.
type Model struct {
	Name       string     // also the name of its consumer group and the label of its series; [a-z0-9_]
	Title      string     // for people
	Version    int        // of the fold; a changed fold has a higher one and gets a new generation
	Categories []string   // whole categories of streams feed it
	Indexes    [][]string // of its documents
	RowIndexes [][]string // of its rows; nil: it has none

	key  func(stream string) string // document of a stream
	kind docKind
}

// docKind is a model's document type with the type forgotten.
type docKind interface {
	decode(body []byte) (any, error) // nil body: an empty document
	encode(state any) (body []byte, hidden bool, err error)
	fold(state any, r domain.Recorded) (row any, err error)
}

// typed is the docKind of documents that are D.
type typed[D any] struct {
	apply  func(d *D, r domain.Recorded) (row any, err error)
	hidden func(d *D) bool
}

func (k typed[D]) decode(body []byte) (any, error) {
	d := new(D)
	if len(body) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(body, d); err != nil {
		return nil, fmt.Errorf("decode a document: %w", err)
	}
	return d, nil
}

func (k typed[D]) encode(state any) ([]byte, bool, error) {
	d := state.(*D)
	body, err := json.Marshal(d)
	if err != nil {
		return nil, false, fmt.Errorf("encode a document: %w", err)
	}
	return body, k.hidden != nil && k.hidden(d), nil
}

func (k typed[D]) fold(state any, r domain.Recorded) (any, error) { return k.apply(state.(*D), r) }

// define completes a model with its document type. The fold gets each event of each source stream
// exactly once and in the stream's order; it returns the row that the event adds, or nil.
func define[D any](m Model, fold func(d *D, r domain.Recorded) (row any, err error), hidden func(d *D) bool) *Model {
	m.kind = typed[D]{apply: fold, hidden: hidden}
	if m.key == nil {
		m.key = domain.StreamID
	}
	return &m
}

// Prefixes are the stream prefixes that feed the model.
func (m *Model) Prefixes() []string {
	prefixes := make([]string, len(m.Categories))
	for i, c := range m.Categories {
		prefixes[i] = c + "-"
	}
	return prefixes
}

// Feeds says whether a stream's events belong into the model.
func (m *Model) Feeds(stream string) bool {
	return slices.Contains(m.Categories, domain.Category(stream)) && domain.StreamID(stream) != ""
}

// Document is the id of the document that a stream feeds.
func (m *Model) Document(stream string) string { return m.key(stream) }

// lookup finds a model by its name; "-" may stand for "_".
func lookup(all []*Model, name string) (*Model, error) {
	wanted := strings.ReplaceAll(name, "-", "_")
	for _, m := range all {
		if m.Name == wanted {
			return m, nil
		}
	}
	return nil, domain.NotFound("read model", name)
}

// rowID names the row of an event; ids sort like the stream.
func rowID(stream string, revision int64) string { return fmt.Sprintf("%s@%012d", stream, revision) }

// rowPlace takes a row's id apart.
func rowPlace(id string) (stream string, revision int64, ok bool) {
	at := strings.LastIndexByte(id, '@')
	if at < 0 {
		return "", 0, false
	}
	if _, err := fmt.Sscanf(id[at+1:], "%d", &revision); err != nil {
		return "", 0, false
	}
	return id[:at], revision, true
}

// understood refuses an event that this binary doesn't know: it must block its stream, never vanish.
func understood(r domain.Recorded) error {
	if r.Event == nil {
		return undecodable(r, "it could not be decoded")
	}
	if known, ok := knownTypes[domain.Category(r.Stream)]; ok && !known[r.Event.EventType()] {
		return undecodable(r, fmt.Sprintf("this release knows no event type %q in such a stream", r.Type))
	}
	return nil
}

func undecodable(r domain.Recorded, why string) error {
	return &domain.Error{Kind: domain.KindUndecodable, Code: "undecodable_event",
		Message: fmt.Sprintf("Event %d of stream %q can't be applied: %s.", r.Revision, r.Stream, why)}
}

// typesOf is the set of stored names of an aggregate's events.
func typesOf(events []domain.Event) map[string]bool {
	set := make(map[string]bool, len(events))
	for _, e := range events {
		set[e.EventType()] = true
	}
	return set
}
