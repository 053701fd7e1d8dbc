package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// orders appends orders of four events each.
func (w *readWorld) orders(count int) {
	for i := range count {
		w.append("order-"+idOf("order", i), order.Created{CustomerID: fmt.Sprint("c", i%100), AccountID: idOf("account", 0), Currency: "EUR",
			Items: []order.Line{{SKU: "A", Name: "Ax", Quantity: 2, UnitPrice: 150}, {SKU: "B", Name: "Bow", Quantity: 1, UnitPrice: 990}}},
			order.ItemAdded{Line: order.Line{SKU: "C", Name: "Cup", Quantity: 3, UnitPrice: 40}}, order.Confirmed{}, order.Prepared{})
	}
}

// BenchmarkProject measures applying deliveries in batches of 100, read model by read model.
func BenchmarkProject(b *testing.B) {
	w := newReadWorld(b)
	w.orders(2500)
	deliveries := w.everything()
	for _, m := range readmodels.All() {
		if !m.Feeds("order-" + idOf("order", 0)) {
			continue
		}
		b.Run(m.Name, func(b *testing.B) {
			events := 0
			for b.Loop() {
				b.StopTimer()
				e := w.side(w.documents())
				if err := e.Prepare(b.Context()); err != nil {
					b.Fatal(err)
				}
				projector := e.Projector(m.Name)
				b.StartTimer()
				for at := 0; at < len(deliveries); at += 100 {
					for _, err := range projector.Handle(b.Context(), deliveries[at:min(at+100, len(deliveries))]) {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
				events += len(deliveries)
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkRebuild measures a rebuild, and in the same run a plain read of the same log.
func BenchmarkRebuild(b *testing.B) {
	w := newReadWorld(b)
	w.orders(5000)
	e := w.side(w.documents())
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	e.Start(ctx)
	defer e.Stop()
	caughtUp := make(chan struct{})
	began := time.Now()
	go func() { _ = e.Follow(ctx, true, func() { close(caughtUp) }) }()
	<-caughtUp
	b.Logf("all read models took %d events of history in %s", w.sent, time.Since(began))
	b.Run("plain read", func(b *testing.B) {
		for b.Loop() {
			stop := errors.New("read")
			err := w.store.Tail(b.Context(), domain.From{}, []string{"order-"}, func(_ context.Context, _ []domain.Delivery, _ uint64, live bool) error {
				if live {
					return stop
				}
				return nil
			})
			if !errors.Is(err, stop) {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(w.sent*b.N)/b.Elapsed().Seconds(), "events/s")
	})
	for _, name := range []string{"order_details", "customer_orders", "sales_by_day", "audit_log"} {
		b.Run(name, func(b *testing.B) {
			var millis int64
			for b.Loop() {
				job, err := e.Operations().Rebuild(b.Context(), name, "bench", false)
				var rebuilt readmodels.Rebuilt
				if err := json.Unmarshal(await(b, e, job, err).Result, &rebuilt); err != nil || rebuilt.Differing != 0 {
					b.Fatalf("%+v %v", rebuilt, err)
				}
				millis += rebuilt.Millis
			}
			b.ReportMetric(float64(w.sent*b.N)/(float64(millis)/1000), "events/s")
		})
	}
}
