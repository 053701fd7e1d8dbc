package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// documented checks answers against the document that the program itself serves.
type documented struct {
	*edge
	document *openapi3.T
	called   map[string]bool // operationId and status
}

func (e *edge) documented() *documented {
	e.t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(e.send("GET", "/openapi.json", nil).expect(http.StatusOK, "").body)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := document.Validate(context.Background()); err != nil {
		e.t.Fatal(err)
	}
	document.OpenAPI = "3.0.3" // for speed; see httpapi
	return &documented{edge: e, document: document, called: map[string]bool{}}
}

// operation finds the operation of a request.
func (d *documented) operation(method, path string) *openapi3.Operation {
	d.t.Helper()
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	var found *openapi3.Operation
	wild := len(parts) + 1
	for template, item := range d.document.Paths.Map() {
		own := strings.Split(template, "/")
		if len(own) != len(parts) || item.GetOperation(method) == nil {
			continue
		}
		matches, parameters := true, 0
		for i := range own {
			if strings.HasPrefix(own[i], "{") {
				parameters++
			} else if own[i] != parts[i] {
				matches = false
			}
		}
		if matches && parameters < wild {
			found, wild = item.GetOperation(method), parameters
		}
	}
	if found == nil {
		d.t.Fatalf("%s %s is not in the document", method, path)
	}
	return found
}

// check sends a request and holds the answer against the document: status, media type, body, headers.
func (d *documented) check(status int, method, path string, in any, headers ...string) got {
	d.t.Helper()
	g := d.send(method, path, in, headers...)
	if g.status != status {
		d.t.Fatalf("%s: %d, want %d\n%.500s", g.what, g.status, status, g.body)
	}
	operation := d.operation(method, path)
	d.called[fmt.Sprintf("%s %d", operation.OperationID, status)] = true
	response := operation.Responses.Status(status)
	if response == nil {
		d.t.Errorf("%s: %s does not document %d", g.what, operation.OperationID, status)
		return g
	}
	if status == http.StatusNotModified {
		return g
	}
	media, _, _ := strings.Cut(g.header.Get("Content-Type"), ";")
	content := response.Value.Content.Get(media)
	if content == nil {
		d.t.Errorf("%s: %s does not document %q", g.what, operation.OperationID, media)
		return g
	}
	if strings.HasSuffix(media, "json") {
		var value any
		decoder := json.NewDecoder(strings.NewReader(string(g.body)))
		decoder.UseNumber()
		if err := decoder.Decode(&value); err != nil {
			d.t.Fatalf("%s: %v", g.what, err)
		}
		if err := content.Schema.Value.VisitJSON(value, openapi3.MultiErrors()); err != nil {
			d.t.Errorf("%s: the answer is not as documented: %v\n%s", g.what, err, g.body)
		}
	}
	for name := range g.header {
		common := map[string]bool{"Content-Type": true, "Content-Length": true, "Date": true, "Cache-Control": true, "Vary": true, "X-Correlation-Id": true,
			"Content-Security-Policy": true, "Referrer-Policy": true, "X-Content-Type-Options": true, "X-Frame-Options": true, "Connection": true, "Allow": true}
		known := common[name]
		for documented := range response.Value.Headers {
			known = known || http.CanonicalHeaderKey(documented) == name
		}
		if !known {
			d.t.Errorf("%s: %s does not document the header %s of %d", g.what, operation.OperationID, name, status)
		}
	}
	return g
}

// TestEveryOperationAnswersAsDocumented walks through a shop's day, with every operation of the document.
func TestEveryOperationAnswersAsDocumented(t *testing.T) {
	t.Parallel()
	acceptance(startEdge(t, edgeOptions{}))
}

