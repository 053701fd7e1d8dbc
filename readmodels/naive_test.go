package readmodels

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// naive is a second reading of the log, written apart from the folds: plain maps, no state shared with
// an aggregate or a read model, no helper of theirs.
type naive struct {
	orders   map[string]map[string]any
	lines    map[string][]naiveLine
	stock    map[string][2]int64 // on hand, reserved
	accounts map[string]map[string]any
	products map[string]map[string]any
	sales    map[string][6]int64 // by day and currency
	entries  map[string]int
	audited  int
}

type naiveLine struct {
	sku         string
	pieces, per int64
}

func readNaively(events []domain.Recorded) naive {
	n := naive{orders: map[string]map[string]any{}, lines: map[string][]naiveLine{}, stock: map[string][2]int64{}, accounts: map[string]map[string]any{},
		products: map[string]map[string]any{}, sales: map[string][6]int64{}, entries: map[string]int{}}
	for _, r := range events {
		n.audited++
		id := r.Stream[len(domain.Category(r.Stream))+1:]
		switch domain.Category(r.Stream) {
		case "order":
			n.order(id, r)
		case "inventory":
			n.pieces(id, r)
		case "account":
			n.money(id, r)
		case "product":
			n.product(id, r)
		}
	}
	return n
}

func (n naive) order(id string, r domain.Recorded) {
	o := n.orders[id]
	if o == nil {
		o = map[string]any{"status": "", "confirmed": false}
		n.orders[id] = o
	}
	at := r.Meta.At.Format("2006-01-02T15:04:05.000000Z07:00")
	count := func(counter int, sign int64) {
		key := at[:10] + " " + o["currency"].(string)
		day := n.sales[key]
		day[counter]++
		if sign != 0 {
			for _, l := range n.lines[id] {
				day[4] += sign * l.pieces
				day[5] += sign * l.pieces * l.per
			}
		}
		n.sales[key] = day
	}
	switch e := r.Event.(type) {
	case order.Created:
		o["status"], o["customerId"], o["currency"], o["createdAt"] = "created", e.CustomerID, e.Currency, at
		n.lines[id] = []naiveLine{{e.Items[0].SKU, e.Items[0].Quantity, e.Items[0].UnitPrice}}
		count(0, 0)
	case order.ItemAdded:
		for i, l := range n.lines[id] {
			if l.sku == e.SKU {
				n.lines[id][i].pieces += e.Quantity
				e.Quantity = 0
			}
		}
		if e.Quantity > 0 {
			n.lines[id] = append(n.lines[id], naiveLine{e.SKU, e.Quantity, e.UnitPrice})
		}
	case order.ItemRemoved:
		var left []naiveLine
		for _, l := range n.lines[id] {
			if l.sku == e.SKU {
				l.pieces -= e.Quantity
			}
			if l.pieces > 0 {
				left = append(left, l)
			}
		}
		n.lines[id] = left
	case order.Confirmed:
		o["status"], o["confirmed"] = "confirmed", true
		count(1, 1)
	case order.Prepared:
		o["status"] = "prepared"
	case order.Shipped:
		o["status"] = "shipped"
		count(2, 0)
	case order.Cancelled:
		o["status"] = "cancelled"
		if o["confirmed"].(bool) {
			count(3, -1)
		} else {
			count(3, 0)
		}
	}
	o["revision"] = r.Revision
}

func (n naive) pieces(sku string, r domain.Recorded) {
	s := n.stock[sku]
	switch e := r.Event.(type) {
	case inventory.Received:
		s[0] += e.Quantity
	case inventory.Damaged:
		s[0] -= e.Quantity
	case inventory.Reserved:
		s[1] += e.Quantity
	case inventory.Released:
		s[1] -= e.Quantity
	case inventory.Shipped:
		s[0], s[1] = s[0]-e.Quantity, s[1]-e.Quantity
	}
	n.stock[sku] = s
}

func (n naive) money(id string, r domain.Recorded) {
	a := n.accounts[id]
	if a == nil {
		a = map[string]any{"balance": int64(0), "status": "open"}
		n.accounts[id] = a
	}
	switch e := r.Event.(type) {
	case account.Opened:
		a["limit"] = e.OverdraftLimit
	case account.Deposited:
		a["balance"] = a["balance"].(int64) + e.Amount
		n.entries[id]++
	case account.Withdrawn:
		a["balance"] = a["balance"].(int64) - e.Amount
		n.entries[id]++
	case account.Credited:
		a["balance"] = a["balance"].(int64) + e.Amount
		n.entries[id]++
	case account.Closed:
		a["status"] = "closed"
	}
}

func (n naive) product(sku string, r domain.Recorded) {
	switch e := r.Event.(type) {
	case product.Listed:
		n.products[sku] = map[string]any{"unitPrice": e.UnitPrice, "status": "listed"}
	case product.PriceChanged:
		n.products[sku]["unitPrice"] = e.UnitPrice
	case product.Withdrawn:
		n.products[sku]["status"] = "withdrawn"
	}
}

