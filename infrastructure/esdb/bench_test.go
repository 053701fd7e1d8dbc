package esdb

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// bench gives a Store on an embedded node that is as durable as in production.
func bench(b *testing.B) *Store {
	b.Helper()
	log, err := eventlog.Open(filepath.Join(b.TempDir(), "log.db"), eventlog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	running, err := esnode.New(log, esnode.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := running.Start("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	store, err := Open("esdb://"+running.Addr().String()+"?tls=false", Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = store.Close(context.Background())
		_ = running.Stop(context.Background())
		_ = log.Close()
	})
	if err := store.Ping(b.Context()); err != nil {
		b.Fatal(err)
	}
	return store
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 32} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			store := bench(b)
			var streams atomic.Int64
			b.SetParallelism(writers)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := store.Append(b.Context(), fmt.Sprintf("order-%d", streams.Add(1)), newStream, claims(1)); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

func BenchmarkReadStream(b *testing.B) {
	store := bench(b)
	if _, err := store.Append(b.Context(), "order-1", newStream, claims(20)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, err := range store.ReadStream(b.Context(), "order-1", 0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkConsume(b *testing.B) {
	store := bench(b)
	for written := 0; written < b.N; written += 100 {
		if _, err := store.Append(b.Context(), fmt.Sprintf("order-%d", written), newStream, claims(100)); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	ctx, enough := context.WithCancel(b.Context())
	defer enough()
	seen := 0
	_ = store.Consume(ctx, domain.Group{Name: "g", Prefixes: []string{"order-"}}, application.Batching{}, func(_ context.Context, batch []domain.Delivery) []error {
		if seen += len(batch); seen >= b.N {
			enough()
		}
		return make([]error, len(batch))
	})
}

// filled gives a Store whose log holds streams of a thousand events, more than the node keeps in memory.
func filled(b *testing.B, events int) *Store {
	b.Helper()
	store := bench(b)
	for i := range events / 1000 {
		at := newStream
		for range 10 {
			done, err := store.Append(b.Context(), fmt.Sprintf("order-%d", i), at, claims(100))
			if err != nil {
				b.Fatal(err)
			}
			at = domain.Tip{Revision: done.Revision, Hash: done.Hash}
		}
	}
	return store
}

func BenchmarkReadAllRaw(b *testing.B) {
	const events = 20_000
	store := filled(b, events)
	for b.Loop() {
		got := 0
		for _, err := range store.ReadAllRaw(b.Context(), domain.From{}, []string{"order-"}) {
			if err != nil {
				b.Fatal(err)
			}
			got++
		}
		if got != events {
			b.Fatalf("%d events", got)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkReadLongStream(b *testing.B) {
	store := filled(b, 20_000)
	for b.Loop() {
		for _, err := range store.ReadStreamRaw(b.Context(), "order-0", 0) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkTail(b *testing.B) {
	const events = 20_000
	store := filled(b, events)
	for b.Loop() {
		got := 0
		atEnd := errors.New("at the end")
		err := store.Tail(b.Context(), domain.From{}, []string{"order-"}, func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
			if got += len(batch); live {
				return atEnd
			}
			return nil
		})
		if !errors.Is(err, atEnd) || got != events {
			b.Fatalf("%d events, %v", got, err)
		}
	}
	b.ReportMetric(float64(b.N)*events/b.Elapsed().Seconds(), "events/s")
}
