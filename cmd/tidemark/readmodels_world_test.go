package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlitedocs"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// readWorld is a real log behind the official client, and as many document stores as a test wants.
type readWorld struct {
	t     testing.TB
	store *esdb.Store
	tips  map[string]domain.Tip
	at    time.Time
	sent  int
}

func newReadWorld(t testing.TB) *readWorld {
	t.Helper()
	log, err := eventlog.Open(filepath.Join(t.TempDir(), "events.db"), eventlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := esnode.New(log, esnode.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- node.Serve(listener) }()
	store, err := esdb.Open("esdb://"+listener.Addr().String()+"?tls=false", esdb.Options{Patience: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := node.Stop(ctx); err != nil {
			t.Error(err)
		}
		<-served
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return &readWorld{t: t, store: store, tips: map[string]domain.Tip{}, at: time.Date(2026, 3, 1, 20, 0, 0, 0, time.UTC)}
}

// documents opens an empty document store.
func (w *readWorld) documents() readmodels.Documents {
	w.t.Helper()
	store, err := sqlitedocs.Open(filepath.Join(w.t.TempDir(), "documents.db"), sqlitedocs.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := store.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return store
}

// side is the read side of one process over a document store.
func (w *readWorld) side(documents readmodels.Documents, change ...func(*readmodels.Options)) *readmodels.Engine {
	options := readmodels.Options{Documents: documents, Streams: w.store, Log: w.store, Clock: machineClock{}, RegistryAge: 20 * time.Millisecond, Grace: 100 * time.Millisecond}
	for _, c := range change {
		c(&options)
	}
	return readmodels.New(options)
}

// append adds events to a stream in one go.
func (w *readWorld) append(stream string, events ...domain.Event) {
	w.t.Helper()
	tip, ok := w.tips[stream]
	if !ok {
		tip.Revision = domain.NoStream
	}
	proposed := make([]domain.Proposed, len(events))
	for i, e := range events {
		w.sent++
		w.at = w.at.Add(time.Minute)
		id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(fmt.Sprint(w.sent))).String()
		proposed[i] = domain.Proposed{ID: id, Event: e, Meta: domain.Meta{At: w.at, Actor: "tester", CommandID: id, CorrelationID: "c", CausationID: id, BatchIndex: i, BatchSize: len(events)}}
	}
	done, err := w.store.Append(w.t.Context(), stream, tip, proposed)
	if err != nil {
		w.t.Fatal(err)
	}
	w.tips[stream] = domain.Tip{Revision: done.Revision, Hash: done.Hash}
}

// everything reads the whole log as a consumer group would deliver it, in order.
func (w *readWorld) everything() []domain.Delivery {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	var all []domain.Delivery
	_ = w.store.Tail(ctx, domain.From{}, []string{"order-", "product-", "inventory-", "account-", "fulfilment-"}, func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
		all = append(all, batch...)
		if live {
			cancel()
			return context.Canceled
		}
		return nil
	})
	if len(all) != w.sent {
		w.t.Fatalf("the log shows %d events of %d", len(all), w.sent)
	}
	return all
}

func idOf(kind string, n int) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte(fmt.Sprint(kind, n))).String()
}

