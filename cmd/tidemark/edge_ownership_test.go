package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatIsAnothersDoesNotExist goes through everything that customers may call, with their own things
// and with another's: own ones are there, others' are 404, unknown ones too, and no refusal leaves a trace.
func TestWhatIsAnothersDoesNotExist(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{keys: true})
	clerk := e.as("clerk", "carl")
	e.token = clerk
	ann, ben := e.furnish("ann"), e.furnish("ben")
	for _, s := range []shop{ann, ben} {
		done := e.order(s)
		e.send("POST", "/v1/orders/"+done+"/confirm", nil).expect(http.StatusOK, "")
		e.until("the order is prepared", patience, func() bool {
			return e.send("GET", "/v1/fulfilments/"+done, nil).status == http.StatusOK && e.send("GET", "/v1/fulfilments/"+done, nil).json()["status"] == "prepared"
		})
	}
	unknown := shop{order: "0199a1b2-dead-7e5f-8a6b-7c8d9e0f1a2b", account: "0199a1b2-dead-7a00-8000-00000000acc1", customer: "nobody", sku: ann.sku}
	reads := func(s shop) []string {
		return []string{
			"/v1/orders/" + s.order, "/v1/orders/" + s.order + "/history", "/v1/orders/" + s.order + "?revision=0", "/v1/orders/" + s.order + "?asOf=2100-01-01T00:00:00Z",
			"/v1/accounts/" + s.account, "/v1/accounts/" + s.account + "/statement", "/v1/accounts/" + s.account + "/history", "/v1/accounts/" + s.account + "?revision=0",
			"/v1/customers/" + s.customer, "/v1/customers/" + s.customer + "/orders",
		}
	}
	type command struct{ method, path, body string }
	commands := func(s shop) []command {
		o, a := "/v1/orders/"+s.order, "/v1/accounts/"+s.account
		return []command{
			{"POST", o + "/items", fmt.Sprintf(`{"sku":%q,"quantity":1,"unitPrice":450}`, s.sku)}, {"DELETE", o + "/items/" + s.sku + "?quantity=1", ""},
			{"POST", a + "/deposits", `{"amount":5,"currency":"EUR"}`}, {"POST", a + "/withdrawals", `{"amount":5,"currency":"EUR"}`},
			{"POST", o + "/cancel", `{"reason":"changed my mind"}`},
		}
	}
	e.token = e.as("customer", "ann")
	before := e.events()
	for name, other := range map[string]shop{"another's": ben, "unknown": unknown} {
		for _, path := range reads(other) {
			if got := e.send("GET", path, nil); got.status != http.StatusNotFound || got.code() != "not_found" {
				t.Errorf("%s: GET %s: %d %s", name, path, got.status, got.body)
			}
			got := e.send("GET", path, nil, "Accept", "text/event-stream")
			if strings.Contains(path, "?") { // the past has no stream
				continue
			}
			if got.status != http.StatusNotFound {
				t.Errorf("%s: stream of %s: %d %s", name, path, got.status, got.body)
			}
		}
		for _, c := range append(commands(other), command{"POST", "/v1/accounts/" + other.account + "/close", ""}, command{"POST", "/v1/orders/" + other.order + "/confirm", ""}) {
			for _, headers := range [][]string{nil, {"Idempotency-Key", "k-" + name + c.path}, {"If-Match", `"0"`}, {"If-Match", `"99"`}} {
				got := e.send(c.method, c.path, c.body, headers...)
				if got.status != http.StatusNotFound || got.header.Get("ETag") != "" || strings.Contains(string(got.body), "currentRevision") {
					t.Errorf("%s: %s %s %v: %d %s", name, c.method, c.path, headers, got.status, got.body)
				}
			}
		}
	}
	e.send("POST", "/v1/accounts", `{"customerId":"ben","currency":"EUR"}`).expect(http.StatusForbidden, "forbidden")
	e.send("POST", "/v1/orders", e.orderBody(ben)).expect(http.StatusForbidden, "forbidden")
	if diff := cmp.Diff(before, e.events()); diff != "" {
		t.Errorf("refusals left a trace:\n%s", diff)
	}
	for _, path := range reads(ann) {
		e.send("GET", path, nil).expect(http.StatusOK, "")
	}
	for _, list := range []string{"/v1/orders", "/v1/orders?customerId=ben", "/v1/fulfilments", "/v1/fulfilments?status=prepared"} {
		if got := e.send("GET", list, nil).expect(http.StatusOK, ""); strings.Contains(string(got.body), ben.order) || strings.Contains(string(got.body), `"ben"`) {
			t.Errorf("%s shows what is ben's: %s", list, got.body)
		}
	}
	for _, c := range commands(ann) {
		e.send(c.method, c.path, c.body).expect(http.StatusOK, "")
	}
	e.send("GET", "/v1/orders", nil, "Tidemark", e.send("POST", "/v1/orders", e.orderBody(ann)).expect(http.StatusCreated, "").header.Get("Tidemark")).expect(http.StatusOK, "")
	e.token = clerk
	for _, s := range []shop{ann, ben} {
		for _, path := range reads(s) {
			e.send("GET", path, nil).expect(http.StatusOK, "")
		}
	}
}

// TestCustomersDoNotChoosePrices: the trap of the shop that believes its buyers.
func TestCustomersDoNotChoosePrices(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{keys: true})
	e.token = e.as("clerk", "carl")
	s := e.furnish("ann")
	order := func(price int, sku string) map[string]any {
		return map[string]any{"customerId": "ann", "accountId": s.account, "currency": "EUR", "items": []any{map[string]any{"sku": sku, "quantity": 1, "unitPrice": price}}}
	}
	clerks := e.send("POST", "/v1/orders", order(1, s.sku)).expect(http.StatusCreated, "").json()
	if line := clerks["items"].([]any)[0].(map[string]any); line["unitPrice"] != 1.0 || line["cataloguePrice"] != 450.0 {
		t.Errorf("the override is not on record: %v", line)
	}
	e.token = e.as("customer", "ann")
	for _, price := range []int{0, 1, 449, 451} {
		e.send("POST", "/v1/orders", order(price, s.sku)).expect(http.StatusConflict, "price_changed")
		e.send("POST", "/v1/orders/"+s.order+"/items", map[string]any{"sku": s.sku, "quantity": 1, "unitPrice": price}).expect(http.StatusConflict, "")
	}
	got := e.send("POST", "/v1/orders", order(450, "NOT-SOLD")).expect(http.StatusUnprocessableEntity, "invalid_request")
	if !strings.Contains(string(got.body), "/items/0/sku") {
		t.Errorf("%s", got.body)
	}
	e.send("POST", "/v1/orders", order(450, s.sku)).expect(http.StatusCreated, "")
	e.send("POST", "/v1/products/"+s.sku+"/price", `{"unitPrice":1,"currency":"EUR"}`).expect(http.StatusForbidden, "forbidden")
	e.token = e.as("clerk", "carl")
	e.send("POST", "/v1/products/"+s.sku+"/price", `{"unitPrice":500,"currency":"EUR"}`).expect(http.StatusOK, "")
	e.token = e.as("customer", "ann")
	e.send("POST", "/v1/orders", order(450, s.sku)).expect(http.StatusConflict, "price_changed")
}
