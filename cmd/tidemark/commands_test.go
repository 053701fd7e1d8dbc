package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/order"
)

func unitPrice(n int64) *int64 { return &n }

func newOrder() application.CreateOrder {
	return application.CreateOrder{
		CustomerID: "c1", AccountID: uuid.NewString(), Currency: "EUR",
		Items:   []application.NewLine{{SKU: "A", Quantity: 2, UnitPrice: unitPrice(1000)}, {SKU: "B", Name: "Bär", Quantity: 1, UnitPrice: unitPrice(5)}},
		Address: map[string]any{"city": "Kiel", "street": "Hafen 1"}, Note: "bitte klingeln",
	}
}

// What a command answers is what anybody reads from the stream afterwards; a repeat answers the same,
// here, on another replica and after the node has been stopped and started.
func TestAnOrdersLifeThroughTheNode(t *testing.T) {
	t.Parallel()
	node := startCommandNode(t)
	here := replica(t, node.connect(t), application.Options{})
	ctx := t.Context()
	key := func(operation string) application.Command {
		c := byKey(operation, operation, "x")
		c.MayPrice = true
		return c
	}
	in := newOrder()
	created, err := here.CreateOrder(ctx, key("create"), in)
	if err != nil {
		t.Fatal(err)
	}
	id, two := created.ID, int64(1)
	steps := []func(*application.Service) (application.Result[order.Order], error){
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.CreateOrder(ctx, key("create"), in)
		},
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.AddItem(ctx, key("add"), id, application.NewLine{SKU: "C", Quantity: 3, UnitPrice: unitPrice(7)})
		},
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.RemoveItem(ctx, key("remove"), id, "A", &two)
		},
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.ConfirmOrder(ctx, key("confirm"), id)
		},
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.PrepareOrder(ctx, key("prepare"), id)
		},
		func(s *application.Service) (application.Result[order.Order], error) {
			return s.ShipOrder(ctx, key("ship"), id, "DHL", "4711")
		},
	}
	first := make([]application.Result[order.Order], len(steps))
	for i, step := range steps {
		if first[i], err = step(here); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		read, err := application.StateAt(ctx, replica(t, node.connect(t), application.Options{}).Executor, application.Orders, "c1", id, application.Point{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first[i].State, read.State); diff != "" || read.Revision != first[i].Revision || read.Meta.Hash != first[i].Meta.Hash {
			t.Errorf("step %d: answered and read differ at revisions %d and %d (-answered +read):\n%s", i, first[i].Revision, read.Revision, diff)
		}
	}
	repeat := func(where string, s *application.Service) {
		for i, step := range steps {
			again, err := step(s)
			if err != nil || !again.Replayed {
				t.Fatalf("%s, step %d: %+v, %v", where, i, again, err)
			}
			if diff := cmp.Diff(first[i].State, again.State); diff != "" || again.Revision != first[i].Revision || again.Created != (i == 0) {
				t.Errorf("%s, step %d: another answer at revision %d:\n%s", where, i, again.Revision, diff)
			}
		}
	}
	repeat("here", here)
	repeat("on another replica", replica(t, node.connect(t), application.Options{}))
	node.stop(t)
	node.start(t)
	repeat("after a restart", replica(t, node.connect(t), application.Options{}))
	if events := stored(t, node.connect(t), "order-"+id); len(events) != len(steps) {
		t.Errorf("%d events", len(events))
	}
}