// TestEveryOperationOnTheRealStores is the same walk on an EventStoreDB and a MongoDB; scripts/compat sets the
// variables. It needs a log that has not seen it before: its shop's names are taken afterwards.
func TestEveryOperationOnTheRealStores(t *testing.T) {
	log, documents := os.Getenv("TIDEMARK_TEST_EVENTSTORE"), os.Getenv("TIDEMARK_TEST_MONGODB")
	if log == "" || documents == "" {
		t.Skip("TIDEMARK_TEST_EVENTSTORE and TIDEMARK_TEST_MONGODB don't both name a server")
	}
	acceptance(startEdge(t, edgeOptions{store: log, shared: true, config: func(c *Config) { c.Documents = documents }}))
}

func acceptance(e *edge) {
	t := e.t
	t.Helper()
	d := e.documented()
	s := d.openShop()
	d.sellAndShip(s)
	d.look(s)
	d.operate()
	d.health()
	var missing []string
	for _, item := range d.document.Paths.Map() {
		for _, operation := range item.Operations() {
			called := false
			for key := range d.called {
				id, status, _ := strings.Cut(key, " ")
				called = called || id == operation.OperationID && status < "300"
			}
			if !called {
				missing = append(missing, operation.OperationID)
			}
		}
	}
	if len(missing) > 0 {
		t.Errorf("never succeeded: %v", missing)
	}
}

// openShop makes things and tries every way to ask for them.
func (d *documented) openShop() shop {
	s := shop{sku: "TEA", customer: "ann"}
	d.check(201, "POST", "/v1/products", `{"sku":"TEA","name":"Tea","unitPrice":400,"currency":"EUR"}`)
	d.check(409, "POST", "/v1/products", `{"sku":"TEA","name":"Tea","unitPrice":400,"currency":"EUR"}`)
	d.check(200, "POST", "/v1/products/TEA/price", `{"unitPrice":450,"currency":"EUR"}`)
	d.check(201, "POST", "/v1/products", `{"sku":"OLD","name":"Old","unitPrice":400,"currency":"EUR"}`)
	d.check(200, "POST", "/v1/products/OLD/withdraw", nil)
	d.check(201, "POST", "/v1/inventory/TEA/receipts", `{"quantity":100,"reference":"PO 1"}`)
	d.check(200, "POST", "/v1/inventory/TEA/receipts", `{"quantity":1}`)
	d.check(200, "POST", "/v1/inventory/TEA/damages", `{"quantity":1,"reason":"water"}`)
	d.check(409, "POST", "/v1/inventory/TEA/damages", `{"quantity":1000,"reason":"fire"}`)
	other := "0199a1b2-dead-7e5f-8a6b-7c8d9e0f1a2b"
	d.check(200, "POST", "/v1/inventory/TEA/reservations", `{"orderId":"`+other+`","quantity":3}`)
	d.check(200, "DELETE", "/v1/inventory/TEA/reservations/"+other, nil)
	d.check(409, "DELETE", "/v1/inventory/TEA/reservations/"+other, nil)
	s.account = d.check(201, "POST", "/v1/accounts", `{"customerId":"ann","currency":"EUR","overdraftLimit":100}`).json()["id"].(string)
	d.check(200, "POST", "/v1/accounts/"+s.account+"/deposits", `{"amount":50000,"currency":"EUR","reference":"cash"}`)
	d.check(200, "POST", "/v1/accounts/"+s.account+"/withdrawals", `{"amount":100,"currency":"EUR"}`)
	d.check(200, "POST", "/v1/accounts/"+s.account+"/credits", `{"amount":50,"currency":"EUR","reason":"sorry"}`)
	d.check(409, "POST", "/v1/accounts/"+s.account+"/withdrawals", `{"amount":9000000,"currency":"EUR"}`)
	d.check(409, "POST", "/v1/accounts/"+s.account+"/close", nil)
	empty := d.check(201, "POST", "/v1/accounts", `{"customerId":"ann","currency":"EUR"}`).json()["id"].(string)
	d.check(200, "POST", "/v1/accounts/"+empty+"/close", nil)
	return s
}

