package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// FerretDB's known gaps: it can't be watched, so that promise is skipped there; what else it lacks
// ferret.go makes up for.
func TestContractOverTheWire(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents { return open(t, ferretURI(t), Options{}) })
}

// TestContractOnMongoDB needs a server: TIDEMARK_TEST_MONGODB=mongodb://127.0.0.1:27017/?directConnection=true.
func TestContractOnMongoDB(t *testing.T) {
	uri := os.Getenv("TIDEMARK_TEST_MONGODB")
	if uri == "" {
		t.Skip("TIDEMARK_TEST_MONGODB is not set")
	}
	for name, options := range map[string]Options{"primary": {}, "secondaries": {SecondaryReads: true}, "small batches": {Batch: 7}} {
		t.Run(name, func(t *testing.T) {
			documentstest.Run(t, func(t *testing.T) readmodels.Documents { return open(t, uri, options) })
		})
	}
}

// A batch is sent in commands of the size that was chosen, which FerretDB needs to be small.
func TestBatchSize(t *testing.T) {
	var mu sync.Mutex
	sizes := map[string]int{}
	store := open(t, ferretURI(t), Options{Batch: 5, Started: func(_ context.Context, c Command) {
		mu.Lock()
		defer mu.Unlock()
		sizes[c.Name+" "+c.Collection]++
	}})
	if chosen := open(t, ferretURI(t), Options{}).options.Batch; chosen != ferretBatch {
		t.Errorf("at FerretDB %d documents go into a command", chosen)
	}
	ctx := t.Context()
	if err := store.Ensure(ctx, readmodels.Collection{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	var puts []readmodels.Put
	for i := range 12 {
		puts = append(puts, readmodels.Put{Document: document(fmt.Sprint(i), 1)})
	}
	if _, err := store.Write(ctx, "orders", puts); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if sizes["insert orders"] != 3 {
		t.Errorf("commands: %v, want 3 inserts", sizes)
	}
}

// Every command is reported with how it ended, and nothing of what is in it.
func TestCommandsAreReported(t *testing.T) {
	var mu sync.Mutex
	var started, finished []Command
	store := open(t, ferretURI(t), Options{
		Started:  func(_ context.Context, c Command) { mu.Lock(); started = append(started, c); mu.Unlock() },
		Finished: func(_ context.Context, c Command) { mu.Lock(); finished = append(finished, c); mu.Unlock() },
	})
	if _, err := store.Load(t.Context(), "orders", []string{"a"}); err != nil {
		t.Fatal(err)
	}
	_ = store.db.RunCommand(t.Context(), bson.D{{Key: "nonsense", Value: "orders"}}).Err()
	mu.Lock()
	defer mu.Unlock()
	if len(started) != len(finished) || len(started) < 2 {
		t.Fatalf("%d commands began, %d ended", len(started), len(finished))
	}
	find, nonsense := finished[len(finished)-2], finished[len(finished)-1]
	if find.Name != "find" || find.Collection != "orders" || find.Took <= 0 || find.Failure != nil || find.Request != started[len(started)-2].Request {
		t.Errorf("find was reported as %+v", find)
	}
	if nonsense.Name != "nonsense" || nonsense.Failure == nil {
		t.Errorf("an unknown command was reported as %+v", nonsense)
	}
}

// An index that somebody made differently is named, not replaced and not passed over.
func TestIndexConflicts(t *testing.T) {
	collection := readmodels.Collection{Name: "orders", Indexes: [][]string{{"customerId", "createdAt"}, {}}}
	conflicts := map[string]mongo.IndexModel{
		"other keys": {Keys: bson.D{{Key: "body.status", Value: 1}}, Options: options.Index().SetName("by:customerId:createdAt")},
		"unique":     {Keys: indexKeys(collection.Indexes[0]), Options: options.Index().SetName("by:customerId:createdAt").SetUnique(true)},
	}
	for name, conflict := range conflicts {
		t.Run(name, func(t *testing.T) {
			store := open(t, ferretURI(t), Options{})
			if _, err := store.db.Collection("orders").Indexes().CreateOne(t.Context(), conflict); err != nil {
				t.Fatal(err)
			}
			err := store.Ensure(t.Context(), collection)
			if wrong, ok := errors.AsType[*IndexConflictError](err); !ok || wrong.Collection != "orders" || wrong.Index != "by:customerId:createdAt" {
				t.Fatalf("want an index conflict, have %v", err)
			}
		})
	}
	store := open(t, ferretURI(t), Options{})
	for range 2 {
		if err := store.Ensure(t.Context(), collection); err != nil {
			t.Fatal(err)
		}
	}
	there, err := store.indexes(t.Context(), "orders")
	if err != nil || len(there) != 3 {
		t.Fatalf("indexes: %v, %v", there, err)
	}
}

func TestOpenWithoutServer(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, "mongodb://127.0.0.1:1/tidemark", Options{}); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("want unavailable, have %v", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := Open(ctx, "nonsense", Options{}); err == nil || domain.KindOf(err) == domain.KindUnavailable {
		t.Errorf("a bad URI: %v", err)
	}
}

func TestClosed(t *testing.T) {
	store, err := Open(t.Context(), ferretURI(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, loadErr := store.Load(t.Context(), "orders", []string{"a"})
	_, writeErr := store.Write(t.Context(), "orders", []readmodels.Put{{Document: document("a", 1)}})
	for name, err := range map[string]error{"load": loadErr, "write": writeErr, "ping": store.Ping(t.Context())} {
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("%s: want unavailable, have %v", name, err)
		}
	}
}

func BenchmarkWriteOverTheWire(b *testing.B) {
	store := open(b, ferretURI(b), Options{})
	benchmarkWrite(b, store, 50)
}

func BenchmarkMongoDB(b *testing.B) {
	uri := os.Getenv("TIDEMARK_TEST_MONGODB")
	if uri == "" {
		b.Skip("TIDEMARK_TEST_MONGODB is not set")
	}
	store := open(b, uri, Options{})
	b.Run("write", func(b *testing.B) { benchmarkWrite(b, store, 100) })
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := store.Load(b.Context(), "orders", []string{"0"}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func benchmarkWrite(b *testing.B, store *Store, size int) {
	if err := store.Ensure(b.Context(), readmodels.Collection{Name: "orders", Indexes: [][]string{{"customerId", "createdAt"}}}); err != nil {
		b.Fatal(err)
	}
	n := 0
	for b.Loop() {
		puts := make([]readmodels.Put, size)
		for i := range puts {
			puts[i].Document = document(fmt.Sprint(n), 1)
			puts[i].Document.Body = []byte(benchmarkedBody(n))
			n++
		}
		if _, err := store.Write(b.Context(), "orders", puts); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
}