// ask puts a question to a screen and gives its answer as a client would decode it.
func ask(t interface {
	Helper()
	Fatalf(string, ...any)
}, r *Reader, ctx interface{ Context() context.Context }, operation string, question Ask) (body map[string]any, items []map[string]any) {
	t.Helper()
	for _, screen := range Screens() {
		if screen.Operation != operation {
			continue
		}
		answer, err := screen.Answer(ctx.Context(), r, question)
		if err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
		text, err := json.Marshal(map[string]any{"body": answer.Body, "items": answer.Items})
		if err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
		var decoded struct {
			Body  map[string]any
			Items []map[string]any
		}
		if err := json.Unmarshal(text, &decoded); err != nil {
			t.Fatalf("%s: %v", operation, err)
		}
		return decoded.Body, decoded.Items
	}
	t.Fatalf("no screen answers %s", operation)
	return nil, nil
}

// number reads a field as a client would.
func number(m map[string]any, field string) int64 { return int64(m[field].(float64)) }

// TestScreensAgreeWithANaiveReading compares what every screen shows with a second implementation.
func TestScreensAgreeWithANaiveReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 80)
		e := s.side(newMemory())
		deliver(t, e, rapid.Permutation(s.deliveries()).Draw(t, "deliveries"))
		n := readNaively(s.events())
		n.compareOrders(t, e.Reader())
		n.compareRest(t, e.Reader())
	})
}

func (n naive) compareOrders(t *rapid.T, r *Reader) {
	counts, spent := map[string]int64{}, map[string]map[string]int64{}
	for id, o := range n.orders {
		body, _ := ask(t, r, t, "getOrder", Ask{Params: map[string]string{"id": id}})
		var total, pieces int64
		for _, l := range n.lines[id] {
			total, pieces = total+l.pieces*l.per, pieces+l.pieces
		}
		want := fmt.Sprint(o["status"], o["customerId"], o["currency"], o["createdAt"], o["revision"], total, pieces, len(n.lines[id]))
		got := fmt.Sprint(body["status"], body["customerId"], body["currency"], body["createdAt"], number(body, "revision"), number(body, "total"), number(body, "totalItems"), len(body["items"].([]any)))
		if got != want {
			t.Fatalf("order %s shows %s, want %s", id, got, want)
		}
		counts[o["status"].(string)]++
		if o["confirmed"].(bool) && o["status"] != "cancelled" && total != 0 {
			customer := o["customerId"].(string)
			if spent[customer] == nil {
				spent[customer] = map[string]int64{}
			}
			spent[customer][o["currency"].(string)] += total
		}
	}
	board, _ := ask(t, r, t, "getBoard", Ask{})
	for status, count := range counts {
		if got := number(board["counts"].(map[string]any), status); got != count {
			t.Fatalf("the board counts %d %s, want %d", got, status, count)
		}
	}
	for customer, sums := range spent {
		body, _ := ask(t, r, t, "getCustomer", Ask{Params: map[string]string{"id": customer}})
		for currency, sum := range sums {
			if got := number(body["spent"].(map[string]any), currency); got != sum {
				t.Fatalf("customer %s spent %d %s, want %d", customer, got, currency, sum)
			}
		}
	}
	if _, rows := ask(t, r, t, "listOrders", Ask{}); len(rows) != len(n.orders) {
		t.Fatalf("%d orders are listed, want %d", len(rows), len(n.orders))
	}
}

func (n naive) compareRest(t *rapid.T, r *Reader) {
	for sku, s := range n.stock {
		body, _ := ask(t, r, t, "getStock", Ask{Params: map[string]string{"sku": sku}})
		if got, want := fmt.Sprint(number(body, "onHand"), number(body, "reserved"), number(body, "available"), body["lowStock"]), fmt.Sprint(s[0], s[1], s[0]-s[1], s[0]-s[1] < 10); got != want {
			t.Fatalf("stock of %s is %s, want %s", sku, got, want)
		}
	}
	for id, a := range n.accounts {
		body, _ := ask(t, r, t, "getAccount", Ask{Params: map[string]string{"id": id}})
		if got, want := fmt.Sprint(number(body, "balance"), number(body, "available"), body["status"]), fmt.Sprint(a["balance"], a["balance"].(int64)+a["limit"].(int64), a["status"]); got != want {
			t.Fatalf("account %s is %s, want %s", id, got, want)
		}
		if _, entries := ask(t, r, t, "getAccountStatement", Ask{Params: map[string]string{"id": id}, Limit: 200}); len(entries) != n.entries[id] {
			t.Fatalf("account %s has %d entries, want %d", id, len(entries), n.entries[id])
		}
	}
	for sku, p := range n.products {
		body, _ := ask(t, r, t, "getProduct", Ask{Params: map[string]string{"sku": sku}})
		if got, want := fmt.Sprint(number(body, "unitPrice"), body["status"]), fmt.Sprint(p["unitPrice"], p["status"]); got != want {
			t.Fatalf("product %s is %s, want %s", sku, got, want)
		}
	}
	sales := map[string][6]int64{}
	_, days := ask(t, r, t, "listSales", Ask{Limit: 200})
	for _, d := range days {
		sales[d["day"].(string)+" "+d["currency"].(string)] = [6]int64{number(d, "created"), number(d, "confirmed"), number(d, "shipped"), number(d, "cancelled"), number(d, "units"), number(d, "revenue")}
	}
	if diff := cmp.Diff(n.sales, sales); diff != "" {
		t.Fatalf("sales differ (-want +shown):\n%s", diff)
	}
	if _, events := ask(t, r, t, "listAudit", Ask{Limit: 200}); len(events) != n.audited {
		t.Fatalf("the audit log has %d events, want %d", len(events), n.audited)
	}
}
