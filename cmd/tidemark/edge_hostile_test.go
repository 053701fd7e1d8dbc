package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/httpapi/hostiletest"
)

// TestHostileRequestsChangeNothing sends every hostile request to the whole program, with things that are there: the
// status is that of a refusal, and there is not one event more in the log. How they are refused is tested in httpapi.
func TestHostileRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{})
	s := e.furnish("customer-42")
	names := strings.NewReplacer("{order}", s.order, "{account}", s.account, "{sku}", s.sku, "{group}", "customer_orders", "{model}", "customer_orders")
	before := e.events()
	all := hostiletest.All(t)
	addr := strings.TrimPrefix(e.app.url, "http://")
	for _, h := range all {
		response, text := h.Send(t, addr, names, patience)
		if status := response.StatusCode; status < 400 || status >= 500 || status != h.Status || !strings.Contains(string(text), h.Code) {
			t.Errorf("%s: %d, want %d %s\n%.400s", h.Name, status, h.Status, h.Code, text)
		}
	}
	if diff := cmp.Diff(before, e.events()); diff != "" {
		t.Errorf("%d hostile requests changed the log:\n%s", len(all), diff)
	}
	e.send("GET", "/v1/orders/"+s.order, nil).expect(http.StatusOK, "")
}
