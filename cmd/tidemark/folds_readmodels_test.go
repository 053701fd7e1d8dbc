package main

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"path/filepath"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlitedocs"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// fixedStreams are streams that were recorded.
type fixedStreams []domain.Recorded

func (s fixedStreams) ReadStream(_ context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for _, r := range s {
			if r.Stream == stream && r.Revision >= from && !yield(r, nil) {
				return
			}
		}
	}
}

func (s fixedStreams) ReadLast(_ context.Context, stream string) (last domain.Recorded, ok bool, err error) {
	for _, r := range s {
		if r.Stream == stream {
			last, ok = r, true
		}
	}
	return last, ok, nil
}

func TestFoldsOfReadModelsChangeWithTheirVersion(t *testing.T) {
	t.Parallel()
	for _, h := range foldHistories(t) {
		documents, err := sqlitedocs.Open(filepath.Join(t.TempDir(), "documents.db"), sqlitedocs.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := documents.Close(); err != nil {
				t.Error(err)
			}
		})
		engine := readmodels.New(readmodels.Options{Documents: documents, Streams: fixedStreams(h.events), Clock: machineClock{}})
		for _, m := range readmodels.All() {
			t.Run(m.Name+h.name, func(t *testing.T) {
				lines := append(foldedDocuments(t, engine, documents, m, h.events), foldedRows(t, documents, m)...)
				checkFold(t, foldGolden{m.Name, m.Version, h.name, "Model.Version in readmodels/" + m.Name + ".go"}, lines)
			})
		}
	}
}

// foldedDocuments applies a history to a read model and tells its documents, event by event.
func foldedDocuments(t *testing.T, engine *readmodels.Engine, documents readmodels.Documents, m *readmodels.Model, events []domain.Recorded) (lines []string) {
	t.Helper()
	projector := engine.Projector(m.Name)
	var waiting []domain.Delivery
	apply := func() {
		for i, err := range projector.Handle(t.Context(), waiting) {
			if err != nil {
				t.Fatalf("event %d of %s: %v", waiting[i].Revision, waiting[i].Stream, err)
			}
		}
		waiting = nil
	}
	for _, r := range events {
		if !m.Feeds(r.Stream) {
			continue
		}
		waiting = append(waiting, domain.Delivery{Recorded: r})
		if !noted(r.Revision) {
			continue
		}
		apply()
		found, err := documents.Load(t.Context(), m.Name+"_1", []string{m.Document(r.Stream)})
		if err != nil || len(found) != 1 {
			t.Fatalf("%d documents after event %d of %s: %v", len(found), r.Revision, r.Stream, err)
		}
		lines = append(lines, noteOf(t, fmt.Sprintf("%s@%d %s", r.Stream, r.Revision, r.Type), noteOfDocument(found[0])))
	}
	apply()
	return lines
}

func foldedRows(t *testing.T, documents readmodels.Documents, m *readmodels.Model) (lines []string) {
	t.Helper()
	if m.RowIndexes == nil {
		return nil
	}
	find := readmodels.Find{Limit: 1000}
	for {
		page, err := documents.Find(t.Context(), m.Name+"_1_rows", find)
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range page {
			for _, revision := range row.Sources {
				if noted(revision) {
					lines = append(lines, noteOf(t, "row "+row.ID, noteOfDocument(row)))
				}
			}
		}
		if len(page) < find.Limit {
			return lines
		}
		find.After = []any{page[len(page)-1].ID}
	}
}

// noteOfDocument is all that is stored of a document.
func noteOfDocument(d readmodels.Document) any {
	return struct {
		Version int64            `json:"version"`
		Sources map[string]int64 `json:"sources"`
		Hidden  bool             `json:"hidden,omitempty"`
		Body    json.RawMessage  `json:"body"`
	}{d.Version, d.Sources, d.Hidden, d.Body}
}
