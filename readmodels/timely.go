package readmodels

import (
	"context"
	"time"
)

// How long one call to the document store may take, whoever makes it. Whoever has less time says so itself.
const (
	callWithin  = 30 * time.Second
	buildWithin = 5 * time.Minute // making or dropping a collection with its indexes
)

// timely are documents whose calls end: a store that hangs may not keep a follower, a sweep or a job for ever.
type timely struct{ Documents }

// inTime bounds the calls of documents.
func inTime(documents Documents) Documents {
	switch documents := documents.(type) {
	case nil, timely, timelyWatcher:
		return documents
	case Watcher:
		return timelyWatcher{timely{documents.(Documents)}, documents}
	}
	return timely{documents}
}

// timelyWatcher passes watches on, which have no end but that of their context.
type timelyWatcher struct {
	timely
	Watcher
}

// Ensure implements Documents.
func (t timely) Ensure(ctx context.Context, collection Collection) error {
	ctx, cancel := context.WithTimeout(ctx, buildWithin)
	defer cancel()
	return t.Documents.Ensure(ctx, collection)
}

// Drop implements Documents.
func (t timely) Drop(ctx context.Context, collection string) error {
	ctx, cancel := context.WithTimeout(ctx, buildWithin)
	defer cancel()
	return t.Documents.Drop(ctx, collection)
}

// Collections implements Documents.
func (t timely) Collections(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Collections(ctx)
}

// Load implements Documents.
func (t timely) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Load(ctx, collection, ids)
}

// Write implements Documents.
func (t timely) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Write(ctx, collection, puts)
}

// Delete implements Documents.
func (t timely) Delete(ctx context.Context, collection string, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Delete(ctx, collection, ids)
}

// Find implements Documents.
func (t timely) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Find(ctx, collection, find)
}

// Group implements Documents.
func (t timely) Group(ctx context.Context, collection string, grouping Grouping) ([]Total, error) {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Group(ctx, collection, grouping)
}

// Ping implements Documents.
func (t timely) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callWithin)
	defer cancel()
	return t.Documents.Ping(ctx)
}
