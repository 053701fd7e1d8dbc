package main

import (
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// created makes an order that nobody confirms.
func (w *warehouse) created() string {
	w.t.Helper()
	made, err := w.people.CreateOrder(w.t.Context(), application.Command{MayPrice: true}, application.CreateOrder{
		CustomerID: "c-1", AccountID: w.account("c-1", 0), Currency: "EUR", Items: []application.NewLine{line("A", 1, 1)},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return made.ID
}

// expires waits until an order was cancelled, and checks that it was at its deadline or after it, once.
func (w *warehouse) expires(id string) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for w.order(id).Status != order.StatusCancelled {
		if time.Now().After(deadline) {
			w.t.Fatalf("order %s is %s", id, w.order(id).Status)
		}
		w.pass(20 * time.Millisecond)
	}
	o := w.order(id)
	if at := o.CreatedAt.Add(w.limits.OpenFor); o.CancelReason != "expired" || o.CancelledAt.Before(at) {
		w.t.Errorf("cancelled because of %q at %s, due %s", o.CancelReason, o.CancelledAt, at)
	}
	if events := stored(w.t, w.store, "order-"+id); len(events) != 2 {
		w.t.Errorf("%d events", len(events))
	}
}

// Deadlines come from the order board, with two workers at it at once, and also where they passed while
// nobody was there.
func TestUnconfirmedOrdersExpireByTheBoard(t *testing.T) {
	t.Parallel()
	w := newWarehouse(t, 1)
	w.limits.OpenFor = 300 * time.Millisecond
	before := w.created()
	<-time.After(w.limits.OpenFor + time.Millisecond)
	w.worker(storetest.Faults{})
	w.worker(storetest.Faults{})
	after := w.created()
	w.expires(before)
	w.expires(after)
}

// Where every delivery is lost, the timers alone take orders to their ends.
func TestOrdersAreFulfilledWithoutAnyDelivery(t *testing.T) {
	t.Parallel()
	w := newWarehouse(t, 1)
	w.limits.Nudge = 100 * time.Millisecond
	w.receive("A", 5)
	w.worker(storetest.Faults{Drop: 1})
	well := w.confirmed(w.account("c-1", 100), line("A", 1, 100))
	poor := w.confirmed(w.account("c-1", 99), line("A", 1, 100))
	w.settle(patience, []string{well, poor})
	if _, err := w.people.ShipOrder(t.Context(), application.Command{}, well, "UPS", "T"); err != nil {
		t.Fatal(err)
	}
	w.settle(patience, []string{well, poor})
	ends := consult(t, w.store).settled(t)
	if ends["shipped/completed"] != 1 || ends["cancelled/compensated"] != 1 {
		t.Errorf("ended %v", ends)
	}
}