func TestTwentyAtOnceOnThreeReplicasMakeOneOrder(t *testing.T) {
	t.Parallel()
	node := startCommandNode(t)
	replicas := []*application.Service{}
	for range 3 {
		replicas = append(replicas, replica(t, node.connect(t), application.Options{}))
	}
	command, in := byKey("createOrder", "k", "x"), newOrder()
	command.MayPrice = true
	results := make([]application.Result[order.Order], 20)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() {
			var err error
			if results[i], err = replicas[i%3].CreateOrder(context.Background(), command, in); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, r := range results[1:] {
		if diff := cmp.Diff(results[0].State, r.State); diff != "" || r.ID != results[0].ID || r.Revision != 0 || !r.Created {
			t.Errorf("answers differ: %s and %s\n%s", results[0].ID, r.ID, diff)
		}
	}
	if events := stored(t, replicaStore(t, node), "order-"+results[0].ID); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
}

func replicaStore(t *testing.T, node *commandNode) application.EventStore { return node.connect(t) }

// Sixty-four writers of one stream on two replicas: everybody gets through, nobody waits for ever, and
// every acknowledged command is there once.
func TestAHotStreamUnderSixtyFourWriters(t *testing.T) {
	t.Parallel()
	const writers, each = 64, 8
	node := startCommandNode(t)
	conflicts := 0
	var mu sync.Mutex
	options := application.Options{Hooks: application.Hooks{Conflict: func(string, string, int) {
		mu.Lock()
		defer mu.Unlock()
		conflicts++
	}}}
	replicas := []*application.Service{replica(t, node.connect(t), options), replica(t, node.connect(t), options)}
	made, err := replicas[0].OpenAccount(t.Context(), application.Command{}, application.OpenAccount{CustomerID: "c1", Currency: "EUR"})
	if err != nil {
		t.Fatal(err)
	}
	slowest := make([]time.Duration, writers)
	begun := time.Now()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range each {
				sent := time.Now()
				command := byKey("deposit", fmt.Sprint(w, i), "x")
				if _, err := replicas[w%2].Deposit(context.Background(), command, made.ID, 1, "EUR", ""); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
				slowest[w] = max(slowest[w], time.Since(sent))
			}
		})
	}
	all.Wait()
	took := time.Since(begun)
	events := stored(t, node.connect(t), "account-"+made.ID)
	if len(events) != 1+writers*each {
		t.Errorf("%d events", len(events))
	}
	once := map[string]bool{}
	for _, r := range events {
		if once[r.Meta.CommandID] {
			t.Errorf("command %s was applied twice", r.Meta.CommandID)
		}
		once[r.Meta.CommandID] = true
	}
	worst := time.Duration(0)
	for _, d := range slowest {
		worst = max(worst, d)
	}
	t.Logf("%d commands in %v, %d conflicts, slowest %v", writers*each, took.Round(time.Millisecond), conflicts, worst.Round(time.Millisecond))
}

func TestSnapshotsThroughTheNode(t *testing.T) {
	t.Parallel()
	node := startCommandNode(t)
	taken := make(chan error, 100)
	store := node.connect(t)
	s := replica(t, store, application.Options{SnapshotEvery: 4, Hooks: application.Hooks{
		SnapshotTaken: func(_ string, err error) { taken <- err },
	}})
	ctx, orderID := t.Context(), uuid.NewString()
	var last application.Result[account.Account]
	made, err := s.OpenAccount(ctx, application.Command{}, application.OpenAccount{CustomerID: "c1", Currency: "EUR", OverdraftLimit: 9})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 39 {
		if i == 20 {
			_, err = s.Withdraw(ctx, application.Command{}, made.ID, 3, "EUR", "", orderID)
		} else {
			last, err = s.Deposit(ctx, byKey("deposit", fmt.Sprint(i), "x"), made.ID, 1, "EUR", "")
		}
		if err != nil {
			t.Fatal(err)
		}
		if (i+2)%4 == 0 { // the stream has reached a multiple
			select {
			case err := <-taken:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(patience):
				t.Fatal("no snapshot came")
			}
		}
	}
	var kept []int64
	for r, err := range store.ReadStream(ctx, "snapshot-account-"+made.ID, 0) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, r.Event.(domain.SnapshotTaken).Revision)
	}
	if len(kept) != 8 || kept[7] != 39 { // of ten
		t.Fatalf("the snapshots of %v are kept", kept)
	}
	var start application.Start
	read := 0
	other := replica(t, node.connect(t), application.Options{Hooks: application.Hooks{
		Loaded: func(_ string, from application.Start, events int) { start, read = from, events },
	}})
	loaded, err := application.Load(ctx, other.Executor, application.Accounts, made.ID)
	if err != nil || start != application.FromSnapshot || read != 0 {
		t.Fatalf("loaded from %v with %d events, %v", start, read, err)
	}
	if diff := cmp.Diff(last.State, loaded.State); diff != "" {
		t.Errorf("(-answered +loaded):\n%s", diff)
	}
	again, err := other.Deposit(ctx, byKey("deposit", "38", "x"), made.ID, 1, "EUR", "")
	if err != nil || !again.Replayed || again.Revision != last.Revision {
		t.Errorf("a repeat through a snapshot: %+v, %v", again, err)
	}
}
