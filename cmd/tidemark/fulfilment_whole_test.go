package main

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/application/storetest"
)

// Orders over scarce goods and money on the real node, through the official client, with several workers
// whose stores, documents and deliveries fail. TIDEMARK_TEST_ORDERS says how many; 10000 is the full run.
func TestFulfilmentEndsWhateverFails(t *testing.T) {
	t.Parallel()
	orders := 60
	if testing.Short() {
		orders = 15
	}
	if text := os.Getenv("TIDEMARK_TEST_ORDERS"); text != "" {
		orders, _ = strconv.Atoi(text)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d orders", seed, orders)
	w := newWarehouse(t, seed)
	for range 3 {
		w.worker(storetest.Faults{Unavailable: 0.01, Lost: 0.01, Undone: 0.01, Broken: 0.01, Repeat: 0.1, Drop: 0.03, Shuffle: true})
	}
	ids := w.trade(orders)
	w.settle(2*time.Minute+time.Duration(orders)*50*time.Millisecond, ids)
	w.heal()
	ends := consult(t, w.store).settled(t)
	t.Logf("ended %v", ends)
}

// trade has customers place orders, and all of them do what people do; it gives the orders' ids.
func (w *warehouse) trade(orders int) []string {
	skus, accounts := []string{}, []string{}
	for i := range max(4, orders/25) {
		skus = append(skus, fmt.Sprint("SKU-", i))
		w.receive(skus[i], int64(10+w.pick(40)))
	}
	for range max(4, orders/10) {
		accounts = append(accounts, w.account("c-1", int64(w.pick(6000))))
	}
	accounts = append(accounts, w.account("somebody-else", 100_000))
	var ids []string
	var mu sync.Mutex
	var customers sync.WaitGroup
	places := make(chan struct{}, orders)
	for range orders {
		places <- struct{}{}
	}
	close(places)
	for range 8 {
		customers.Go(func() {
			for range places {
				first := w.pick(len(skus))
				lines := []application.NewLine{line(skus[first], int64(1+w.pick(3)), int64(w.pick(4)*100))}
				if w.pick(2) == 0 {
					lines = append(lines, line(skus[(first+1)%len(skus)], int64(1+w.pick(3)), 100))
				}
				id := w.confirmed(accounts[w.pick(len(accounts))], lines...)
				mu.Lock()
				ids = append(ids, id)
				mu.Unlock()
				w.changeMind(id)
				if w.pick(10) == 0 {
					w.receive(skus[w.pick(len(skus))], int64(1+w.pick(5)))
				}
			}
		})
	}
	customers.Wait()
	return ids
}

// changeMind cancels some orders at a bad moment and ships most of the others as soon as they are prepared.
func (w *warehouse) changeMind(id string) {
	if w.pick(4) == 0 {
		w.pass(60 * time.Millisecond)
		_, _ = w.people.CancelOrder(w.t.Context(), application.Command{}, id, "changed my mind")
	}
	for range w.pick(40) {
		if _, err := w.people.ShipOrder(w.t.Context(), application.Command{}, id, "UPS", "T"); err == nil {
			return
		}
		if w.order(id).Status == "cancelled" {
			return
		}
		w.pass(20 * time.Millisecond)
	}
}
