package readmodels

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// alien is an event type that no release knows.
type alien struct{}

func (alien) EventType() string { return "StockBeamedUp" }

func TestPoisonBlocksItsStreamOnly(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	const streams = 1000
	for round := range 2 {
		for i := range streams {
			var event domain.Event = inventory.Received{Quantity: int64(round + 1)}
			if round == 1 && i == 501 {
				event = alien{} // of a type that nobody knows
			}
			s.append(fmt.Sprintf("inventory-S%d", i), event)
		}
	}
	s.poison("inventory-S500", 1, true)
	all := s.deliveries()
	for at := 0; at < len(all); at += 100 {
		deliver(t, e, all[at:at+100])
	}
	for i := range streams {
		f, ok, err := loadFound[inventory.Stock](t.Context(), e.Reader(), generation{stockLevels, 1}, fmt.Sprintf("S%d", i))
		want := int64(3)
		if i == 500 || i == 501 {
			want = 1
		}
		if err != nil || !ok || f.body.OnHand != want {
			t.Fatalf("S%d has %d, want %d (%v)", i, f.body.OnHand, want, err)
		}
	}
	blocked, err := e.Operations().Blocked(t.Context(), "stock-levels", 0)
	if err != nil || len(blocked) != 2 {
		t.Fatalf("%+v, %v", blocked, err)
	}
	for i, want := range []struct{ stream, typ string }{{"inventory-S500", "StockReceived"}, {"inventory-S501", "StockBeamedUp"}} {
		if b := blocked[i]; b.Stream != want.stream || b.Revision != 1 || b.Type != want.typ || b.Attempts != 1 || b.Reason == "" {
			t.Errorf("%+v, want %v", b, want)
		}
	}
}

func TestRetryHealsInOrder(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	for i := range 6 {
		s.append("inventory-A", inventory.Received{Quantity: int64(i)})
	}
	s.poison("inventory-A", 2, true)
	deliver(t, e, s.deliveries())
	still, err := e.Operations().Retry(t.Context(), "stock_levels", nil)
	if err != nil || still.Tried != 1 || still.Healed != 0 || still.Blocked[0].Attempts < 2 {
		t.Fatalf("a retry before the repair: %+v, %v", still, err)
	}
	s.poison("inventory-A", 2, false)
	later := s.append("inventory-A", inventory.Received{Quantity: 100})
	deliver(t, e, []domain.Delivery{{Recorded: later}}) // waits behind the blocked one
	if f, _, _ := loadFound[inventory.Stock](t.Context(), e.Reader(), generation{stockLevels, 1}, "A"); f.body.OnHand != 1 {
		t.Fatalf("later events of a blocked stream were applied: %d on hand", f.body.OnHand)
	}
	for _, m := range e.Models() {
		if healed, err := e.Operations().Retry(t.Context(), m.Name, []string{"inventory-A"}); err != nil || len(healed.Blocked) != 0 {
			t.Fatalf("%s after the repair: %+v, %v", m.Name, healed, err)
		}
	}
	if want := orderlyOf(t, s, e); !cmp.Equal(want, dump(t, e.options.Documents, generation{stockLevels, 1})) {
		t.Error(cmp.Diff(want, dump(t, e.options.Documents, generation{stockLevels, 1})))
	}
}

// orderlyOf is what the stock levels should be by now.
func orderlyOf(t *testing.T, s *script, e *Engine) map[string]string {
	t.Helper()
	fresh := s.side(newMemory())
	deliver(t, fresh, s.deliveries())
	return dump(t, fresh.options.Documents, generation{stockLevels, 1})
}

