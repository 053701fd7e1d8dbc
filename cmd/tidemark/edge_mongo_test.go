package main

import (
	"net/http"
	"strings"
	"testing"
)

// The whole program with its documents behind the wire protocol of MongoDB, set up as its settings say: what was
// written is on every screen that is asked with its tidemark, and the driver's commands are counted.
func TestTheProgramOverTheWireProtocol(t *testing.T) {
	t.Parallel()
	uri := ferretURI(t) + "tidemark"
	e := startEdge(t, edgeOptions{config: func(c *Config) {
		c.Documents, c.DocumentsSecondaryReads, c.AdminAddr = uri, "on", "127.0.0.1:0"
	}})
	s := e.furnish("ann")
	e.shown("/v1/orders/"+s.order, "/v1/orders?customerId=ann", "/v1/customers/ann/orders", "/v1/inventory/"+s.sku)
	got := e.send("GET", "/v1/customers/ann/orders", nil).expect(http.StatusOK, "")
	if !strings.Contains(string(got.body), s.order) {
		t.Errorf("without a tidemark, after somebody has waited for it: %s", got.body)
	}
	text := string(e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "").body)
	for _, want := range []string{
		`tidemark_documents_command_seconds_count{command="find",outcome="done"}`, `tidemark_documents_command_seconds_count{command="insert",outcome="done"}`,
		`tidemark_documents_call_seconds_count{call="write",outcome="done"}`, `tidemark_subscription_answers_total{group="customer_orders",outcome="ack"}`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
