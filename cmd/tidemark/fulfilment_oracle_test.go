package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// oracle counts the whole log by itself: it shares no fold with the service.
type oracle struct {
	onHand, reserved map[string]int64  // by SKU
	held             map[string]int64  // by SKU/order
	status           map[string]string // by order
	confirmed        map[string]bool
	lines            map[string]map[string]int64 // by order and SKU
	total            map[string]int64
	paid             map[string]int64 // by order
	withdrawals      map[string]int
	credits          map[string]int
	balance          map[string]int64  // by account
	ended            map[string]string // by order: the last status of its process
	deposited        int64
	overdraft        map[string]int64  // by account
	commands         map[string]bool   // by command, stream and place in the batch
	open             map[string]int    // events that a stream's last batch still lacks
	batch            map[string]string // by stream: the command of its last batch
	length           map[string]int64  // events by stream
	correlated       map[string]bool   // everything that events belong to
	events           int
}

// next is where an order may go from each status.
var legalNext = map[string]map[string]bool{
	"":          {"OrderCreated": true},
	"created":   {"ItemAdded": true, "ItemRemoved": true, "OrderConfirmed": true, "OrderCancelled": true},
	"confirmed": {"OrderPrepared": true, "OrderCancelled": true},
	"prepared":  {"OrderShipped": true, "OrderCancelled": true},
}

// consult reads the whole log and holds the invariants that must hold at every event, by the names that they
// have in the manual; settled holds those of the end. Every test that runs the whole program does so when it ends.
func consult(t testing.TB, store *esdb.Store) *oracle {
	t.Helper()
	o := &oracle{
		onHand: map[string]int64{}, reserved: map[string]int64{}, held: map[string]int64{}, status: map[string]string{},
		confirmed: map[string]bool{}, lines: map[string]map[string]int64{}, total: map[string]int64{}, paid: map[string]int64{},
		withdrawals: map[string]int{}, credits: map[string]int{}, balance: map[string]int64{}, ended: map[string]string{},
		overdraft: map[string]int64{}, commands: map[string]bool{}, open: map[string]int{}, batch: map[string]string{},
		length: map[string]int64{}, correlated: map[string]bool{},
	}
	ids := map[string]bool{}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience) // also while a test is cleaned up
	defer cancel()
	whole := false
	err := store.Tail(ctx, domain.From{}, domainPrefixes, func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
		for _, d := range batch {
			if d.Err != nil {
				t.Errorf("I-13: %s@%d can't be read: %v", d.Stream, d.Revision, d.Err)
			}
			if d.Revision != o.length[d.Stream] {
				t.Errorf("I-03: %s@%d comes where revision %d should", d.Stream, d.Revision, o.length[d.Stream])
			}
			if ids[d.ID] {
				t.Errorf("I-14: %s@%d has the id of another event", d.Stream, d.Revision)
			}
			o.length[d.Stream]++
			o.correlated[d.Meta.CorrelationID] = true
			ids[d.ID] = true
			o.takeMeta(t, d.Recorded)
			o.take(t, d.Recorded)
		}
		if whole = live; live {
			return context.Canceled
		}
		return nil
	})
	if !whole {
		t.Errorf("the log was not read to its end: %v", err)
	}
	for stream, n := range o.open {
		if n > 0 {
			t.Errorf("I-03: the last batch of %s lacks %d events", stream, n)
		}
	}
	return o
}

// takeMeta holds what must hold of events whatever they say.
func (o *oracle) takeMeta(t testing.TB, r domain.Recorded) {
	if r.Meta.CommandID == "" {
		return // older than commands, or of another program
	}
	if r.Meta.CorrelationID == "" || r.Meta.CausationID == "" {
		t.Errorf("I-15: %s@%d belongs to %q and was caused by %q", r.Stream, r.Revision, r.Meta.CorrelationID, r.Meta.CausationID)
	}
	key := fmt.Sprintf("%s %s %d", r.Meta.CommandID, r.Stream, r.Meta.BatchIndex)
	if o.commands[key] {
		t.Errorf("I-02: %s@%d is of a command that was applied before", r.Stream, r.Revision)
	}
	o.commands[key] = true
	switch {
	case r.Meta.BatchIndex == 0 && o.open[r.Stream] > 0, r.Meta.BatchIndex > 0 && o.open[r.Stream] != r.Meta.BatchSize-r.Meta.BatchIndex:
		t.Errorf("I-03: %s@%d is event %d of %d, and %d of the batch before it are missing", r.Stream, r.Revision, r.Meta.BatchIndex, r.Meta.BatchSize, o.open[r.Stream])
	case r.Meta.BatchIndex > 0 && o.batch[r.Stream] != r.Meta.CommandID:
		t.Errorf("I-03: %s@%d continues the batch of another command", r.Stream, r.Revision)
	}
	o.batch[r.Stream] = r.Meta.CommandID
	o.open[r.Stream] = r.Meta.BatchSize - r.Meta.BatchIndex - 1
}

