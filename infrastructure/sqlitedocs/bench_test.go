package sqlitedocs

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// benchmarked is a collection like that of the order screens: 300-byte bodies, two indexes.
var benchmarked = readmodels.Collection{Name: "orders", Indexes: [][]string{{"customerId", "createdAt"}, {"status", "createdAt"}}}

func benchmarkedDocument(i int, version int64) readmodels.Document {
	id := fmt.Sprintf("0199b6c2-6f4e-7000-8000-%012d", i)
	return readmodels.Document{
		ID: id, Version: version, Sources: map[string]int64{"order-" + id: version - 1},
		Body: fmt.Appendf(nil, `{"id":%q,"customerId":"customer-%d","status":"%s","createdAt":"2026-11-22T10:%02d:%02d.000000Z","currency":"EUR",`+
			`"items":[{"sku":"TEA-1","name":"Green tea","quantity":2,"unitPrice":450,"lineTotal":900},{"sku":"CUP-7","name":"Cup","quantity":1,"unitPrice":1250,"lineTotal":1250}],"total":2150}`,
			id, i%5000, []string{"open", "confirmed", "shipped"}[(int64(i)+version)%3], i/60%60, i%60),
	}
}

func batch(from, size int, version int64) []readmodels.Put {
	puts := make([]readmodels.Put, size)
	for i := range puts {
		puts[i] = readmodels.Put{Document: benchmarkedDocument(from+i, version), IfVersion: version - 1}
	}
	return puts
}

func benchStore(b *testing.B, documents int) *Store {
	b.Helper()
	store := open(b, filepath.Join(b.TempDir(), "documents.db"), Options{})
	if err := store.Ensure(b.Context(), benchmarked); err != nil {
		b.Fatal(err)
	}
	fill(b, store, documents)
	return store
}

func fill(b testing.TB, store *Store, documents int) {
	b.Helper()
	const size = 2000
	for from := 0; from < documents; from += size {
		if _, err := store.Write(b.Context(), benchmarked.Name, batch(from, min(size, documents-from), 1)); err != nil {
			b.Fatal(err)
		}
	}
}

func perSecond(b *testing.B, count int, unit string) {
	b.ReportMetric(float64(count)/b.Elapsed().Seconds(), unit+"/s")
}

// BenchmarkWrite writes batches of 100 new or replaced documents, by one caller or eight.
func BenchmarkWrite(b *testing.B) {
	const size = 100
	b.Run("replace/one index/callers=1", func(b *testing.B) {
		const batches = 500
		store := open(b, filepath.Join(b.TempDir(), "documents.db"), Options{})
		if err := store.Ensure(b.Context(), readmodels.Collection{Name: benchmarked.Name, Indexes: [][]string{{"status"}}}); err != nil {
			b.Fatal(err)
		}
		fill(b, store, batches*size)
		b.ResetTimer()
		writeBatches(b, store, 1, func(n int) []readmodels.Put { return batch(n%batches*size, size, int64(2+n/batches)) })
		perSecond(b, b.N*size, "documents")
	})
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprintf("insert/callers=%d", callers), func(b *testing.B) {
			store := benchStore(b, 0)
			writeBatches(b, store, callers, func(n int) []readmodels.Put { return batch(n*size, size, 1) })
			perSecond(b, b.N*size, "documents")
		})
		b.Run(fmt.Sprintf("replace/callers=%d", callers), func(b *testing.B) {
			const batches = 500
			store := benchStore(b, batches*size)
			b.ResetTimer()
			writeBatches(b, store, callers, func(n int) []readmodels.Put {
				return batch(n%batches*size, size, int64(2+n/batches))
			})
			perSecond(b, b.N*size, "documents")
		})
	}
	b.Run("single/callers=1", func(b *testing.B) {
		store := benchStore(b, 0)
		writeBatches(b, store, 1, func(n int) []readmodels.Put { return batch(n, 1, 1) })
		perSecond(b, b.N, "documents")
	})
}

func writeBatches(b *testing.B, store *Store, callers int, next func(n int) []readmodels.Put) {
	var n atomic.Int64
	b.SetParallelism(callers) // times GOMAXPROCS
	if callers == 1 {
		for i := range b.N {
			b.StopTimer()
			puts := next(i)
			b.StartTimer()
			if _, err := store.Write(b.Context(), benchmarked.Name, puts); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := store.Write(context.Background(), benchmarked.Name, next(int(n.Add(1)-1))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	const documents = 100_000
	store := benchStore(b, documents)
	b.Run("one", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n++
			loadOne(b, store, n*7919%documents)
		}
		perSecond(b, b.N, "documents")
	})
	b.Run("one, parallel", func(b *testing.B) {
		var n atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				loadOne(b, store, int(n.Add(7919)%documents))
			}
		})
		perSecond(b, b.N, "documents")
	})
	b.Run("hundred", func(b *testing.B) {
		ids := make([]string, 100)
		n := 0
		for b.Loop() {
			for i := range ids {
				n++
				ids[i] = benchmarkedDocument(n*7919%documents, 1).ID
			}
			if found, err := store.Load(b.Context(), benchmarked.Name, ids); err != nil || len(found) != len(ids) {
				b.Fatalf("%d documents, %v", len(found), err)
			}
		}
		perSecond(b, b.N*len(ids), "documents")
	})
}

func loadOne(b *testing.B, store *Store, n int) {
	found, err := store.Load(context.Background(), benchmarked.Name, []string{fmt.Sprintf("0199b6c2-6f4e-7000-8000-%012d", n)})
	if err != nil || len(found) != 1 {
		b.Errorf("%d documents, %v", len(found), err)
	}
}

func BenchmarkFind(b *testing.B) {
	const documents = 100_000
	store := benchStore(b, documents)
	finds := map[string]readmodels.Find{
		"page of 20 of a customer": {
			Where: []readmodels.Condition{{Path: "customerId", Value: "customer-17"}},
			Sort:  []readmodels.Sort{{Path: "createdAt", Desc: true}}, Limit: 20,
		},
		"page of 20 in the middle of a status": {
			Where: []readmodels.Condition{{Path: "status", Value: "open"}},
			Sort:  []readmodels.Sort{{Path: "createdAt"}}, Limit: 20,
			After: []any{"2026-11-22T10:30:30.000000Z", "0199b6c2-6f4e-7000-8000-000000050000"},
		},
	}
	for name, find := range finds {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if found, err := store.Find(b.Context(), benchmarked.Name, find); err != nil || len(found) != 20 {
					b.Fatalf("%d documents, %v", len(found), err)
				}
			}
		})
	}
	b.Run("count by status", func(b *testing.B) {
		for b.Loop() {
			if totals, err := store.Group(b.Context(), benchmarked.Name, readmodels.Grouping{By: []string{"status"}}); err != nil || len(totals) != 3 {
				b.Fatalf("%v, %v", totals, err)
			}
		}
	})
}

// BenchmarkOpen opens a file of a million documents.
func BenchmarkOpen(b *testing.B) {
	if testing.Short() {
		b.Skip("fills a large file")
	}
	path := filepath.Join(b.TempDir(), "documents.db")
	store, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := store.Ensure(b.Context(), benchmarked); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	fill(b, store, 1_000_000)
	b.Logf("1,000,000 documents written in %v", time.Since(start))
	if err := store.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		store, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := store.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
