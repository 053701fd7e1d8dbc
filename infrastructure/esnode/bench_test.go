package esnode

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// bench is a node for benchmarks, as durable as in production.
func bench(b *testing.B) (*esdb.Client, *Node) {
	b.Helper()
	log, err := eventlog.Open(filepath.Join(b.TempDir(), "events.db"), eventlog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	node, err := New(log, Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		b.Fatal(err)
	}
	if err := node.Start("127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	client := dial(b, "esdb://"+node.Addr().String()+"?tls=false")
	b.Cleanup(func() {
		client.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			b.Error(err)
		}
		if err := log.Close(); err != nil {
			b.Error(err)
		}
	})
	return client, node
}

// payload is an order event of some 300 bytes.
var payload = []byte(fmt.Sprintf(`{"sku":"DESK-WALNUT-160","quantity":2,"note":%q}`, string(make([]byte, 60))))

func seed(b *testing.B, node *Node, stream func(i int) string, n int) {
	b.Helper()
	for done := 0; done < n; {
		var batch []eventlog.Proposed
		for range min(200, n-done) {
			batch = append(batch, eventlog.Proposed{ID: event("x").EventID, Type: "ItemAdded", JSON: true, Data: payload, Metadata: []byte(`{"actor":"bench"}`)})
		}
		if _, err := node.store.Append(context.Background(), stream(done/200), eventlog.Any, batch); err != nil {
			b.Fatal(err)
		}
		done += len(batch)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			client, _ := bench(b)
			var left atomic.Int64
			left.Store(int64(b.N))
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						e := event("ItemAdded", func(e *esdb.EventData) { e.Data = payload })
						if _, err := client.AppendToStream(context.Background(), fmt.Sprintf("order-%d", w), esdb.AppendToStreamOptions{}, e); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

func BenchmarkReadStream(b *testing.B) {
	client, node := bench(b)
	seed(b, node, func(int) string { return "order-1" }, 1000)
	b.ResetTimer()
	for range b.N {
		s, err := client.ReadStream(context.Background(), "order-1", esdb.ReadStreamOptions{}, 1000)
		if err != nil {
			b.Fatal(err)
		}
		if all, err := collect(s); err != nil || len(all) != 1000 {
			b.Fatalf("%d events, %v", len(all), err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkSubscribeToAllFiltered(b *testing.B) {
	client, node := bench(b)
	kinds := []string{"order", "product", "inventory", "account", "fulfilment"}
	const total = 50_000
	seed(b, node, func(i int) string { return fmt.Sprintf("%s-%d", kinds[i%5], i) }, total)
	for _, window := range []int{32, 1024} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			for range b.N {
				sub, err := client.SubscribeToAll(context.Background(), esdb.SubscribeToAllOptions{From: esdb.Start{}, MaxSearchWindow: window,
					Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"order-"}}})
				if err != nil {
					b.Fatal(err)
				}
				got := 0
				for {
					e := sub.Recv()
					if e.SubscriptionDropped != nil {
						b.Fatal(e.SubscriptionDropped.Error)
					}
					if e.EventAppeared != nil {
						got++
					}
					if e.CaughtUp != nil {
						break
					}
				}
				sub.Close()
				if got != total/5 {
					b.Fatalf("%d events, want %d", got, total/5)
				}
			}
			b.ReportMetric(float64(b.N)*total/b.Elapsed().Seconds(), "examined/s")
		})
	}
}

func BenchmarkLiveFanOut(b *testing.B) {
	for _, readers := range []int{1, 8, 32} {
		b.Run(fmt.Sprintf("subscriptions=%d", readers), func(b *testing.B) {
			client, node := bench(b)
			var all sync.WaitGroup
			var ready sync.WaitGroup
			ready.Add(readers)
			for range readers {
				sub, err := client.SubscribeToAll(context.Background(), esdb.SubscribeToAllOptions{From: esdb.End{}})
				if err != nil {
					b.Fatal(err)
				}
				all.Go(func() {
					defer sub.Close()
					ready.Done()
					for got := 0; got < b.N; {
						e := sub.Recv()
						if e.SubscriptionDropped != nil {
							b.Error(e.SubscriptionDropped.Error)
							return
						}
						if e.EventAppeared != nil {
							got++
						}
					}
				})
			}
			ready.Wait()
			b.ResetTimer()
			seed(b, node, func(int) string { return "order-1" }, b.N)
			all.Wait()
			b.ReportMetric(float64(b.N*readers)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

func BenchmarkPersistentAcked(b *testing.B) {
	for _, groups := range []int{1, 10} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			client, node := bench(b)
			var all sync.WaitGroup
			start := make(chan struct{})
			for g := range groups {
				prefix := fmt.Sprintf("kind%d-", g)
				seed(b, node, func(i int) string { return fmt.Sprintf("%s%d", prefix, i) }, b.N)
				name := fmt.Sprintf("g%d", g)
				settings := esdb.SubscriptionSettingsDefault()
				if err := client.CreatePersistentSubscriptionToAll(context.Background(), name, esdb.PersistentAllSubscriptionOptions{
					StartFrom: esdb.Start{}, Settings: &settings, Filter: &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{prefix}}}); err != nil {
					b.Fatal(err)
				}
				sub, err := client.SubscribeToPersistentSubscriptionToAll(context.Background(), name, esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 512})
				if err != nil {
					b.Fatal(err)
				}
				all.Go(func() {
					defer sub.Close()
					<-start
					for range b.N {
						e := sub.Recv()
						if e.SubscriptionDropped != nil {
							b.Error(e.SubscriptionDropped.Error)
							return
						}
						if err := sub.Ack(e.EventAppeared.Event); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			b.ResetTimer()
			close(start)
			all.Wait()
			b.ReportMetric(float64(b.N*groups)/b.Elapsed().Seconds(), "acked/s")
		})
	}
}
