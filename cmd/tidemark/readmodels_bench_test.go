package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// One read model out of a million events, with a plain read of the same log in the same run:
//
//	go test ./cmd/tidemark -run - -bench 'Rebuild/(plain|order_details)' -benchtime 1x -bench-events 1000000 -timeout 30m
var historyEvents = flag.Int("bench-events", 20_000, "events in the log that BenchmarkRebuild reads")

func benchOrder(i int) (stream string, events []domain.Event) {
	return "order-" + idOf("order", i), []domain.Event{order.Created{CustomerID: fmt.Sprint("c", i%100), AccountID: idOf("account", i%50), Currency: "EUR",
		Items: []order.Line{{SKU: "A", Name: "Ax", Quantity: 2, UnitPrice: 150}, {SKU: "B", Name: "Bow", Quantity: 1, UnitPrice: 990}}},
		order.ItemAdded{Line: order.Line{SKU: "C", Name: "Cup", Quantity: 3, UnitPrice: 40}}, order.Confirmed{}, order.Prepared{}}
}

// orders appends orders of four events each, many at once so that syncs are shared.
func (w *readWorld) orders(count int) {
	w.t.Helper()
	var group sync.WaitGroup
	next := make(chan int)
	for range 64 {
		group.Go(func() {
			for i := range next {
				stream, events := benchOrder(i)
				proposed := make([]domain.Proposed, len(events))
				for k, e := range events {
					id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(stream, k))).String()
					proposed[k] = domain.Proposed{ID: id, Event: e, Meta: domain.Meta{At: w.at.Add(time.Duration(i) * time.Minute), Actor: "tester", CommandID: id, CorrelationID: "c", CausationID: id, BatchIndex: k, BatchSize: len(events)}}
				}
				if _, err := w.store.Append(w.t.Context(), stream, domain.Tip{Revision: domain.NoStream}, proposed); err != nil {
					w.t.Error(err)
				}
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	group.Wait()
	w.sent += 4 * count
}

// trade appends orders with all that belongs to them, so that every read model has something to do.
func (w *readWorld) trade(count int) {
	w.t.Helper()
	for i := range 50 {
		w.append(fmt.Sprint("product-SKU-", i), product.Listed{Name: "thing", UnitPrice: 5, Currency: "EUR"}, product.PriceChanged{UnitPrice: 6, Currency: "EUR"})
		w.append(fmt.Sprint("inventory-SKU-", i), inventory.Received{Quantity: 1000})
		w.append("account-"+idOf("account", i), account.Opened{CustomerID: fmt.Sprint("c", i), Currency: "EUR"}, account.Deposited{Amount: 1_000_000, Currency: "EUR"})
	}
	for i := range count {
		stream, events := benchOrder(i)
		id, sku, paying := domain.StreamID(stream), fmt.Sprint("SKU-", i%50), idOf("account", i%50)
		w.append(stream, append(events, order.Shipped{Carrier: "DHL", TrackingNumber: "1"})...)
		w.append("inventory-"+sku, inventory.Reserved{OrderID: id, Quantity: 1}, inventory.Shipped{OrderID: id, Quantity: 1})
		w.append("account-"+paying, account.Withdrawn{Amount: 5, Currency: "EUR", OrderID: id})
		w.append("fulfilment-"+id, fulfilment.Started{CustomerID: "c0", AccountID: paying, Currency: "EUR", Total: 5, Lines: []fulfilment.Line{{SKU: sku, Quantity: 1}},
			Steps: []fulfilment.Planned{{Step: fulfilment.StepReserve, SKU: sku}, {Step: fulfilment.StepPay}, {Step: fulfilment.StepPrepare}}},
			fulfilment.LineReserved{SKU: sku, Quantity: 1}, fulfilment.PaymentTaken{AccountID: paying, Amount: 5, Currency: "EUR"}, fulfilment.Prepared{}, fulfilment.Completed{})
	}
}

// BenchmarkProject measures applying deliveries in batches of 100, read model by read model, and all
// at once over one document store, as a worker does.
func BenchmarkProject(b *testing.B) {
	w := newReadWorld(b)
	w.trade(800)
	deliveries := w.everything()
	for _, m := range readmodels.All() {
		b.Run(m.Name, func(b *testing.B) { w.benchProject(b, deliveries, m) })
	}
	b.Run("all", func(b *testing.B) { w.benchProject(b, deliveries, readmodels.All()...) })
}

// benchProject gives each of the models its part of the deliveries: events/s are those of the log, and
// applied/s counts an event once for each model that takes it.
func (w *readWorld) benchProject(b *testing.B, deliveries []domain.Delivery, models ...*readmodels.Model) {
	fed, applied := map[uint64]bool{}, 0
	shares := make([][]domain.Delivery, len(models))
	for i, m := range models {
		for _, d := range deliveries {
			if m.Feeds(d.Stream) {
				shares[i] = append(shares[i], d)
				fed[d.Position] = true
			}
		}
		applied += len(shares[i])
	}
	rounds := 0
	for b.Loop() {
		b.StopTimer()
		e := w.side(w.documents(), func(o *readmodels.Options) { o.Models = models })
		if err := e.Prepare(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		var group sync.WaitGroup
		for i, m := range models {
			group.Go(func() {
				projector := e.Projector(m.Name)
				for at := 0; at < len(shares[i]); at += 100 {
					for _, err := range projector.Handle(b.Context(), shares[i][at:min(at+100, len(shares[i]))]) {
						if err != nil {
							b.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		rounds++
	}
	b.ReportMetric(float64(rounds*len(fed))/b.Elapsed().Seconds(), "events/s")
	if len(models) > 1 {
		b.ReportMetric(float64(rounds*applied)/b.Elapsed().Seconds(), "applied/s")
	}
}

// BenchmarkRebuild measures rebuilds, and in the same run a plain read of the same log.
func BenchmarkRebuild(b *testing.B) {
	w := newReadWorld(b)
	w.orders(*historyEvents / 4)
	b.Run("plain read", func(b *testing.B) {
		rounds := 0
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
			rounds++
		}
		b.ReportMetric(float64(w.sent*rounds)/b.Elapsed().Seconds(), "events/s")
	})
	for _, m := range readmodels.All() {
		if m.Feeds("order-1") {
			b.Run(m.Name, func(b *testing.B) { w.benchRebuild(b, m) })
		}
	}
}

// benchRebuild lets a read model take the log, and rebuilds it. Events/s are those of building the new
// generation; the time of an operation includes its comparison with the live one.
func (w *readWorld) benchRebuild(b *testing.B, m *readmodels.Model) {
	e := w.side(w.documents(), func(o *readmodels.Options) { o.Models = []*readmodels.Model{m} })
	stop := w.follow(b, e)
	defer stop()
	millis, events := int64(0), int64(0)
	for b.Loop() {
		job, err := e.Operations().Rebuild(b.Context(), m.Name, "bench", false)
		var rebuilt readmodels.Rebuilt
		if err := json.Unmarshal(await(b, e, job, err).Result, &rebuilt); err != nil || rebuilt.Differing != 0 || rebuilt.Events < int64(w.sent) {
			b.Fatalf("%+v %v", rebuilt, err)
		}
		millis += rebuilt.Millis
		events += rebuilt.Events
	}
	b.ReportMetric(float64(events)/(float64(millis)/1000), "events/s")
}