func TestSkipIsOnRecord(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("inventory-A", inventory.Received{Quantity: 1})
	s.append("inventory-A", alien{})
	s.append("inventory-A", inventory.Received{Quantity: 2})
	deliver(t, e, s.deliveries())
	blocked, err := e.Operations().Blocked(t.Context(), "stock_levels", 0)
	if err != nil || len(blocked) != 1 || blocked[0].Type != "StockBeamedUp" || blocked[0].Event != blocked[0].Type || blocked[0].Code != "undecodable_event" {
		t.Fatalf("an unknown type: %+v, %v", blocked, err)
	}
	skipped, err := e.Operations().Skip(t.Context(), "stock_levels", []string{"inventory-A"}, "olga")
	if err != nil || skipped.Healed != 1 {
		t.Fatalf("%+v, %v", skipped, err)
	}
	f, _, err := loadFound[inventory.Stock](t.Context(), e.Reader(), generation{stockLevels, 1}, "A")
	if err != nil || f.body.OnHand != 3 || f.sources["inventory-A"] != 2 {
		t.Fatalf("%+v %v, %v", f.body, f.sources, err)
	}
	skips, err := e.Operations().Skips(t.Context(), "stock_levels")
	if err != nil || len(skips) != 1 || skips[0].Actor != "olga" || skips[0].Revision != 1 || skips[0].Stream != "inventory-A" {
		t.Fatalf("%+v, %v", skips, err)
	}
	if audit, _ := e.Operations().Blocked(t.Context(), "audit_log", 0); len(audit) != 1 {
		t.Errorf("a skip in one read model must not skip in another: %+v", audit)
	}
	answer, err := answerStock(t.Context(), e.Reader(), Ask{Params: map[string]string{"sku": "A"}, AsOf: s.Now()})
	if err != nil || answer.Body.(Stock).OnHand != 3 {
		t.Errorf("a question about the past goes over the skipped event too: %+v, %v", answer.Body, err)
	}
}

// brokenModel fails, or panics, after it has changed half of its document.
func brokenModel(broken *bool) *Model {
	type doc struct{ Sum, Half int64 }
	return define(Model{Name: "broken", Version: 1, Categories: []string{"inventory"}}, func(d *doc, r domain.Recorded) (any, error) {
		d.Half++
		if e := r.Event.(inventory.Received); *broken && e.Quantity == 13 {
			panic("thirteen")
		}
		d.Sum += r.Event.(inventory.Received).Quantity
		return nil, nil
	}, nil)
}

func TestFailedFoldLeavesNoTrace(t *testing.T) {
	broken := true
	m := brokenModel(&broken)
	s := newScript()
	store := newMemory()
	e := s.side(store, func(o *Options) { o.Models = []*Model{m} })
	for _, q := range []int64{1, 2, 13, 4} {
		s.append("inventory-A", inventory.Received{Quantity: q})
	}
	deliver(t, e, s.deliveries())
	documents, err := store.Load(t.Context(), "broken_1", []string{"A"})
	if err != nil || len(documents) != 1 || string(documents[0].Body) != `{"Sum":3,"Half":2}` || documents[0].Version != 2 {
		t.Fatalf("%+v, %v", documents, err)
	}
	broken = false
	if healed, err := e.Operations().Retry(t.Context(), "broken", nil); err != nil || healed.Healed != 1 {
		t.Fatalf("%+v, %v", healed, err)
	}
	documents, err = store.Load(t.Context(), "broken_1", []string{"A"})
	if err != nil || string(documents[0].Body) != `{"Sum":20,"Half":4}` {
		t.Fatalf("%+v, %v", documents, err)
	}
}

func TestDamagedDocumentBlocksItsStream(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	s.append("inventory-A", inventory.Received{Quantity: 1})
	deliver(t, e, s.deliveries())
	if _, err := store.Write(t.Context(), "stock_levels_1", []Put{{Document: Document{ID: "A", Version: 2, Sources: map[string]int64{"inventory-A": 0}, Body: []byte(`{"onHand":"many"}`)}, IfVersion: 1}}); err != nil {
		t.Fatal(err)
	}
	r := s.append("inventory-A", inventory.Received{Quantity: 1})
	deliver(t, e, []domain.Delivery{{Recorded: r}})
	if blocked, err := e.Operations().Blocked(t.Context(), "stock_levels", 0); err != nil || len(blocked) != 1 || blocked[0].Revision != 1 {
		t.Errorf("%+v, %v", blocked, err)
	}
}

// Of a stream that the damaged document has nothing of yet the first event is the one that waits.
func TestDamagedDocumentBlocksStreamsThatAreNewToIt(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	if err := e.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(t.Context(), "order_details_1", []Put{{Document: Document{ID: "1", Version: 1, Sources: map[string]int64{"order-1": 0}, Body: []byte(`{"order":"lost"}`)}}}); err != nil {
		t.Fatal(err)
	}
	deliver(t, e, []domain.Delivery{{Recorded: s.append("fulfilment-1", fulfilment.Started{})}})
	if blocked, err := e.Operations().Blocked(t.Context(), "order_details", 0); err != nil || len(blocked) != 1 || blocked[0].Revision != 0 || blocked[0].EventID == "" {
		t.Errorf("%+v, %v", blocked, err)
	}
}
