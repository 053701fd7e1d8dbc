package httpapi

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
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

// TestVeryManyMistakesCostNoMoreThanTheirLength: what is wrong is counted once, and only so much of a body is looked at.
func TestVeryManyMistakesCostNoMoreThanTheirLength(t *testing.T) {
	w := newWorld(t)
	o := w.document.operations[slices.IndexFunc(w.document.operations, func(o operation) bool { return o.id == "createOrder" })]
	work := func(n int) float64 {
		value := map[string]any{}
		for i := range n {
			value[fmt.Sprint("k", i)] = map[string]any{}
		}
		return testing.AllocsPerRun(1, func() {
			if found := checkValue(o.body, value, ""); len(found) < n {
				t.Fatalf("%d findings of %d", len(found), n)
			}
		})
	}
	if few, many := work(50), work(500); many > 20*few {
		t.Errorf("%.0f allocations for 50 unknown fields, %.0f for 500", few, many)
	}
	items := `{"items":[` + strings.Repeat("{},", 50_000) + "{}]}"
	found, err := o.checkBody([]byte(items))
	if err != nil || !slices.ContainsFunc(found, func(f domain.Field) bool { return f.Pointer == "/items" && f.Code == "too_many" }) {
		t.Errorf("too many items: %d findings, %v", len(found), err)
	}
	if len(found) > 10*maxKeptItems {
		t.Errorf("%d findings", len(found))
	}
	repeated := `{"k":1`
	for i := range 2 * maxKeptFields {
		repeated += fmt.Sprintf(`,"f%d":1`, i)
	}
	if found, err := o.checkBody([]byte(repeated + "}")); err != nil || len(found) == 0 || len(found) > 2*maxKeptFields {
		t.Errorf("very many fields: %d findings, %v", len(found), err)
	}
	if _, err := o.checkBody([]byte(repeated + `,"f127":2}`)); err == nil {
		t.Error("a repeated key behind very many others got through")
	}
}

func TestWhatNoListGaveIsNoCursor(t *testing.T) {
	w := newWorld(t)
	for _, cursor := range []string{"x", "%00", "%FF", strings.Repeat("A", 3000), ""} {
		w.send("GET", "/v1/orders?cursor="+cursor, "").expect(http.StatusBadRequest, "invalid_cursor")
	}
}