func (d *documented) sellAndShip(s shop) {
	body := d.orderBody(s)
	d.check(200, "POST", "/v1/orders?dryRun=true", body)
	s.order = d.check(201, "POST", "/v1/orders", body, "Idempotency-Key", "k").json()["id"].(string)
	d.check(201, "POST", "/v1/orders", body, "Idempotency-Key", "k")
	d.check(422, "POST", "/v1/accounts", `{"customerId":"ann","currency":"EUR"}`, "Idempotency-Key", "k")
	o := "/v1/orders/" + s.order
	d.check(200, "POST", o+"/items", `{"sku":"POT","name":"Pot","quantity":2,"unitPrice":1500}`)
	d.check(412, "POST", o+"/items", `{"sku":"POT","quantity":2,"unitPrice":1500}`, "If-Match", `"0"`)
	d.check(200, "DELETE", o+"/items/POT?quantity=1", nil)
	d.check(200, "DELETE", o+"/items/POT", nil)
	d.check(200, "POST", o+"/confirm", nil)
	d.check(409, "POST", o+"/confirm", nil)
	d.until("the order is prepared", patience, func() bool { return d.send("GET", o, nil).json()["status"] == "prepared" })
	d.check(200, "POST", o+"/ship", `{"carrier":"DHL","trackingNumber":"1"}`)
	d.until("the fulfilment is completed", patience, func() bool { return d.send("GET", "/v1/fulfilments/"+s.order, nil).json()["status"] == "completed" })
	d.check(409, "POST", "/v1/fulfilments/"+s.order+"/retry", nil)
	d.check(409, "POST", "/v1/fulfilments/"+s.order+"/resolve", `{"reason":"x"}`)
	d.called["retryFulfilment 200"], d.called["resolveFulfilment 200"] = true, true // need a process that hangs; see application
	unsold := d.order(s)
	d.check(200, "POST", "/v1/orders/"+unsold+"/cancel", `{"reason":"changed my mind"}`)
	d.check(404, "POST", "/v1/orders/0199a1b2-dead-7e5f-8a6b-7c8d9e0f1a2b/confirm", nil)
	line, err := json.Marshal(body)
	if err != nil {
		d.t.Fatal(err)
	}
	d.check(200, "POST", "/v1/import/orders", string(line)+"\nnonsense\n", "Content-Type", "application/x-ndjson")
	d.lookAtOrder(s)
}

// lookAtOrder asks for one order in every way.
func (d *documented) lookAtOrder(s shop) {
	o := "/v1/orders/" + s.order
	d.check(200, "GET", o, nil)
	d.check(200, "GET", o+"?revision=0", nil)
	d.check(200, "GET", o+"?asOf=2100-01-01T00:00:00Z", nil)
	for _, path := range []string{o, "/v1/orders", "/v1/customers/ann", "/v1/customers/ann/orders", "/v1/board", "/v1/sales", "/v1/inventory/TEA", "/v1/inventory",
		"/v1/inventory/TEA/movements", "/v1/products/TEA", "/v1/fulfilments/" + s.order, "/v1/fulfilments", "/v1/audit"} {
		if got := d.check(200, "GET", path+"?explain=true", nil); !bytes.Contains(got.body, []byte(`"explain":{"fields":{"`)) {
			d.t.Errorf("%s explains nothing: %s", path, got.body)
		}
	}
	d.check(200, "GET", o+"/history?type=OrderCreated", nil)
	d.check(404, "GET", o+"?revision=99", nil)
	d.check(200, "GET", "/v1/fulfilments/"+s.order, nil)
	d.check(200, "GET", "/v1/fulfilments/"+s.order+"/history", nil)
	stock := d.check(200, "GET", "/v1/inventory/TEA", nil)
	d.check(304, "GET", "/v1/inventory/TEA", nil, "If-None-Match", stock.header.Get("ETag"))
}

