package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/application/storetest"
)

// BenchmarkHotSKU has 64 buyers reserve pieces of the same SKU, each for one order after the other.
// reservations/s is over all of them; slowest-ms and fewest tell whether anybody starves.
func BenchmarkHotSKU(b *testing.B) {
	for _, replicas := range []int{1, 2} {
		b.Run(fmt.Sprintf("buyers=64/replicas=%d", replicas), func(b *testing.B) { benchmarkHotSKU(b, replicas) })
	}
}

func benchmarkHotSKU(b *testing.B, replicas int) {
	const buyers = 64
	node := startCommandNode(b)
	services := make([]*application.Service, replicas)
	for i := range services {
		services[i] = replica(b, node.connect(b), application.Options{Attempts: 64})
	}
	for range max(1, b.N/1_000_000+1) {
		if _, err := services[0].ReceiveStock(b.Context(), application.Command{}, "HOT", 1_000_000, ""); err != nil {
			b.Fatal(err)
		}
	}
	var left, slowest atomic.Int64
	left.Store(int64(b.N))
	done := make([]int64, buyers)
	var all sync.WaitGroup
	b.ResetTimer()
	for buyer := range buyers {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				began := time.Now()
				if _, err := services[buyer%replicas].ReserveStock(context.Background(), application.Command{}, "HOT", uuid.NewString(), 1); err != nil {
					b.Error(err)
					return
				}
				done[buyer]++
				for took := int64(time.Since(began)); ; {
					if most := slowest.Load(); took <= most || slowest.CompareAndSwap(most, took) {
						break
					}
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	fewest := done[0]
	for _, n := range done {
		fewest = min(fewest, n)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "reservations/s")
	b.ReportMetric(float64(slowest.Load())/1e6, "slowest-ms")
	b.ReportMetric(float64(fewest)*buyers/float64(b.N), "fewest/fair")
}

// BenchmarkFulfilment is confirmed orders taken to prepared by one and by three workers, over many SKUs
// and over a single one.
func BenchmarkFulfilment(b *testing.B) {
	for _, workers := range []int{1, 3} {
		for _, skus := range []int{1, 100} {
			b.Run(fmt.Sprintf("workers=%d/skus=%d", workers, skus), func(b *testing.B) { benchmarkFulfilment(b, workers, skus) })
		}
	}
}

func benchmarkFulfilment(b *testing.B, workers, skus int) {
	w := newWarehouse(b, 1)
	for i := range skus {
		w.receive(fmt.Sprint("SKU-", i), 1_000_000)
	}
	var ids []string
	for i := range b.N {
		ids = append(ids, w.confirmed(w.account("c-1", 100), line(fmt.Sprint("SKU-", i%skus), 1, 100)))
	}
	b.ResetTimer()
	for range workers {
		w.worker(storetest.Faults{})
	}
	w.settle(5*time.Minute, ids)
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
