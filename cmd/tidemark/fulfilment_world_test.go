package main

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlitedocs"
	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// warehouse is a node with people at work on it, and as many fulfilment workers as a test wants, each with
// a connection and a service of its own. They share an order board, as replicas do.
type warehouse struct {
	t      testing.TB
	node   *commandNode
	store  *esdb.Store
	people *application.Service
	limits fulfilment.Limits
	board  *readmodels.Engine
	faulty []interface{ Heal() }

	mu     sync.Mutex
	random *rand.Rand
}

func newWarehouse(t testing.TB, seed uint64) *warehouse {
	t.Helper()
	w := &warehouse{
		t: t, node: startCommandNode(t), random: rand.New(rand.NewPCG(seed, 3)),
		limits: fulfilment.Limits{OpenFor: time.Hour, PrepareWithin: time.Hour, Nudge: time.Second},
	}
	w.store = w.node.connect(t)
	w.people = replica(t, w.store, application.Options{})
	return w
}

func (w *warehouse) pick(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(n)
}

// pass lets a random while go by.
func (w *warehouse) pass(most time.Duration) {
	select {
	case <-time.After(time.Duration(w.pick(int(most)))):
	case <-w.t.Context().Done():
	}
}

// worker starts a fulfilment worker with timers, behind faults. It stops with the test.
func (w *warehouse) worker(faults storetest.Faults) {
	w.t.Helper()
	own := w.node.connect(w.t)
	faults.Seed = uint64(w.pick(1 << 30))
	store := storetest.NewFaulty(own, own, faults)
	w.faulty = append(w.faulty, store)
	service := replica(w.t, store, application.Options{})
	var timers *application.Timers
	process := application.NewFulfilment(service, application.FulfilmentOptions{
		Limits: w.limits, Wake: func(at time.Time) { timers.Wake(at) },
	})
	if w.board == nil {
		w.openBoard(documentstest.Faults{Seed: faults.Seed, Unavailable: faults.Unavailable, Lost: faults.Lost})
	}
	timers = application.NewTimers(deadlines{w.board.Reader()}, process.Advance, machineClock{}, application.TimersOptions{Recheck: time.Second, Backoff: 200 * time.Millisecond})

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = timers.Run(ctx) })
	running.Go(func() {
		_ = store.Consume(ctx, application.FulfilmentGroup(), application.Batching{}, process.Handle)
	})
	w.t.Cleanup(func() {
		cancel()
		running.Wait()
	})
}

// openBoard keeps the order board.
func (w *warehouse) openBoard(faults documentstest.Faults) {
	w.t.Helper()
	file, err := sqlitedocs.Open(filepath.Join(w.t.TempDir(), "documents.db"), sqlitedocs.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	documents := documentstest.NewFaulty(file, faults)
	w.faulty = append(w.faulty, documents)
	var models []*readmodels.Model
	for _, m := range readmodels.All() {
		if m.Name == "order_board" {
			models = append(models, m)
		}
	}
	w.board = readmodels.New(readmodels.Options{
		Documents: documents, Streams: w.store, Log: w.store, Clock: machineClock{}, Models: models, Logger: slog.New(slog.DiscardHandler),
		OrderOpenFor: w.limits.OpenFor, PrepareWithin: w.limits.PrepareWithin, Nudge: w.limits.Nudge, Grace: 100 * time.Millisecond,
	})
	ctx, cancel := context.WithCancel(context.Background())
	w.board.Start(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = w.board.Follow(ctx, true, nil) })
	w.t.Cleanup(func() {
		cancel()
		w.board.Stop()
		running.Wait()
		if err := file.Close(); err != nil {
			w.t.Error(err)
		}
	})
}

// heal ends all faults.
func (w *warehouse) heal() {
	for _, f := range w.faulty {
		f.Heal()
	}
}

func (w *warehouse) order(id string) order.Order {
	w.t.Helper()
	loaded, err := application.Load(w.t.Context(), w.people.Executor, application.Orders, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return loaded.State
}

func (w *warehouse) process(id string) fulfilment.Process {
	w.t.Helper()
	loaded, err := application.Load(w.t.Context(), w.people.Executor, application.Fulfilments, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return loaded.State
}

// underway tells whether an order is still to be moved on by somebody other than people.
func (w *warehouse) underway(id string) bool {
	o, p := w.order(id), w.process(id)
	facts := fulfilment.Order{Status: string(o.Status), ConfirmedAt: o.ConfirmedAt, UpdatedAt: o.UpdatedAt}
	_, moving := fulfilment.Underway(facts, p)
	return moving
}

// settle waits until none of the orders is under way.
func (w *warehouse) settle(within time.Duration, ids []string) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for _, id := range ids {
		for w.underway(id) {
			if time.Now().After(deadline) {
				o, p := w.order(id), w.process(id)
				w.t.Fatalf("order %s is still under way: %s, %s, steps %+v", id, o.Status, p.Status, p.Steps)
			}
			w.pass(50 * time.Millisecond)
		}
	}
}

func (w *warehouse) account(customer string, money int64) string {
	w.t.Helper()
	a, err := w.people.OpenAccount(w.t.Context(), application.Command{}, application.OpenAccount{CustomerID: customer, Currency: "EUR"})
	if err == nil && money > 0 {
		_, err = w.people.Deposit(w.t.Context(), application.Command{}, a.ID, money, "EUR", "")
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return a.ID
}

func (w *warehouse) receive(sku string, quantity int64) {
	w.t.Helper()
	if _, err := w.people.ReceiveStock(w.t.Context(), application.Command{}, sku, quantity, ""); err != nil {
		w.t.Fatal(err)
	}
}

// confirmed makes an order and confirms it.
func (w *warehouse) confirmed(accountID string, lines ...application.NewLine) string {
	w.t.Helper()
	o, err := w.people.CreateOrder(w.t.Context(), application.Command{MayPrice: true}, application.CreateOrder{
		CustomerID: "c-1", AccountID: accountID, Currency: "EUR", Items: lines,
	})
	if err == nil {
		_, err = w.people.ConfirmOrder(w.t.Context(), application.Command{}, o.ID)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return o.ID
}

func line(sku string, quantity, price int64) application.NewLine {
	return application.NewLine{SKU: sku, Quantity: quantity, UnitPrice: &price}
}
