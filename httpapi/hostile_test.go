package httpapi

import (
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidemark-dev/tidemark/httpapi/hostiletest"
)

// listening starts the world's server on a real connection.
func (w *world) listening() string {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Start(listener); err != nil {
		w.t.Fatal(err)
	}
	return listener.Addr().String()
}

// Every hostile request is refused by the code that the catalogue has for it, as a whole problem, and no command is
// carried out.
func TestHostileRequestsAreRefusedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	addr := w.listening()
	names := strings.NewReplacer("{order}", someOrder, "{account}", someAccount, "{sku}", someSKU, "{group}", "orders", "{model}", "orders")
	for _, h := range hostiletest.All(t) {
		t.Run(h.Name, func(t *testing.T) {
			response, text := h.Send(t, addr, names, patience)
			if response.StatusCode != h.Status {
				t.Fatalf("%s %s: %d, want %d\n%.400s", h.Method, h.Target, response.StatusCode, h.Status, text)
			}
			if h.Code == "" {
				return
			}
			var p Problem
			if err := json.Unmarshal(text, &p); err != nil || response.Header.Get("Content-Type") != problemType {
				t.Fatalf("no problem: %s %v\n%.400s", response.Header.Get("Content-Type"), err, text)
			}
			if p.Code != h.Code || p.Status != h.Status || p.Title == "" || p.Type != "/docs/errors/"+h.Code || p.RequestID == "" || p.Instance == "" {
				t.Errorf("problem %.400s, want code %s", text, h.Code)
			}
			if h.Code == "invalid_request" && len(p.Errors) == 0 {
				t.Errorf("no findings: %s", text)
			}
			if len(text) > 64<<10 {
				t.Errorf("the answer has %d bytes", len(text))
			}
			if h.Status == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
		})
	}
	if calls := w.commands.took(); len(calls) > 0 {
		t.Errorf("%d requests got through, the first: %+v", len(calls), calls[0])
	}
}

func TestAllFindingsComeAtOnceWithPointers(t *testing.T) {
	w := newWorld(t)
	body := `{"customerId":"a b","AccountId":"x","currency":"eur","items":[{"sku":"TEA","quantity":1.0,"unitPrice":-1},{"sku":"t","quantity":0,"unitPrice":9999999999999999999999}],"a/b~c":1}`
	got := w.send("POST", "/v1/orders?dryRun=maybe", body, "Idempotency-Key", "a b").expect(http.StatusUnprocessableEntity, "invalid_request")
	var p Problem
	if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range p.Errors {
		found = append(found, f.Pointer+" "+f.Code)
	}
	want := []string{
		"/AccountId unknown_field", "/accountId required", "/a~1b~0c unknown_field", "/currency invalid_format", "/customerId invalid_format",
		"/header/Idempotency-Key invalid_format", "/items/0/quantity not_an_integer", "/items/0/unitPrice out_of_range", "/items/1/quantity out_of_range",
		"/items/1/sku invalid_format", "/items/1/unitPrice out_of_range", "/query/dryRun invalid_type",
	}
	if !slices.Equal(found, want) {
		t.Errorf("findings\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}