func (o *oracle) take(t testing.TB, r domain.Recorded) {
	o.events++
	id := domain.StreamID(r.Stream)
	switch domain.Category(r.Stream) {
	case "order":
		o.takeOrder(t, id, r)
	case "inventory":
		o.takeStock(r, id)
		if o.reserved[id] < 0 || o.reserved[id] > o.onHand[id] {
			t.Errorf("I-06: %s@%d: %d reserved of %d", r.Stream, r.Revision, o.reserved[id], o.onHand[id])
		}
	case "account":
		o.takeMoney(r, id)
		if o.balance[id] < -o.overdraft[id] {
			t.Errorf("I-05: %s@%d: %d is below the overdraft limit of %d", r.Stream, r.Revision, o.balance[id], o.overdraft[id])
		}
	case "fulfilment":
		switch r.Type {
		case "FulfilmentPrepared":
			o.ended[id] = "prepared"
		case "FulfilmentCompleted":
			o.ended[id] = "completed"
		case "FulfilmentCompensated":
			o.ended[id] = "compensated"
		case "FulfilmentCompensating":
			o.ended[id] = "compensating"
		}
	}
}

func (o *oracle) takeOrder(t testing.TB, id string, r domain.Recorded) {
	if !legalNext[o.status[id]][r.Type] {
		t.Errorf("I-04, I-07: order %s: %s when %q", id, r.Type, o.status[id])
	}
	switch e := r.Event.(type) {
	case order.Created:
		o.status[id], o.lines[id] = "created", map[string]int64{}
		for _, l := range e.Items {
			o.lines[id][l.SKU] += l.Quantity
			o.total[id] += l.Quantity * l.UnitPrice
		}
	case order.Confirmed:
		o.status[id], o.confirmed[id] = "confirmed", true
	case order.Prepared:
		o.status[id] = "prepared"
	case order.Shipped:
		o.status[id] = "shipped"
	case order.Cancelled:
		o.status[id] = "cancelled"
	}
}

func (o *oracle) takeStock(r domain.Recorded, sku string) {
	switch e := r.Event.(type) {
	case inventory.Received:
		o.onHand[sku] += e.Quantity
	case inventory.Damaged:
		o.onHand[sku] -= e.Quantity
	case inventory.Reserved:
		o.reserved[sku] += e.Quantity
		o.held[sku+"/"+e.OrderID] += e.Quantity
	case inventory.Released:
		o.reserved[sku] -= e.Quantity
		o.held[sku+"/"+e.OrderID] -= e.Quantity
	case inventory.Shipped:
		o.reserved[sku] -= e.Quantity
		o.onHand[sku] -= e.Quantity
		o.held[sku+"/"+e.OrderID] -= e.Quantity
	}
}

func (o *oracle) takeMoney(r domain.Recorded, id string) {
	switch e := r.Event.(type) {
	case account.Opened:
		o.overdraft[id] = e.OverdraftLimit
	case account.Deposited:
		o.balance[id] += e.Amount
		o.deposited += e.Amount
	case account.Withdrawn:
		o.balance[id] -= e.Amount
		o.paid[e.OrderID] += e.Amount
		o.withdrawals[e.OrderID]++
	case account.Credited:
		o.balance[id] += e.Amount
		o.paid[e.OrderID] -= e.Amount
		o.credits[e.OrderID]++
	}
}

// settled checks the end of every order, and gives how many ended how.
func (o *oracle) settled(t testing.TB) map[string]int {
	t.Helper()
	ends, want, paid := map[string]int{}, map[string]int64{}, int64(0)
	for id, status := range o.status {
		end := status + "/" + o.ended[id]
		ends[end]++
		switch end {
		case "created/", "prepared/prepared", "shipped/completed", "cancelled/compensated":
		default:
			if end != "cancelled/" || o.confirmed[id] {
				t.Errorf("I-08: order %s ended %s", id, end)
			}
		}
		price := int64(0)
		if status == "prepared" || status == "shipped" {
			price = o.total[id]
		}
		if o.paid[id] != price || o.withdrawals[id] > 1 || o.credits[id] > 1 {
			t.Errorf("I-05, I-08: order %s %s: paid %d of %d, %d withdrawals, %d credits", id, end, o.paid[id], price, o.withdrawals[id], o.credits[id])
		}
		paid += price
		if status == "prepared" {
			for sku, n := range o.lines[id] {
				want[sku+"/"+id] = n
			}
		}
	}
	for key, n := range o.held {
		if n != want[key] {
			t.Errorf("I-06, I-08: %s: %d held, want %d", key, n, want[key])
		}
	}
	money := int64(0)
	for id, balance := range o.balance {
		if money += balance; balance < 0 {
			t.Errorf("I-05: account %s is at %d", id, balance)
		}
	}
	if money != o.deposited-paid {
		t.Errorf("I-05: %d in accounts after %d deposited and %d paid", money, o.deposited, paid)
	}
	if len(o.status) == 0 || o.events == 0 {
		t.Error(fmt.Errorf("the log is empty"))
	}
	return ends
}
