package order_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

const account = "0198c1f2-7b3a-7c4d-8e5f-60718293a4b5"

func at(i int) time.Time { return time.Date(2026, 3, 1, 9, 0, i, 0, time.UTC) }

// given folds events, one second apart.
func given(events ...domain.Event) order.Order {
	var o order.Order
	for i, e := range events {
		o = o.Apply(domain.Recorded{Event: e, Revision: int64(i), Meta: domain.Meta{At: at(i)}})
	}
	return o
}

func line(sku string, quantity, price int64) order.Line {
	return order.Line{SKU: sku, Quantity: quantity, UnitPrice: price}
}

func created(lines ...order.Line) order.Created {
	return order.Created{CustomerID: "c-1", AccountID: account, Currency: "EUR", Items: lines}
}

func lines(n int) []order.Line {
	all := make([]order.Line, n)
	for i := range all {
		all[i] = line(fmt.Sprintf("S%d", i), 1, 1)
	}
	return all
}

func ptr(n int64) *int64 { return &n }

// outcome is "ok", or a refusal's code with the pointers of its findings.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	words := []string{domain.CodeOf(err)}
	if e, ok := err.(*domain.Error); ok {
		for _, f := range e.Fields {
			words = append(words, f.Pointer)
		}
	}
	return strings.Join(words, " ")
}

