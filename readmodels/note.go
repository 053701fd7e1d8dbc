package readmodels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// Bookkeeping lives beside the documents, in collections whose names start with "_". Each note is one
// JSON value under an id; its version counts its changes, and every change is a compare-and-set.
const (
	modelNotes   = "_models"  // one per read model: its generations
	blockedNotes = "_blocked" // one per generation and blocked stream
	skipNotes    = "_skips"   // one per read model and skipped event
	jobNotes     = "_jobs"    // one per job
	tailNotes    = "_tails"   // one per generation: how far the log is known to be applied
)

// bookkeeping lists the collections with their indexes.
var bookkeeping = []Collection{
	{Name: modelNotes},
	{Name: blockedNotes, Indexes: [][]string{{"model", "generation"}}},
	{Name: skipNotes, Indexes: [][]string{{"model"}}},
	{Name: jobNotes, Indexes: [][]string{{"target", "state"}, {"createdAt"}}},
	{Name: tailNotes},
}

// errUnchanged ends changeNote without a write and without an error.
var errUnchanged = errors.New("nothing to change")

const noteAttempts = 20

// readNote gives the note's value; ok is false if there is none.
func readNote[T any](ctx context.Context, documents Documents, collection, id string) (value T, version int64, ok bool, err error) {
	found, err := documents.Load(ctx, collection, []string{id})
	if err != nil || len(found) == 0 {
		return value, 0, false, err
	}
	if err := json.Unmarshal(found[0].Body, &value); err != nil {
		return value, 0, false, fmt.Errorf("read note %s of %s: %w", id, collection, err)
	}
	return value, found[0].Version, true, nil
}

// changeNote reads the note (the zero value if there is none), lets change edit it, and writes it if
// nobody else did meanwhile, else begins again. It gives the value as it is stored afterwards.
func changeNote[T any](ctx context.Context, documents Documents, collection, id string, change func(value *T, exists bool) error) (T, error) {
	var none T
	for range noteAttempts {
		value, version, ok, err := readNote[T](ctx, documents, collection, id)
		if err != nil {
			return none, err
		}
		if err := change(&value, ok); errors.Is(err, errUnchanged) {
			return value, nil
		} else if err != nil {
			return none, err
		}
		body, err := json.Marshal(value)
		if err != nil {
			return none, fmt.Errorf("write note %s of %s: %w", id, collection, err)
		}
		put := Put{Document: Document{ID: id, Version: version + 1, Body: body}, IfVersion: version}
		done, err := documents.Write(ctx, collection, []Put{put})
		if err != nil {
			return none, err
		}
		if len(done) == 1 && done[0] {
			return value, nil
		}
	}
	return none, &domain.Error{Kind: domain.KindConflict, Code: "bookkeeping_conflict",
		Message: "Other processes kept changing the same record; try again."}
}

// findNotes gives all notes that match, at most limit, decoded.
func findNotes[T any](ctx context.Context, documents Documents, collection string, find Find, limit int) ([]T, error) {
	ctx = exact(ctx)
	var all []T
	for len(all) < limit {
		find.Limit = min(limit-len(all), 1000)
		page, err := documents.Find(ctx, collection, find)
		if err != nil {
			return nil, err
		}
		for _, d := range page {
			var value T
			if err := json.Unmarshal(d.Body, &value); err != nil {
				return nil, fmt.Errorf("read note %s of %s: %w", d.ID, collection, err)
			}
			all = append(all, value)
		}
		if len(page) < find.Limit {
			break
		}
		find.After, err = afterOf(find, page[len(page)-1])
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}