// history appends random events to a few streams of every category.
func (w *readWorld) history(random *rand.Rand, events int) {
	line := func() order.Line {
		return order.Line{SKU: fmt.Sprint("SKU-", random.IntN(4)), Name: "thing", Quantity: 1 + random.Int64N(9), UnitPrice: random.Int64N(500)}
	}
	first := func(stream string) bool { _, ok := w.tips[stream]; return !ok }
	pick := func(events ...domain.Event) domain.Event { return events[random.IntN(len(events))] }
	for range events {
		n := random.IntN(6)
		switch random.IntN(6) {
		case 0, 1:
			stream := "order-" + idOf("order", n)
			if first(stream) {
				w.append(stream, order.Created{CustomerID: fmt.Sprint("c", n%2), AccountID: idOf("account", 0), Currency: "EUR", Items: []order.Line{line()}, Address: "Hohe Straße 9"})
				continue
			}
			w.append(stream, pick(order.ItemAdded{Line: line()}, order.ItemRemoved{SKU: "SKU-1", Quantity: 1}, order.Confirmed{}, order.Prepared{}, order.Shipped{Carrier: "DHL", TrackingNumber: "1"}, order.Cancelled{Reason: "no"}))
		case 2:
			id := idOf("order", n)
			w.append(fmt.Sprint("inventory-SKU-", n), pick(inventory.Received{Quantity: 5}, inventory.Reserved{OrderID: id, Quantity: 1}, inventory.Released{OrderID: id, Quantity: 1}, inventory.Shipped{OrderID: id, Quantity: 1}))
		case 3:
			stream := "account-" + idOf("account", n)
			if first(stream) {
				w.append(stream, account.Opened{CustomerID: "c0", Currency: "EUR"})
				continue
			}
			w.append(stream, pick(account.Deposited{Amount: 7, Currency: "EUR"}, account.Withdrawn{Amount: 3, Currency: "EUR", OrderID: idOf("order", n)}))
		case 4:
			stream := fmt.Sprint("product-SKU-", n)
			if first(stream) {
				w.append(stream, product.Listed{Name: "Lamp", UnitPrice: 100, Currency: "EUR"})
				continue
			}
			w.append(stream, product.PriceChanged{UnitPrice: random.Int64N(999), Currency: "EUR"})
		case 5:
			stream := "fulfilment-" + idOf("order", n)
			if first(stream) {
				w.append(stream, fulfilment.Started{CustomerID: "c0", AccountID: idOf("account", 0), Currency: "EUR", Total: 5, Lines: []fulfilment.Line{{SKU: "SKU-0", Quantity: 1}}, Steps: []fulfilment.Planned{{Step: fulfilment.StepReserve, SKU: "SKU-0"}}})
				continue
			}
			w.append(stream, pick(fulfilment.LineReserved{SKU: "SKU-0", Quantity: 1}, fulfilment.Prepared{}, fulfilment.Compensating{Reason: "expired"}, fulfilment.Compensated{}))
		}
	}
}

// contents are all documents and rows of all first generations: collection and id → everything in them.
func (w *readWorld) contents(documents readmodels.Documents) map[string]string {
	w.t.Helper()
	names, err := documents.Collections(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]string{}
	for _, name := range names {
		if name[0] == '_' {
			continue
		}
		find := readmodels.Find{Limit: 1000, Hidden: true}
		for {
			page, err := documents.Find(w.t.Context(), name, find)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, d := range page {
				all[name+"/"+d.ID] = fmt.Sprintf("version %d sources %v hidden %t %s", d.Version, d.Sources, d.Hidden, d.Body)
			}
			if len(page) < find.Limit {
				break
			}
			find.After = []any{page[len(page)-1].ID}
		}
	}
	return all
}

// orderly is what one worker makes of the log, event by event, in order.
func (w *readWorld) orderly() map[string]string {
	w.t.Helper()
	documents := w.documents()
	e := w.side(documents)
	for _, d := range w.everything() {
		w.deliver(e, []domain.Delivery{d})
	}
	return w.contents(documents)
}

func (w *readWorld) deliver(e *readmodels.Engine, batch []domain.Delivery) {
	w.t.Helper()
	for _, m := range e.Models() {
		for i, err := range e.Projector(m.Name).Handle(w.t.Context(), batch) {
			if err != nil {
				w.t.Fatalf("%s: event %d of %s: %v", m.Name, batch[i].Revision, batch[i].Stream, err)
			}
		}
	}
}

// settled waits until no read model has anything left to apply.
func (w *readWorld) settled(e *readmodels.Engine) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		left := int64(0)
		all, err := e.Operations().List(w.t.Context())
		for _, m := range all {
			left += m.LagEvents
			if m.CatchingUp {
				left++
			}
		}
		if err == nil && left == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%d events are not applied (%v)", left, err)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-w.t.Context().Done():
			return
		}
	}
}