func TestCreate(t *testing.T) {
	with := func(change func(*order.Created)) order.Created {
		c := created(line("A", 1, 100))
		change(&c)
		return c
	}
	for _, c := range []struct {
		name string
		in   order.Created
		want string
	}{
		{"one line", created(line("A", 1, 0)), "ok"},
		{"200 lines", created(lines(200)...), "ok"},
		{"most pieces", created(line("A", domain.MaxQuantity, 1)), "ok"},
		{"largest total", created(line("A", 1, domain.MaxAmount)), "ok"},
		{"address as text", with(func(c *order.Created) { c.Address = "Main St 1\nTown" }), "ok"},
		{"address as object", with(func(c *order.Created) { c.Address = map[string]any{"street": "Main St 1"} }), "ok"},
		{"no line", created(), "invalid_request /items"},
		{"201 lines", created(lines(201)...), "invalid_request /items"},
		{"same SKU twice", created(line("A", 1, 1), line("B", 1, 1), line("A", 1, 1)), "invalid_request /items/2/sku"},
		{"no pieces", created(line("A", 0, 1)), "invalid_request /items/0/quantity"},
		{"too many pieces", created(line("A", domain.MaxQuantity+1, 1)), "invalid_request /items/0/quantity"},
		{"negative price", created(line("A", 1, -1)), "invalid_request /items/0/unitPrice"},
		{"lower-case SKU", created(line("a", 1, 1)), "invalid_request /items/0/sku"},
		{"line beyond the largest total", created(line("A", 2, domain.MaxAmount)), "invalid_request /items"},
		{"sum beyond the largest total", created(line("A", 1, domain.MaxAmount), line("B", 1, 1)), "invalid_request /items"},
		{"line that overflows", created(line("A", domain.MaxQuantity, domain.MaxAmount)), "invalid_request /items"},
		{"everything wrong", order.Created{Items: lines(1), Note: strings.Repeat("x", 2001), Address: 7},
			"invalid_request /customerId /accountId /currency /note /shippingAddress"},
		{"address of numbers", with(func(c *order.Created) { c.Address = map[string]any{"a/b": 1.0, "c~": "fine"} }), "invalid_request /shippingAddress/a~1b"},
		{"name too long", created(order.Line{SKU: "A", Quantity: 1, Name: strings.Repeat("ä", 201)}), "invalid_request /items/0/name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			events, err := order.Create(c.in)
			if got := outcome(err); got != c.want {
				t.Fatalf("got %s, want %s", got, c.want)
			}
			if err == nil {
				if diff := cmp.Diff([]domain.Event{c.in}, events); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// history brings an order to each status.
var history = map[order.Status][]domain.Event{
	"":                    {},
	order.StatusCreated:   {created(line("A", 2, 100))},
	order.StatusConfirmed: {created(line("A", 2, 100)), order.Confirmed{}},
	order.StatusPrepared:  {created(line("A", 2, 100)), order.Confirmed{}, order.Prepared{}},
	order.StatusShipped:   {created(line("A", 2, 100)), order.Confirmed{}, order.Prepared{}, order.Shipped{Carrier: "DHL", TrackingNumber: "1"}},
	order.StatusCancelled: {created(line("A", 2, 100)), order.Cancelled{Reason: "changed my mind"}},
}

func TestEveryDecisionInEveryStatus(t *testing.T) {
	const open, path = "order_not_open", "invalid_transition"
	for _, c := range []struct {
		name   string
		decide func(order.Order) ([]domain.Event, error)
		event  domain.Event
		want   map[order.Status]string
	}{
		{"add", func(o order.Order) ([]domain.Event, error) { return o.AddItem(line("B", 1, 5)) }, order.ItemAdded{Line: line("B", 1, 5)},
			map[order.Status]string{"": "not_found", "created": "ok", "confirmed": open, "prepared": open, "shipped": open, "cancelled": open}},
		{"remove", func(o order.Order) ([]domain.Event, error) { return o.RemoveItem("A", nil) }, order.ItemRemoved{SKU: "A", Quantity: 2},
			map[order.Status]string{"": "not_found", "created": "ok", "confirmed": open, "prepared": open, "shipped": open, "cancelled": open}},
		{"confirm", order.Order.Confirm, order.Confirmed{},
			map[order.Status]string{"": "not_found", "created": "ok", "confirmed": path, "prepared": path, "shipped": path, "cancelled": path}},
		{"prepare", order.Order.Prepare, order.Prepared{},
			map[order.Status]string{"": "not_found", "created": path, "confirmed": "ok", "prepared": path, "shipped": path, "cancelled": path}},
		{"ship", func(o order.Order) ([]domain.Event, error) { return o.Ship("UPS", "T") }, order.Shipped{Carrier: "UPS", TrackingNumber: "T"},
			map[order.Status]string{"": "not_found", "created": path, "confirmed": path, "prepared": "ok", "shipped": path, "cancelled": path}},
		{"cancel", func(o order.Order) ([]domain.Event, error) { return o.Cancel("why not") }, order.Cancelled{Reason: "why not"},
			map[order.Status]string{"": "not_found", "created": "ok", "confirmed": "ok", "prepared": "ok", "shipped": path, "cancelled": path}},
	} {
		for status, want := range c.want {
			t.Run(c.name+" when "+string(status), func(t *testing.T) {
				events, err := c.decide(given(history[status]...))
				if got := outcome(err); got != want {
					t.Fatalf("got %s, want %s", got, want)
				}
				if diff := cmp.Diff([]domain.Event{c.event}, events); want == "ok" && diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestLines(t *testing.T) {
	start := given(created(line("A", 2, 100), line("B", 1, 7)))
	full := given(created(lines(200)...))
	rich := given(created(line("A", 1, domain.MaxAmount-10)))
	empty := given(created(line("A", 1, 1)), order.ItemRemoved{SKU: "A", Quantity: 1})
	type result = []domain.Event
	for _, c := range []struct {
		name   string
		decide func() (result, error)
		want   string
	}{
		{"more of a line", func() (result, error) { return start.AddItem(line("A", 3, 100)) }, "ok"},
		{"at another price", func() (result, error) { return start.AddItem(line("A", 3, 99)) }, "price_mismatch"},
		{"line beyond its most", func() (result, error) { return start.AddItem(line("A", domain.MaxQuantity-1, 100)) }, "invalid_request /quantity"},
		{"line at its most", func() (result, error) { return start.AddItem(line("A", domain.MaxQuantity-2, 100)) }, "ok"},
		{"a line too many", func() (result, error) { return full.AddItem(line("X", 1, 1)) }, "too_many_lines"},
		{"more on a full order", func() (result, error) { return full.AddItem(line("S7", 1, 1)) }, "ok"},
		{"total at its most", func() (result, error) { return rich.AddItem(line("B", 10, 1)) }, "ok"},
		{"total beyond its most", func() (result, error) { return rich.AddItem(line("B", 11, 1)) }, "invalid_request /unitPrice"},
		{"bad input", func() (result, error) { return start.AddItem(line("", 0, -1)) }, "invalid_request /sku /quantity /unitPrice"},
		{"removing some", func() (result, error) { return start.RemoveItem("A", ptr(1)) }, "ok"},
		{"removing all by number", func() (result, error) { return start.RemoveItem("A", ptr(2)) }, "ok"},
		{"removing too many", func() (result, error) { return start.RemoveItem("A", ptr(3)) }, "quantity_exceeds_line"},
		{"removing none", func() (result, error) { return start.RemoveItem("A", ptr(0)) }, "invalid_request /quantity"},
		{"removing what isn't there", func() (result, error) { return start.RemoveItem("Z", nil) }, "item_not_in_order"},
		{"removing from an empty order", func() (result, error) { return empty.RemoveItem("A", nil) }, "item_not_in_order"},
		{"confirming an empty order", empty.Confirm, "order_empty"},
		{"cancelling an empty order", func() (result, error) { return empty.Cancel("x") }, "ok"},
		{"cancelling without reason", func() (result, error) { return start.Cancel(" ") }, "invalid_request /reason"},
		{"cancelling at length", func() (result, error) { return start.Cancel(strings.Repeat("ä", 200)) }, "ok"},
		{"cancelling at too great length", func() (result, error) { return start.Cancel(strings.Repeat("ä", 201)) }, "invalid_request /reason"},
		{"shipping by nobody", func() (result, error) { return start.Ship("", "") }, "invalid_request /carrier /trackingNumber"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.decide(); outcome(err) != c.want {
				t.Errorf("got %s, want %s", outcome(err), c.want)
			}
		})
	}
}

func TestFold(t *testing.T) {
	got := given(
		order.Created{CustomerID: "c", AccountID: account, Currency: "EUR", Items: []order.Line{line("A", 2, 100), line("B", 1, 7)}, Address: "here", Note: "n"},
		order.ItemAdded{Line: line("C", 5, 3)},
		order.ItemAdded{Line: line("A", 1, 100)},
		order.ItemRemoved{SKU: "B", Quantity: 1},
		order.ItemRemoved{SKU: "C", Quantity: 2},
		order.Confirmed{},
		order.Prepared{},
		order.Shipped{Carrier: "UPS", TrackingNumber: "T"},
	)
	five, six, seven := at(5), at(6), at(7)
	want := order.Order{
		CustomerID: "c", AccountID: account, Status: order.StatusShipped, Currency: "EUR",
		Items: []order.Line{line("A", 3, 100), line("C", 3, 3)}, Total: 309, TotalItems: 6,
		ShippingAddress: "here", Note: "n", CreatedAt: at(0), UpdatedAt: at(7),
		ConfirmedAt: &five, PreparedAt: &six, ShippedAt: &seven, Carrier: "UPS", TrackingNumber: "T",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	one := at(1)
	got = given(created(line("A", 1, 1)), order.Cancelled{Reason: "expired"})
	if got.Status != order.StatusCancelled || got.CancelReason != "expired" || !got.CancelledAt.Equal(one) {
		t.Errorf("cancelled: %+v", got)
	}
}
