package order_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

func TestEveryListedEventFolds(t *testing.T) {
	for _, e := range order.Events() {
		if given(e).UpdatedAt.IsZero() {
			t.Errorf("%s does not fold", e.EventType())
		}
	}
}

type stranger struct{}

func (stranger) EventType() string { return "Stranger" }

func TestAStrangersEventChangesNothing(t *testing.T) {
	before := given(created(line("A", 1, 1)))
	for _, e := range []domain.Event{stranger{}, nil} {
		if diff := cmp.Diff(before, before.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: at(9)}})); diff != "" {
			t.Error(diff)
		}
	}
}

var someSKU = rapid.SampledFrom([]string{"A", "B", "C", "D"})

func someLine(t *rapid.T) order.Line {
	return order.Line{
		SKU:       someSKU.Draw(t, "sku"),
		Quantity:  rapid.OneOf(rapid.Int64Range(1, 5), rapid.Int64Range(1, domain.MaxQuantity)).Draw(t, "quantity"),
		UnitPrice: rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, domain.MaxAmount)).Draw(t, "price"),
	}
}

// decide draws a command and lets the order decide it.
func decide(t *rapid.T, o order.Order) ([]domain.Event, error) {
	switch rapid.SampledFrom([]string{"create", "add", "add", "remove", "confirm", "prepare", "ship", "cancel"}).Draw(t, "command") {
	case "create":
		if o.Status != "" {
			return nil, nil
		}
		return order.Create(created(someLine(t)))
	case "add":
		return o.AddItem(someLine(t))
	case "remove":
		var quantity *int64
		if rapid.Bool().Draw(t, "some") {
			quantity = ptr(rapid.Int64Range(0, 6).Draw(t, "quantity"))
		}
		return o.RemoveItem(someSKU.Draw(t, "sku"), quantity)
	case "confirm":
		return o.Confirm()
	case "prepare":
		return o.Prepare()
	case "ship":
		return o.Ship("UPS", "T")
	default:
		return o.Cancel("because")
	}
}

func TestRandomCommandsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := given()
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			before := o
			events, err := decide(t, o)
			if err != nil && len(events) > 0 {
				t.Fatalf("refused and decided: %v", err)
			}
			for _, e := range events {
				o = o.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: at(1)}})
			}
			if o.Status == "" {
				continue
			}
			checkRules(t, before, o)
		}
	})
}

func checkRules(t *rapid.T, before, o order.Order) {
	var total, pieces int64
	seen := map[string]bool{}
	for _, l := range o.Items {
		if seen[l.SKU] || l.Quantity < 1 || l.Quantity > domain.MaxQuantity || l.UnitPrice < 0 {
			t.Fatalf("line %+v of %+v", l, o.Items)
		}
		seen[l.SKU] = true
		total, pieces = total+l.Total(), pieces+l.Quantity
	}
	if total != o.Total || pieces != o.TotalItems || total > domain.MaxAmount || len(o.Items) > order.MaxLines {
		t.Fatalf("totals of %+v", o)
	}
	if before.Status != "" && before.Status != order.StatusCreated && !reflect.DeepEqual(before.Items, o.Items) {
		t.Fatalf("lines changed after confirmation: %+v to %+v", before, o)
	}
	if o.ConfirmedAt != nil && len(o.Items) == 0 {
		t.Fatalf("confirmed without lines: %+v", o)
	}
}

func anyEvent(t *rapid.T) domain.Event {
	sku, n := rapid.SampledFrom([]string{"A", "B", ""}).Draw(t, "sku"), rapid.Int64().Draw(t, "n")
	switch e := rapid.SampledFrom(order.Events()).Draw(t, "event").(type) {
	case order.Created:
		e.Items = []order.Line{{SKU: sku, Quantity: n, UnitPrice: n}, {SKU: sku, Quantity: 1}}
		return e
	case order.ItemAdded:
		return order.ItemAdded{Line: order.Line{SKU: sku, Quantity: n, UnitPrice: n}}
	case order.ItemRemoved:
		return order.ItemRemoved{SKU: sku, Quantity: n}
	default:
		return e
	}
}

// Any history folds without panic, leaves the states before untouched, and survives being a snapshot.
func TestAnyHistoryFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order.Order
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			before, _ := json.Marshal(o)
			r := domain.Recorded{Event: anyEvent(t), Meta: domain.Meta{At: at(1)}}
			next := o.Apply(r)
			if after, _ := json.Marshal(o); string(before) != string(after) {
				t.Fatalf("Apply changed the state it came from: %s to %s", before, after)
			}
			var restored order.Order
			if err := json.Unmarshal(before, &restored); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(next)
			if got, _ := json.Marshal(restored.Apply(r)); string(got) != string(want) {
				t.Fatalf("after a snapshot %s, else %s", got, want)
			}
			o = next
		}
	})
}
