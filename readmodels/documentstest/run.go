// Package documentstest holds what every document store must keep: Run is the contract of
// readmodels.Documents as tests, and Faulty puts faults and delays in front of a store. It is used
// by the tests of the adapters and of whoever builds on them; it is no store itself.
package documentstest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp/cmpopts"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// patience bounds each call of the suite. It is generous: a test that needs it has failed.
const patience = time.Minute

// Run checks every promise of readmodels.Documents. open gives an empty store and arranges for its
// end with t.Cleanup; it is called once for each promise,
// and promises are kept side by side.
func Run(t *testing.T, open func(t *testing.T) readmodels.Documents) {
	promises := []struct {
		name  string
		check func(t *testing.T, s *suite)
	}{
		{"a collection is made once and dropped", checkCollections},
		{"a missing collection is empty and takes no write", checkMissingCollection},
		{"load gives what is there", checkLoad},
		{"delete removes what is named", checkDelete},
		{"a write depends on the version", checkConditionalWrite},
		{"a batch decides each put by itself", checkBatch},
		{"a batch may name a document twice", checkBatchTwice},
		{"a large batch is written whole", checkLargeBatch},
		{"of concurrent writers exactly one wins", checkConcurrentWriters},
		{"documents only move forward", checkForward},
		{"rows are written with their document", checkRows},
		{"hidden documents are loaded but not found", checkHidden},
		{"a repeated write changes nothing", checkRepeat},
		{"a body comes back byte for byte", checkBodies},
		{"conditions compare by value", checkConditions},
		{"an order is total", checkOrder},
		{"pages continue where they stopped", checkPages},
		{"pages are stable under inserts", checkPagesUnderInserts},
		{"finds agree with a naive search", checkFindsNaively},
		{"groups count and sum", checkGroups},
		{"groups agree with a naive count", checkGroupsNaively},
		{"calls end with their context", checkContext},
		{"nonsense is refused", checkNonsense},
		{"watchers hear of writes", checkWatch},
	}
	for _, promise := range promises {
		t.Run(promise.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			t.Cleanup(cancel)
			promise.check(t, &suite{t: t, ctx: ctx, docs: open(t)})
		})
	}
}

// suite is one store under test, with calls that must not fail.
type suite struct {
	t    *testing.T
	ctx  context.Context
	docs readmodels.Documents
}

// ensure makes a collection.
func (s *suite) ensure(name string, indexes ...[]string) string {
	s.t.Helper()
	if err := s.docs.Ensure(s.ctx, readmodels.Collection{Name: name, Indexes: indexes}); err != nil {
		s.t.Fatalf("ensure %s: %v", name, err)
	}
	return name
}

// write applies puts and says which were applied.
func (s *suite) write(collection string, puts ...readmodels.Put) []bool {
	s.t.Helper()
	applied, err := s.docs.Write(s.ctx, collection, puts)
	if err != nil {
		s.t.Fatalf("write %d puts to %s: %v", len(puts), collection, err)
	}
	if len(applied) != len(puts) {
		s.t.Fatalf("write %d puts to %s: %d outcomes", len(puts), collection, len(applied))
	}
	return applied
}

// insert writes new documents and fails if one of them was there.
func (s *suite) insert(collection string, documents ...readmodels.Document) {
	s.t.Helper()
	puts := make([]readmodels.Put, len(documents))
	for i, document := range documents {
		puts[i] = readmodels.Put{Document: document}
	}
	for i, applied := range s.write(collection, puts...) {
		if !applied {
			s.t.Fatalf("new document %s was not written", documents[i].ID)
		}
	}
}

// load gives documents by id, sorted by id.
func (s *suite) load(collection string, ids ...string) []readmodels.Document {
	s.t.Helper()
	documents, err := s.docs.Load(s.ctx, collection, ids)
	if err != nil {
		s.t.Fatalf("load %d documents of %s: %v", len(ids), collection, err)
	}
	slices.SortFunc(documents, func(a, b readmodels.Document) int { return cmp.Compare(a.ID, b.ID) })
	return documents
}

// find gives the ids that a search finds, in order.
func (s *suite) find(collection string, find readmodels.Find) []string {
	s.t.Helper()
	documents, err := s.docs.Find(s.ctx, collection, find)
	if err != nil {
		s.t.Fatalf("find %+v in %s: %v", find, collection, err)
	}
	return idsOf(documents)
}

// group gives totals, sorted by their keys.
func (s *suite) group(collection string, grouping readmodels.Grouping) []readmodels.Total {
	s.t.Helper()
	totals, err := s.docs.Group(s.ctx, collection, grouping)
	if err != nil {
		s.t.Fatalf("group %+v of %s: %v", grouping, collection, err)
	}
	slices.SortFunc(totals, func(a, b readmodels.Total) int { return slices.Compare(a.By, b.By) })
	return totals
}

// same fails the test unless got is want.
func (s *suite) same(what string, got, want any) {
	s.t.Helper()
	if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		s.t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// unavailable fails the test unless err is a refusal after which certainly nothing was done.
func (s *suite) unavailable(what string, err error) {
	s.t.Helper()
	if domain.KindOf(err) != domain.KindUnavailable {
		s.t.Fatalf("%s: want an error of kind unavailable, have %v", what, err)
	}
}

func idsOf(documents []readmodels.Document) []string {
	ids := make([]string, len(documents))
	for i, document := range documents {
		ids[i] = document.ID
	}
	return ids
}

// doc is a document of one source stream that has taken version events.
func doc(id string, version int64, body string) readmodels.Document {
	return readmodels.Document{
		ID:      id,
		Version: version,
		Sources: map[string]int64{"order-" + id: version - 1},
		Body:    []byte(body),
	}
}

// put replaces a document at version ifVersion.
func put(ifVersion int64, document readmodels.Document) readmodels.Put {
	return readmodels.Put{Document: document, IfVersion: ifVersion}
}

// seeded is a source of random numbers whose seed is in the test's output.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func name(prefix string, n int) string { return fmt.Sprintf("%s%04d", prefix, n) }
