package application

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// shop is a service with a catalogue: A at 10 EUR, B at 20 USD, W withdrawn.
func shop(t *testing.T, store EventStore) *Service {
	t.Helper()
	s := NewService(store, quick())
	for _, p := range []ListProduct{
		{SKU: "A", Name: "Apple", UnitPrice: 1000, Currency: "EUR"},
		{SKU: "B", Name: "Banana", UnitPrice: 2000, Currency: "USD"},
		{SKU: "W", Name: "Walnut", UnitPrice: 3000, Currency: "EUR"},
	} {
		if _, err := s.ListProduct(t.Context(), Command{}, p); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.WithdrawProduct(t.Context(), Command{}, "W"); err != nil {
		t.Fatal(err)
	}
	return s
}

func price(n int64) *int64 { return &n }

func TestWhatALineCosts(t *testing.T) {
	s := shop(t, newScripted())
	customer, clerk := Command{Customer: "c1"}, Command{MayPrice: true}
	tests := []struct {
		name    string
		command Command
		item    NewLine
		want    order.Line
		code    string // of the refusal
		field   string // of the finding, in an order and as an item
	}{
		{name: "a customer takes the catalogue's price", command: customer, item: NewLine{SKU: "A"},
			want: order.Line{SKU: "A", Name: "Apple", UnitPrice: 1000}},
		{name: "a customer names it", command: customer, item: NewLine{SKU: "A", UnitPrice: price(1000), Name: "My apple"},
			want: order.Line{SKU: "A", Name: "My apple", UnitPrice: 1000}},
		{name: "a customer names another", command: customer, item: NewLine{SKU: "A", UnitPrice: price(1)}, code: "price_changed"},
		{name: "a customer names nothing for free", command: customer, item: NewLine{SKU: "A", UnitPrice: price(0)}, code: "price_changed"},
		{name: "a customer and an unknown product", command: customer, item: NewLine{SKU: "X", UnitPrice: price(1)}, code: "invalid_request", field: "sku"},
		{name: "a customer and a withdrawn product", command: customer, item: NewLine{SKU: "W", UnitPrice: price(3000)}, code: "invalid_request", field: "sku"},
		{name: "a customer and another currency", command: customer, item: NewLine{SKU: "B"}, code: "invalid_request", field: "sku"},
		{name: "a clerk takes the catalogue's price", command: clerk, item: NewLine{SKU: "A"},
			want: order.Line{SKU: "A", Name: "Apple", UnitPrice: 1000}},
		{name: "a clerk names it", command: clerk, item: NewLine{SKU: "A", UnitPrice: price(1000)},
			want: order.Line{SKU: "A", Name: "Apple", UnitPrice: 1000}},
		{name: "a clerk names another, on record", command: clerk, item: NewLine{SKU: "A", UnitPrice: price(900)},
			want: order.Line{SKU: "A", Name: "Apple", UnitPrice: 900, CataloguePrice: price(1000)}},
		{name: "a clerk names one for an unknown product", command: clerk, item: NewLine{SKU: "X", UnitPrice: price(5)},
			want: order.Line{SKU: "X", UnitPrice: 5}},
		{name: "a clerk names one for a withdrawn product", command: clerk, item: NewLine{SKU: "W", UnitPrice: price(5)},
			want: order.Line{SKU: "W", UnitPrice: 5}},
		{name: "a clerk names one in another currency", command: clerk, item: NewLine{SKU: "B", UnitPrice: price(5)},
			want: order.Line{SKU: "B", Name: "Banana", UnitPrice: 5}},
		{name: "a clerk leaves out what the catalogue lacks", command: clerk, item: NewLine{SKU: "X"}, code: "invalid_request", field: "unitPrice"},
		{name: "a clerk leaves out what has another currency", command: clerk, item: NewLine{SKU: "B"}, code: "invalid_request", field: "unitPrice"},
		{name: "a quantity of zero", command: customer, item: NewLine{SKU: "A", Quantity: -2}, code: "invalid_request", field: "quantity"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.item.Quantity += 2
			test.want.Quantity = test.item.Quantity
			create := CreateOrder{CustomerID: "c1", AccountID: uuid.NewString(), Currency: "EUR"}
			create.Items = []NewLine{{SKU: "FILLER", Quantity: 1, UnitPrice: price(1)}}
			base, err := s.CreateOrder(t.Context(), clerk, create)
			if err != nil {
				t.Fatal(err)
			}

			create.Items = []NewLine{test.item}
			made, err := s.CreateOrder(t.Context(), test.command, create)
			check(t, "created", made, err, 0, test.want, test.code, "/items/0/"+test.field)
			added, err := s.AddItem(t.Context(), test.command, base.ID, test.item)
			check(t, "added", added, err, 1, test.want, test.code, "/"+test.field)
		})
	}
}

func check(t *testing.T, how string, r Result[order.Order], err error, line int, want order.Line, code, pointer string) {
	t.Helper()
	if code == "" {
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if diff := cmp.Diff(want, r.State.Items[line]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", how, diff)
		}
		return
	}
	if domain.CodeOf(err) != code {
		t.Fatalf("%s: %v, want %s", how, err, code)
	}
	if refusal := err.(*domain.Error); code == "invalid_request" && (len(refusal.Fields) != 1 || refusal.Fields[0].Pointer != pointer) {
		t.Errorf("%s: findings %+v, want one at %s", how, refusal.Fields, pointer)
	}
}

func TestAClosedOrderIsSaidBeforeItsPrices(t *testing.T) {
	s := shop(t, newScripted())
	made, err := s.CreateOrder(t.Context(), Command{}, CreateOrder{
		CustomerID: "c1", AccountID: uuid.NewString(), Currency: "EUR", Items: []NewLine{{SKU: "A", Quantity: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.CancelOrder(t.Context(), Command{}, made.ID, "changed my mind"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddItem(t.Context(), Command{}, made.ID, NewLine{SKU: "X", Quantity: 1}); domain.CodeOf(err) != "order_not_open" {
		t.Errorf("got %v", err)
	}
}

// A repeat answers with the price of then, whatever the catalogue says now.
func TestARepeatKeepsItsPrice(t *testing.T) {
	store := newScripted()
	s := shop(t, store)
	command := keyed("createOrder", "k", "x")
	command.Customer = "c1"
	in := CreateOrder{
		CustomerID: "c1", AccountID: uuid.NewString(), Currency: "EUR", Items: []NewLine{{SKU: "A", Quantity: 1, UnitPrice: price(1000)}},
	}
	first, err := s.CreateOrder(t.Context(), command, in)
	if err != nil {
		t.Fatal(err)
	}
	// On another replica: what this one remembers of the catalogue must not count.
	if _, err := NewService(store, quick()).ChangePrice(t.Context(), Command{}, "A", 1100, "EUR"); err != nil {
		t.Fatal(err)
	}
	again, err := s.CreateOrder(t.Context(), command, in)
	if err != nil || !again.Replayed || again.ID != first.ID || again.State.Total != 1000 {
		t.Errorf("%+v, %v", again, err)
	}
	command.ID = CommandID("ann", "k2")
	if _, err := s.CreateOrder(t.Context(), command, in); domain.CodeOf(err) != "price_changed" {
		t.Errorf("got %v", err)
	}
}
