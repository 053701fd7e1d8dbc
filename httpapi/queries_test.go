package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

func TestAQuestionIsReadFromParametersAndHeaders(t *testing.T) {
	w := newWorld(t)
	one := readmodels.Tidemark{{Stream: "order-1", Revision: 4}}
	two := readmodels.Tidemark{{Stream: "order-2", Revision: 7}}
	w.send("GET", "/v1/orders?status=created&customerId=c&from=2026-03-01T00:00:00Z&limit=7&after="+two.String(), "", "Tidemark", one.String(), "Prefer", "return=minimal, wait=12").expect(http.StatusOK, "")
	w.send("GET", "/v1/orders/"+someOrder+"?asOf=2026-03-01T10:00:00%2B01:00&explain=true", "").expect(http.StatusOK, "")
	w.send("GET", "/v1/inventory/TEA?revision=3", "").expect(http.StatusOK, "")
	revision := int64(3)
	want := []readmodels.Ask{
		{Params: map[string]string{"status": "created", "customerId": "c", "from": "2026-03-01T00:00:00Z"}, After: append(one, two...), Wait: 12 * time.Second, Limit: 7},
		{Params: map[string]string{"id": someOrder}, Wait: 5 * time.Second, Limit: 50, AsOf: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC), Explain: true},
		{Params: map[string]string{"sku": "TEA"}, Wait: 5 * time.Second, Limit: 50, Revision: &revision},
	}
	if diff := cmp.Diff(want, w.shown.took()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPreferWaitIsReadAsTheStandardHasIt(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": defaultWait, "wait=0": 0, "wait=1": time.Second, "wait=30": 30 * time.Second, "wait=31": maxWait, "wait=99999999999": maxWait, "Wait=2": 2 * time.Second,
		`wait="3"`: 3 * time.Second, "respond-async, wait=4": 4 * time.Second, "wait=4;foo=bar": 4 * time.Second, " wait = 5 ": 5 * time.Second,
		"wait": defaultWait, "wait=": defaultWait, "wait=x": defaultWait, "wait=-1": defaultWait, "wait=1.5": defaultWait, "waiting=9": defaultWait, "wait=6, wait=7": 6 * time.Second, ",,,": defaultWait,
	} {
		if got, _ := preferredWait([]string{text}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestAnEntityHasItsRevisionAsTag(t *testing.T) {
	w := newWorld(t)
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{Body: map[string]any{"id": "x"}, ETag: "4", Reflects: readmodels.Tidemark{{Stream: "order-x", Revision: 4}}, Lag: 1500 * time.Millisecond}, nil
	}
	got := w.send("GET", "/v1/orders/x", "").expect(http.StatusOK, "")
	if got.Header().Get("ETag") != `"4"` || got.Header().Get("Tidemark-Lag") != "1.5" || got.Header().Get("Tidemark") == "" || got.Header().Get("Preference-Applied") != "" {
		t.Errorf("headers %v", got.Header())
	}
	for tag, status := range map[string]int{`"4"`: 304, `W/"4"`: 304, `*`: 304, `"1", "4"`: 304, `"5"`: 200, `4`: 200, `"4`: 200, ``: 200} {
		got := w.send("GET", "/v1/orders/x", "", "If-None-Match", tag)
		if got.Code != status || status == 304 && (got.Body.Len() != 0 || got.Header().Get("ETag") != `"4"`) {
			t.Errorf("%s: %d %v", tag, got.Code, got.Header())
		}
	}
	if got := w.send("GET", "/v1/orders/x?explain=true", "", "If-None-Match", `"4"`); got.Code != 200 {
		t.Errorf("an explanation is another answer: %d", got.Code)
	}
	if got := w.send("HEAD", "/v1/orders/x", ""); got.Code != 200 || got.Header().Get("ETag") != `"4"` {
		t.Errorf("HEAD: %d", got.Code)
	}
}

// TestAnOrderWithAFulfilmentHasMoreThanItsRevision: the fulfilment moves by itself, so the order's
// revision alone makes no 304.
func TestAnOrderWithAFulfilmentHasMoreThanItsRevision(t *testing.T) {
	w := newWorld(t)
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{Body: map[string]any{}, ETag: "2", Validator: "2.5"}, nil
	}
	for tag, status := range map[string]int{`"2"`: 200, `"2.5"`: 304, `"2.4"`: 200, `"3.5"`: 200} {
		got := w.send("GET", "/v1/orders/x", "", "If-None-Match", tag)
		if got.Code != status || got.Header().Get("ETag") != `"2"` {
			t.Errorf("%s: %d %s", tag, got.Code, got.Header().Get("ETag"))
		}
	}
}

func TestAListIsAPageWithItsNext(t *testing.T) {
	w := newWorld(t)
	w.shown.answer = func(_ string, ask readmodels.Ask) (readmodels.Answer, error) {
		if ask.Cursor == "" {
			return readmodels.Answer{List: true, Items: []any{1}, Next: "n+/="}, nil
		}
		return readmodels.Answer{List: true, Items: nil}, nil
	}
	got := w.send("GET", "/v1/orders?status=created&limit=1", "").expect(http.StatusOK, "")
	if body := strings.TrimSpace(got.Body.String()); body != `{"items":[1],"nextCursor":"n+/="}` {
		t.Error(body)
	}
	link := got.Header().Get("Link")
	target, rel, _ := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if rel != `; rel="next"` {
		t.Fatalf("Link: %s", link)
	}
	next := w.send("GET", target, "").expect(http.StatusOK, "")
	if body := strings.TrimSpace(next.Body.String()); body != `{"items":[],"nextCursor":null}` || next.Header().Get("Link") != "" {
		t.Errorf("%s %s", body, next.Header().Get("Link"))
	}
	if ask := w.shown.took()[1]; ask.Cursor != "n+/=" || ask.Params["status"] != "created" || ask.Limit != 1 {
		t.Errorf("the link asks %+v", ask)
	}
	tag := got.Header().Get("ETag")
	if w.send("GET", "/v1/orders?status=created&limit=1", "", "If-None-Match", tag).Code != http.StatusNotModified {
		t.Error("the same page is sent again")
	}
}

func TestAWaitThatFailsSaysWhyAndWhenToComeBack(t *testing.T) {
	w := newWorld(t)
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{}, &domain.Error{Kind: domain.KindStale, Code: "stale_read_model", Message: "Not yet.", Attrs: map[string]string{"state": "lagging"}}
	}
	token := readmodels.Tidemark{{Stream: "order-1", Revision: 4}}.String()
	got := w.send("GET", "/v1/orders", "", "Tidemark", token).expect(http.StatusServiceUnavailable, "stale_read_model")
	if got.json()["state"] != "lagging" || got.Header().Get("Retry-After") == "" {
		t.Errorf("%s %v", got.Body, got.Header())
	}
	w.shown.answer = nil
	got = w.send("GET", "/v1/orders", "", "Tidemark", token, "Prefer", "wait=9").expect(http.StatusOK, "")
	if got.Header().Get("Tidemark") != token || got.Header().Get("Preference-Applied") != "wait=9" {
		t.Errorf("the answer reflects %q, applied %q", got.Header().Get("Tidemark"), got.Header().Get("Preference-Applied"))
	}
}

