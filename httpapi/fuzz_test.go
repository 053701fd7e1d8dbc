package httpapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// FuzzDecodeJSON: what is accepted is what encoding/json reads, too, and says the same; what it would
// mend in silence is refused.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{``, `{}`, `[]`, `null`, `{"a":1,"a":2}`, `{"a":1.0}`, `"\ud800"`, `"\ud83d\ude00"`, `"\\ud800"`, `{"a":{"b":[1,2,{"c":"\u0000"}]}}`, strings.Repeat("[", 40), `1e999`, `99999999999999999999`, "\xff", `{"\u0061":1,"a":2}`, `"\"{[\""`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := decodeJSON(text)
		if err != nil {
			if domain.KindOf(err) != domain.KindMalformed {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if !json.Valid(text) || !utf8.Valid(text) {
			t.Fatalf("%q is accepted", text)
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.UseNumber()
		var want any
		if err := decoder.Decode(&want); err != nil || !reflect.DeepEqual(got.value, want) {
			t.Fatalf("%q: %v, encoding/json says %v %v", text, got.value, want, err)
		}
		if !strings.Contains(string(text), "\uFFFD") && !strings.Contains(strings.ToLower(string(text)), `\ufffd`) {
			if written, err := json.Marshal(got.value); err != nil || strings.Contains(string(written), "\uFFFD") {
				t.Fatalf("%q was mended: %s", text, written)
			}
		}
	})
}

// FuzzCreateOrder: nothing that gets past the schema fails to decode, and nothing panics.
func FuzzCreateOrder(f *testing.F) {
	f.Add(orderBody)
	f.Add(`{"customerId":"a","accountId":"` + someAccount + `","currency":"EUR","items":[{"sku":"T","quantity":1,"unitPrice":0,"name":"x"}],"shippingAddress":{"a":"b"},"note":"n"}`)
	f.Add(`{"items":[{"quantity":1e2}]}`)
	w := newWorld(f)
	var create operation
	for _, o := range w.document.operations {
		if o.id == "createOrder" {
			create = o
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		found, err := create.checkBody([]byte(text))
		if err != nil || len(found) > 0 {
			if len(found) > 0 {
				invalid(found)
			}
			return
		}
		body, err := decode[createOrderBody](input{text: []byte(text)})
		if err != nil {
			t.Fatalf("%q passed, but: %v", text, err)
		}
		for _, item := range body.Items {
			if item.Quantity < 1 || item.Quantity > domain.MaxQuantity || item.UnitPrice != nil && (*item.UnitPrice < 0 || *item.UnitPrice > domain.MaxAmount) || !domain.ValidSKU(item.SKU) {
				t.Fatalf("%q passed with %+v", text, item)
			}
		}
		if !domain.ValidCustomerID(body.CustomerID) || !domain.ValidUUID(body.AccountID) || !domain.ValidCurrency(body.Currency) || len(body.Items) == 0 {
			t.Fatalf("%q passed", text)
		}
	})
}

// FuzzEntityTags: what is read back is what was written, and revisions are never made up.
func FuzzEntityTags(f *testing.F) {
	for _, seed := range []string{`"1"`, `*`, `W/"2", "3"`, `"`, `""`, `,`, `"a,b"`, `"1" "2"`, `W/`, `"9223372036854775808"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tags, ok := entityTags(text)
		if ok && (len(tags) == 0 || len(tags) > maxTags) {
			t.Fatalf("%q: %v", text, tags)
		}
		if ok {
			again, ok := entityTags(strings.Join(tags, ", "))
			if !ok || !reflect.DeepEqual(tags, again) {
				t.Fatalf("%q: %v, then %v", text, tags, again)
			}
		}
		revisions, err := readIfMatch(http.Header{"If-Match": {text}})
		if (err == nil) != ok {
			t.Fatalf("%q: %v, %v", text, ok, err)
		}
		for _, r := range revisions {
			if r >= 0 && !strings.Contains(text, revisionTag(r)) {
				t.Fatalf("%q: revision %d", text, r)
			}
		}
		if noneMatch(http.Header{"If-None-Match": {text}}, `"1"`) && !strings.Contains(text, `"1"`) && strings.TrimSpace(text) != "*" {
			t.Fatalf("%q matches", text)
		}
	})
}

func FuzzPrefer(f *testing.F) {
	for _, seed := range []string{"wait=5", "wait=999999999999999999999", `wait="3"`, "a, wait=1;b", "wait=-1", "wait"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if wait, asked := preferredWait([]string{text}); wait < 0 || wait > maxWait || wait%time.Second != 0 || !asked && wait != defaultWait {
			t.Fatalf("%q: %v %v", text, wait, asked)
		}
	})
}

// FuzzQuery: whatever comes as a query string is an answer to people, never a panic.
func FuzzQuery(f *testing.F) {
	for _, seed := range []string{"limit=5", "limit=5&limit=6", "%zz", "a;b", "status=created&from=2026-03-01T00:00:00Z", "after=x", "cursor=", "\x00=1", "limit=%35"} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "http://127.0.0.1/v1/orders", nil)
		r.URL = &url.URL{Path: "/v1/orders", RawQuery: query}
		got := w.do(r)
		switch got.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
		default:
			t.Fatalf("%q: %d %s", query, got.Code, got.Body)
		}
	})
}

// FuzzPath: a path is a route or there is nothing.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/v1/orders", "/v1/orders/x", "/v1/orders/%2e", "//", "/v1/orders/x/", "/v1/inventory/TEA/movements", "/docs/errors/internal", "/%zz"} {
		f.Add(seed)
	}
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || u.Host != "" || !strings.HasPrefix(path, "/") {
			return
		}
		r := httptest.NewRequest("GET", "http://127.0.0.1/", nil)
		r.URL = u
		r.URL.RawQuery = ""
		switch got := w.do(r); got.Code {
		case http.StatusOK, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed:
		default:
			t.Fatalf("%q: %d %s", path, got.Code, got.Body)
		}
	})
}

// FuzzTokens: cursors of operators' lists and tidemarks are those that were handed out, or refused.
func FuzzTokens(f *testing.F) {
	f.Add("", makeCursor("jobs", "x"), readmodels.Tidemark{{Stream: "order-1", Revision: 3}}.String())
	f.Add("jobs", "AAAA", "x,y")
	f.Fuzz(func(t *testing.T, list, cursor, token string) {
		if key, ok := openCursor(list, cursor); ok && makeCursor(list, key) != cursor {
			t.Fatalf("cursor %q of %q", cursor, list)
		}
		if key, ok := openCursor(list, makeCursor(list, cursor)); !ok || key != cursor {
			t.Fatalf("cursor of %q", cursor)
		}
		marks, err := readmodels.ParseTidemark(token)
		if err != nil && domain.KindOf(err) != domain.KindMalformed {
			t.Fatalf("token %q: %v", token, err)
		}
		again, err := readmodels.ParseTidemark(marks.String())
		if err != nil || !reflect.DeepEqual(again.Merged(), marks.Merged()) {
			t.Fatalf("token %q: %v, then %v %v", token, marks, again, err)
		}
	})
}

func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	f.Fuzz(func(t *testing.T, text string) {
		if _, trace, ok := splitTrace(text); ok && (len(text) != 55 || len(trace) != 32 || strings.ToLower(text) != text) {
			t.Fatalf("%q", text)
		}
	})
}
