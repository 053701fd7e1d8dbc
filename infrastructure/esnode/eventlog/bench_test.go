package eventlog

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

var benchEvents = flag.Int("events", 100_000, "how many events BenchmarkOpen opens")

// The events of the benchmarks are as large as those of the service: 300 bytes of data, 41 of metadata.
var (
	benchData     = []byte(fmt.Sprintf(`{"text":"%0288d"}`, 7))
	benchMetadata = []byte(`{"$correlationId":"0123456789abcdef0123"}`)
)

func benchID(n uint64) (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(id[8:], n+1)
	return id
}

func benchOpen(b *testing.B, options Options) *Log {
	b.Helper()
	log, err := Open(filepath.Join(b.TempDir(), "events.db"), options)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	return log
}

// BenchmarkAppend measures durable appends of one event by concurrent writers, each to streams of its own.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 64, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) { benchAppend(b, writers, Options{}) })
	}
	b.Run("projections/writers=64", func(b *testing.B) {
		benchAppend(b, 64, Options{Projections: []string{ByCategory, ByEventType}})
	})
}

func benchAppend(b *testing.B, writers int, options Options) {
	log := benchOpen(b, options)
	ctx := context.Background()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		group.Go(func() {
			for i := int64(0); ; i++ {
				n := next.Add(1)
				if n > int64(b.N) {
					return
				}
				stream := fmt.Sprintf("order-%d-%d", w, i/10)
				_, err := log.Append(ctx, stream, i%10-1, []Proposed{{ID: benchID(uint64(n)), Type: "OrderPlaced", JSON: true, Data: benchData, Metadata: benchMetadata}})
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	stats := log.Stats()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(float64(stats.Appends)/float64(stats.Commits), "appends/commit")
}

// BenchmarkBaseline is what the disk and SQLite allow: the same rows in transactions of n, without
// queue, decision, answer or caches.
func BenchmarkBaseline(b *testing.B) {
	for _, n := range []int{1, 8, 32, 64, 128} {
		b.Run(fmt.Sprintf("rows=%d", n), func(b *testing.B) {
			db, err := sqlite.Open(filepath.Join(b.TempDir(), "events.db"), sqlite.Options{Migrations: migrations})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			r := rows{conn: db.Writer()}
			b.ResetTimer()
			for i := 0; i < b.N; {
				if err := r.conn.Run(`BEGIN IMMEDIATE`); err != nil {
					b.Fatal(err)
				}
				for range min(n, b.N-i) {
					i++
					id := benchID(uint64(i))
					if err := r.exec(sqlInsertEvent, int64(i), int64(i/10), int64(i%10), int64(1), id[:], "OrderPlaced", 1, int64(i), benchMetadata, benchData); err != nil {
						b.Fatal(err)
					}
				}
				if err := r.conn.Run(`COMMIT`); err != nil {
					b.Fatal(err)
				}
				if err := db.Checkpoint(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// benchFill writes n events: streams of 50, one in a hundred of them in the category "rare".
func benchFill(b testing.TB, log *Log, n int) {
	b.Helper()
	var group sync.WaitGroup
	const writers = 8
	for w := range writers {
		group.Go(func() {
			for i := w; i < n/50; i += writers {
				category := "order"
				if i%100 == 0 {
					category = "rare"
				}
				events := make([]Proposed, 50)
				for j := range events {
					events[j] = Proposed{ID: benchID(uint64(i*50 + j)), Type: "OrderPlaced", JSON: true, Data: benchData, Metadata: benchMetadata}
				}
				if _, err := log.Append(context.Background(), fmt.Sprintf("%s-%d", category, i), NoStream, events); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func BenchmarkReadStream(b *testing.B) {
	log := benchOpen(b, Options{Relaxed: true, TailEvents: 1})
	benchFill(b, log, 100_000)
	ctx := context.Background()
	for _, readers := range []int{1, 4} {
		b.Run(fmt.Sprintf("file/readers=%d", readers), func(b *testing.B) {
			var next atomic.Int64
			var group sync.WaitGroup
			for range readers {
				group.Go(func() {
					for {
						n := next.Add(1)
						if n > int64(b.N) {
							return
						}
						i := n * 7919 % 2000
						if i%100 == 0 {
							i++
						}
						page, err := log.ReadStream(ctx, StreamQuery{Stream: fmt.Sprintf("order-%d", i), Limit: 100})
						if err != nil || len(page.Events) != 50 {
							b.Errorf("%d events, %v", len(page.Events), err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(50*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func BenchmarkReadAll(b *testing.B) {
	log := benchOpen(b, Options{Relaxed: true, TailEvents: 1})
	const size = 200_000
	benchFill(b, log, size)
	for _, scan := range []struct {
		name   string
		filter Filter
		want   int
	}{
		{"all", nil, size},
		{"filtered", prefixes{list: []string{"rare-"}}, size / 100},
		{"indexed/rare", prefixes{list: []string{"rare-"}, indexed: true}, size / 100},
		{"indexed/order", prefixes{list: []string{"order-"}, indexed: true}, size - size/100},
		{"indexed/both", prefixes{list: []string{"order-", "rare-"}, indexed: true}, size},
	} {
		b.Run(scan.name, func(b *testing.B) {
			for range b.N {
				n := 0
				q := AllQuery{Filter: scan.filter, Limit: 1000, Window: 1000}
				for end := false; !end; {
					page, err := log.ReadAll(context.Background(), q)
					if err != nil {
						b.Fatal(err)
					}
					n += len(page.Events)
					q.From, end = page.Next, page.End
				}
				if n != scan.want {
					b.Fatalf("%d events; want %d", n, scan.want)
				}
			}
			b.ReportMetric(float64(size)*float64(b.N)/b.Elapsed().Seconds(), "passed/s")
		})
	}
}

// BenchmarkTail measures a page near the head, which needs no file.
func BenchmarkTail(b *testing.B) {
	log := benchOpen(b, Options{Relaxed: true})
	benchFill(b, log, 5000)
	from := log.Head() - 31
	for range b.N {
		page, err := log.ReadAll(context.Background(), AllQuery{From: from, Window: 32, Limit: 32})
		if err != nil || len(page.Events) != 32 {
			b.Fatal(len(page.Events), err)
		}
	}
}

// BenchmarkOpen opens and closes a log of -events events; the time must not depend on their number.
func BenchmarkOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "events.db")
	for i := range b.N + 1 {
		log, err := Open(path, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if i == 0 {
			benchFill(b, log, *benchEvents)
			b.ResetTimer()
		}
		if err := log.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