func TestListsOfOperatorsHavePages(t *testing.T) {
	w := newWorld(t)
	first := w.send("GET", "/v1/ops/subscriptions?limit=1", "").expect(http.StatusOK, "")
	cursor, _ := first.json()["nextCursor"].(string)
	if cursor == "" || first.Header().Get("Link") == "" {
		t.Fatalf("%s", first.Body)
	}
	second := w.send("GET", "/v1/ops/subscriptions?limit=1&cursor="+cursor, "").expect(http.StatusOK, "")
	if second.json()["nextCursor"] != nil || !strings.Contains(second.Body.String(), "reporting") {
		t.Errorf("%s", second.Body)
	}
	w.send("GET", "/v1/ops/readmodels?cursor="+cursor, "").expect(http.StatusBadRequest, "invalid_cursor")
	w.send("GET", "/v1/ops/subscriptions?cursor=AAAA", "").expect(http.StatusBadRequest, "invalid_cursor")
	parked := w.send("GET", "/v1/ops/subscriptions/orders/parked", "").expect(http.StatusOK, "")
	if !strings.Contains(parked.Body.String(), `"at":"2026-03-01T09:15:00.000000Z"`) {
		t.Errorf("%s", parked.Body)
	}
}

// A question about the past that would fold too much says so by a code of its own, with a page.
func TestAQuestionAboutThePastMayBeTooExpensive(t *testing.T) {
	w := newWorld(t)
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{}, &domain.Error{Kind: domain.KindInvalid, Code: "as_of_too_expensive", Message: "It would fold more than 5 events.",
			Fields: []domain.Field{{Pointer: "/asOf", Code: "too_expensive", Detail: "would fold more than 5 events"}}}
	}
	got := w.send("GET", "/v1/orders?asOf=2026-03-01T10:00:00Z", "").expect(http.StatusUnprocessableEntity, "as_of_too_expensive")
	for _, want := range []string{`"type":"/docs/errors/as_of_too_expensive"`, `"detail":"It would fold more than 5 events."`, `"pointer":"/asOf"`} {
		if !strings.Contains(got.Body.String(), want) {
			t.Errorf("%s lacks %s", got.Body, want)
		}
	}
	if page := w.send("GET", "/docs/errors/as_of_too_expensive", ""); page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Ask about one order") {
		t.Errorf("its page: %d %s", page.Code, page.Body)
	}
}
