package readmodels

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// torn is the store of a process that is killed in the middle of a write: a part of it is done, and nobody hears of it.
type torn struct {
	*mortal
	part func(puts []Put) []Put
}

func (k *torn) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	won, err := k.mortal.Write(ctx, collection, puts)
	if err != nil && k.writes == k.limit { // the first that it does not live to see
		if part := k.part(puts); len(part) > 0 {
			_, _ = k.memory.Write(ctx, collection, part)
		}
	}
	return won, err
}

// A worker is killed at any of its writes, before, amid or behind it. What it did not acknowledge comes again, to
// another one; what it did acknowledge never does. No sweep helps. Nothing is lost and nothing is applied twice, because
// an event is marked as processed by the very write that it changes the document with.
func TestAWorkerKilledAtAWriteLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	parts := map[string]func([]Put) []Put{
		"before":  func([]Put) []Put { return nil },
		"amid":    func(puts []Put) []Put { return puts[:len(puts)/2] },
		"the end": func(puts []Put) []Put { return puts[len(puts)/2:] },
		"behind":  func(puts []Put) []Put { return puts },
	}
	for when, part := range parts {
		t.Run(when, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := newScript()
				drawHistory(t, s, 30)
				want, store := orderly(t, s), newMemory()
				killed := &torn{mortal: newMortal(store, rapid.IntRange(1, 15).Draw(t, "killed at write")), part: part}
				worker, heir := s.side(killed), s.side(store)
				size := rapid.IntRange(1, 8).Draw(t, "batch")
				for _, m := range worker.Models() {
					var again []domain.Delivery
					for batch := range slices.Chunk(s.deliveries(), size) {
						for i, err := range worker.Projector(m.Name).Handle(t.Context(), batch) {
							if err != nil {
								again = append(again, batch[i])
							}
						}
					}
					slices.Reverse(again)
					for i, err := range heir.Projector(m.Name).Handle(t.Context(), again) {
						if err != nil {
							t.Fatalf("%s: %d of %s: %v", m.Name, again[i].Revision, again[i].Stream, err)
						}
					}
				}
				if diff := cmp.Diff(want, dumpAll(t, heir)); diff != "" {
					t.Fatalf("documents differ (-orderly +now):\n%s", diff)
				}
			})
		})
	}
}

// Days later, to a process that remembers nothing, all of history comes again, backwards and forwards: every
// delivery is known as a repeat by the documents themselves, and sums stay what they were.
func TestHistoryThatComesAgainAddsNothing(t *testing.T) {
	s, store := newScript(), newMemory()
	for _, id := range []string{"o1", "o2"} {
		s.append("order-"+id, order.Created{CustomerID: "c1", Currency: "EUR", Items: []order.Line{{SKU: "A", Quantity: 2, UnitPrice: 100}}})
		s.append("order-"+id, order.ItemAdded{Line: order.Line{SKU: "B", Quantity: 3, UnitPrice: 10}})
		s.append("order-"+id, order.Confirmed{})
	}
	deliver(t, s.side(store), s.deliveries())
	var counts Counts
	later := s.side(store, func(o *Options) {
		o.Hooks.Batch = func(_ string, c Counts, _ time.Duration) {
			counts.Delivered += c.Delivered
			counts.Duplicate += c.Duplicate + c.Ignorable
		}
	})
	all := s.deliveries()
	slices.Reverse(all)
	deliver(t, later, all)
	for _, d := range s.deliveries() {
		deliver(t, later, []domain.Delivery{d})
	}
	if want := 2 * len(all) * len(later.Models()); counts.Delivered != want || counts.Duplicate != want {
		t.Errorf("%+v of %d repeats", counts, want)
	}
	totals := answerTo(t, later, "getCustomer", Ask{Params: map[string]string{"id": "c1"}}).Body.(Customer)
	if totals.Orders != 2 || totals.Spent["EUR"] != 460 {
		t.Errorf("totals %+v", totals)
	}
	sales := answerTo(t, later, "listSales", Ask{}).Items
	if len(sales) != 1 || sales[0].(SalesDay).Units != 10 || sales[0].(SalesDay).Revenue != 460 {
		t.Errorf("sales %+v", sales)
	}
}

// The creation comes last, and once more after everything: it changes neither the status nor the times that followed.
func TestALateCreationUndoesNothing(t *testing.T) {
	s := newScript()
	created := s.append("order-o1", order.Created{CustomerID: "c1", Currency: "EUR", Items: []order.Line{{SKU: "A", Quantity: 1, UnitPrice: 5}}})
	confirmed := s.append("order-o1", order.Confirmed{})
	cancelled := s.append("order-o1", order.Cancelled{Reason: "changed my mind"})
	e := s.side(newMemory())
	for _, step := range []struct {
		comes domain.Recorded
		want  order.Status
	}{
		{confirmed, order.StatusConfirmed}, {created, order.StatusConfirmed}, {cancelled, order.StatusCancelled},
		{created, order.StatusCancelled}, {confirmed, order.StatusCancelled},
	} {
		deliver(t, e, []domain.Delivery{{Recorded: step.comes}})
		row := answerTo(t, e, "listOrders", Ask{}).Items[0].(OrderRow)
		if row.Status != string(step.want) || row.CreatedAt != Stamp(created.Meta.At) {
			t.Errorf("after event %d the order is %s, created %s; want %s, %s", step.comes.Revision, row.Status, row.CreatedAt, step.want, Stamp(created.Meta.At))
		}
	}
}
