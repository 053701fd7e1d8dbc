// Package readmodels turns streams into the documents of screens and answers the screens' queries.
// A delivery is a hint, the stream is the truth: every document knows, for each stream that feeds it,
// the revision it is at, and moves forward by exactly the next event. The package knows no HTTP and
// no database; the ports below are what it needs from outside.
package readmodels

import (
	"context"
	"iter"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Document is one unit of a read model as it is stored.
type Document struct {
	ID      string
	Version int64            // how many events it has taken: the sum of (revision+1) over Sources
	Sources map[string]int64 // stream → revision of the last event applied
	Hidden  bool             // kept for its revisions only; queries don't see it
	Body    []byte           // a JSON object with integers, strings, booleans, arrays, objects; no floats
}

// Collection is where documents of one generation of a read model, or its rows, live.
type Collection struct {
	Name    string     // [a-z0-9_]{1,60}
	Indexes [][]string // paths into the body, each list one compound index; the id is appended
}

// Put is a conditional write of one document with the rows that go with it. It is applied only if
// the stored document's Version is IfVersion (0: there is none yet). Rows are documents of the
// collection Put.RowsIn; their content is a function of the stream up to their event, so they
// are written unconditionally and before the document where a store has no transactions.
type Put struct {
	Document  Document
	IfVersion int64
	RowsIn    string
	Rows      []Document
}

// Condition compares a path of the body. Values are strings, int64 or bool. A document without
// the path never matches. The path "_id" is the document's id.
type Condition struct {
	Path  string
	Op    Op
	Value any // []any for In
}

// Op is a comparison.
type Op int

// The comparisons; Less and GreaterOrEqual order strings by bytes and numbers by value.
const (
	Equal Op = iota
	NotEqual
	Less
	LessOrEqual
	Greater
	GreaterOrEqual
	In
)

// Sort is one key of an order.
type Sort struct {
	Path string
	Desc bool
}

// Find selects documents. The id is always the last sort key, in the direction of the last Sort.
// After continues behind a document: its values at the sort paths, then its id.
type Find struct {
	Where  []Condition
	Sort   []Sort
	After  []any
	Limit  int  // 1–1000
	Hidden bool // also hidden documents
}

// Grouping counts and sums documents. Paths in By and Sum lead to strings and integers.
type Grouping struct {
	Where []Condition
	By    []string
	Sum   []string
}

// Total is one group: the values at By, how many documents, and the sums at Sum, in their orders.
type Total struct {
	By    []string
	Count int64
	Sums  []int64
}

// Documents is a document store. Every call is bounded by its context. Failures are *domain.Error
// of KindUnavailable, or KindUnknown for a Write that may have happened; a Write may always be repeated.
type Documents interface {
	// Ensure creates the collection and its indexes if they are missing.
	Ensure(ctx context.Context, collection Collection) error
	// Drop removes a collection; a missing one is no error.
	Drop(ctx context.Context, collection string) error
	// Collections lists the names of all collections, sorted.
	Collections(ctx context.Context) ([]string, error)
	// Load gives the documents with these ids, hidden ones included, in no promised order; missing ones are left out.
	Load(ctx context.Context, collection string, ids []string) ([]Document, error)
	// Write applies puts, each by itself, and says for each whether its condition held.
	Write(ctx context.Context, collection string, puts []Put) ([]bool, error)
	// Delete removes documents without condition (bookkeeping collections and dropped rows only).
	Delete(ctx context.Context, collection string, ids []string) error
	Find(ctx context.Context, collection string, find Find) ([]Document, error)
	Group(ctx context.Context, collection string, grouping Grouping) ([]Total, error)
	Ping(ctx context.Context) error
}

type relaxedKey struct{}

// Relaxed is for reads of which nobody has asked what they must include: a document store may answer their
// Find and Group from a copy that is a moment behind, as long as no answer goes back behind what this process
// has read before.
func Relaxed(ctx context.Context) context.Context { return context.WithValue(ctx, relaxedKey{}, true) }

// exact undoes Relaxed, for bookkeeping on behalf of such a read.
func exact(ctx context.Context) context.Context { return context.WithValue(ctx, relaxedKey{}, false) }

// IsRelaxed says whether Relaxed holds for ctx.
func IsRelaxed(ctx context.Context) bool {
	relaxed, _ := ctx.Value(relaxedKey{}).(bool)
	return relaxed
}

// Watcher is a document store that can tell other processes' writes; one that can't is polled with backoff.
type Watcher interface {
	// Watch calls changed with the ids of documents written to the collection by anybody, until ctx ends.
	Watch(ctx context.Context, collection string, changed func(ids []string)) error
}

// Streams reads single streams; see application.EventStore for the contract.
type Streams interface {
	ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error]
	ReadLast(ctx context.Context, stream string) (last domain.Recorded, ok bool, err error)
}

// Log follows the whole log; see application.Subscriptions for the contract.
type Log interface {
	Tail(ctx context.Context, from domain.From, prefixes []string, handle func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error) error
}

// Clock tells the time.
type Clock interface {
	Now() time.Time
}
