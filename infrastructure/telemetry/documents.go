package telemetry

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Documents measures every call to a document store. A store that can be watched stays watchable.
func Documents(store readmodels.Documents, metrics *Metrics) readmodels.Documents {
	measured := &measuredDocuments{store: store, metrics: metrics}
	if watcher, ok := store.(readmodels.Watcher); ok {
		return struct {
			*measuredDocuments
			readmodels.Watcher
		}{measured, watcher}
	}
	return measured
}

type measuredDocuments struct {
	store   readmodels.Documents
	metrics *Metrics
}

func (d *measuredDocuments) measure(call string, began time.Time, err error) {
	d.metrics.docsSeconds.WithLabelValues(call, outcome(err)).Observe(time.Since(began).Seconds())
}

// Ensure implements readmodels.Documents.
func (d *measuredDocuments) Ensure(ctx context.Context, collection readmodels.Collection) (err error) {
	defer func(began time.Time) { d.measure("ensure", began, err) }(time.Now())
	return d.store.Ensure(ctx, collection)
}

// Drop implements readmodels.Documents.
func (d *measuredDocuments) Drop(ctx context.Context, collection string) (err error) {
	defer func(began time.Time) { d.measure("drop", began, err) }(time.Now())
	return d.store.Drop(ctx, collection)
}

// Collections implements readmodels.Documents.
func (d *measuredDocuments) Collections(ctx context.Context) (names []string, err error) {
	defer func(began time.Time) { d.measure("collections", began, err) }(time.Now())
	return d.store.Collections(ctx)
}

// Load implements readmodels.Documents.
func (d *measuredDocuments) Load(ctx context.Context, collection string, ids []string) (found []readmodels.Document, err error) {
	defer func(began time.Time) { d.measure("load", began, err) }(time.Now())
	return d.store.Load(ctx, collection, ids)
}

// Write implements readmodels.Documents.
func (d *measuredDocuments) Write(ctx context.Context, collection string, puts []readmodels.Put) (applied []bool, err error) {
	defer func(began time.Time) { d.measure("write", began, err) }(time.Now())
	return d.store.Write(ctx, collection, puts)
}

// Delete implements readmodels.Documents.
func (d *measuredDocuments) Delete(ctx context.Context, collection string, ids []string) (err error) {
	defer func(began time.Time) { d.measure("delete", began, err) }(time.Now())
	return d.store.Delete(ctx, collection, ids)
}

// Find implements readmodels.Documents.
func (d *measuredDocuments) Find(ctx context.Context, collection string, find readmodels.Find) (found []readmodels.Document, err error) {
	defer func(began time.Time) { d.measure("find", began, err) }(time.Now())
	return d.store.Find(ctx, collection, find)
}

// Group implements readmodels.Documents.
func (d *measuredDocuments) Group(ctx context.Context, collection string, grouping readmodels.Grouping) (totals []readmodels.Total, err error) {
	defer func(began time.Time) { d.measure("group", began, err) }(time.Now())
	return d.store.Group(ctx, collection, grouping)
}

// Ping implements readmodels.Documents.
func (d *measuredDocuments) Ping(ctx context.Context) (err error) {
	defer func(began time.Time) { d.measure("ping", began, err) }(time.Now())
	return d.store.Ping(ctx)
}