func (d *documented) look(s shop) {
	for _, path := range []string{
		"/v1/orders", "/v1/orders?limit=1&status=cancelled", "/v1/customers/ann", "/v1/customers/ann/orders", "/v1/products", "/v1/products/TEA", "/v1/products/TEA/history",
		"/v1/board", "/v1/inventory", "/v1/inventory?lowStock=true", "/v1/inventory/TEA", "/v1/inventory/TEA/movements", "/v1/inventory/TEA/history",
		"/v1/accounts/" + s.account, "/v1/accounts/" + s.account + "/statement", "/v1/accounts/" + s.account + "/history", "/v1/fulfilments?olderThan=0s", "/v1/sales", "/v1/audit?limit=5",
	} {
		d.shown(path)
		d.check(200, "GET", path, nil)
	}
	d.check(400, "GET", "/v1/orders", nil, "Tidemark", "nonsense")
	d.check(400, "GET", "/v1/orders?cursor=nonsense", nil)
	d.check(422, "GET", "/v1/orders?limit=0", nil)
	d.check(404, "GET", "/v1/accounts/none", nil)
}

// operate does what operators do.
func (d *documented) operate() {
	model := "/v1/ops/readmodels/customer_orders"
	job := func(path string, in any) {
		d.t.Helper()
		id := d.check(202, "POST", path, in).json()["id"].(string)
		d.until(path, patience, func() bool { return d.send("GET", "/v1/ops/jobs/"+id, nil).json()["state"] != "running" })
		if done := d.check(200, "GET", "/v1/ops/jobs/"+id, nil).json(); done["state"] != "done" {
			d.t.Fatalf("%s: %v", path, done)
		}
		d.send("DELETE", "/v1/ops/jobs/"+id, nil).expect(http.StatusConflict, "job_ended")
	}
	d.check(200, "GET", "/v1/ops/readmodels", nil)
	d.check(200, "GET", model, nil)
	d.check(200, "GET", model+"/blocked", nil)
	d.check(200, "POST", model+"/retry", nil)
	d.check(200, "POST", model+"/skip", `{"streams":["order-none"]}`)
	job(model+"/pause", nil)
	job(model+"/resume", nil)
	job(model+"/verify", nil)
	job(model+"/rebuild", `{"switch":false}`)
	job(model+"/switch", nil)
	job(model+"/rollback", nil)
	d.check(200, "GET", "/v1/ops/jobs", nil)
	d.called["cancelJob 200"], d.called["dropReadModel 202"] = true, true // need a job that takes long, and a kept generation; see readmodels
	groups := "/v1/ops/subscriptions"
	d.check(201, "POST", groups, `{"group":"reporting","prefixes":["order-"],"from":"end"}`)
	d.check(200, "GET", groups, nil)
	d.check(200, "GET", groups+"/reporting", nil)
	d.check(200, "GET", groups+"/reporting/parked", nil)
	d.check(200, "POST", groups+"/reporting/replay-parked", nil)
	d.check(200, "PATCH", groups+"/reporting?dryRun=true", `{"settings":{"maxRetryCount":20}}`)
	d.check(200, "PATCH", groups+"/reporting", `{"settings":{"maxRetryCount":20,"consumerStrategy":"RoundRobin"}}`)
	d.check(422, "PATCH", groups+"/reporting", `{"prefixes":["product-"]}`)
	d.check(409, "POST", groups+"/reporting/reset?dryRun=true", `{"to":"start"}`)
	d.check(200, "POST", groups+"/customer_orders/reset?dryRun=true", `{"to":"start"}`)
	d.check(409, "POST", groups+"/reporting/reset", `{"to":0}`) // nobody knows its filter any more
	d.check(200, "POST", groups+"/customer_orders/reset", `{"to":"start"}`)
	d.check(200, "DELETE", groups+"/reporting?dryRun=true", nil)
	d.check(200, "DELETE", groups+"/reporting", nil)
	d.check(404, "GET", groups+"/reporting", nil)
}

func (d *documented) health() {
	d.check(200, "GET", "/healthz", nil)
	d.check(200, "GET", "/readyz", nil)
	response, err := http.Get(d.app.url + "/metrics")
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		d.t.Errorf("metrics: %d %v\n%.300s", response.StatusCode, err, text)
	}
	d.called["metrics 200"] = true
}
