package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

const orderBody = `{"customerId":"customer-42","accountId":"` + someAccount + `","currency":"EUR","items":[{"sku":"TEA","quantity":2,"unitPrice":450}]}`

func TestACommandCarriesWhoWhatAndWhy(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/v1/orders", orderBody, "Idempotency-Key", "k-1", "X-Request-Id", "r-1", "X-Correlation-Id", "c-1",
		"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").expect(http.StatusCreated, "")
	c := w.commands.took()[0].command
	want := application.Command{ID: application.CommandID("operator", "k-1"), Keyed: true, Operation: "createOrder", RequestHash: c.RequestHash, Actor: "operator",
		CorrelationID: "c-1", TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", MayPrice: true}
	if diff := cmp.Diff(want, c); diff != "" || len(c.RequestHash) != 64 {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{"Location": "/v1/orders/" + someOrder, "ETag": `"0"`, "X-Request-Id": "r-1", "X-Correlation-Id": "c-1", "Idempotent-Replayed": ""} {
		if got.Header().Get(name) != value {
			t.Errorf("%s: %q, want %q", name, got.Header().Get(name), value)
		}
	}
	token, err := readmodels.ParseTidemark(got.Header().Get("Tidemark"))
	if err != nil || len(token) != 1 || token[0] != (readmodels.Mark{Stream: "order-" + someOrder, Revision: 0}) {
		t.Errorf("tidemark %v %v", token, err)
	}
	body := got.json()
	if body["id"] != someOrder || body["revision"] != 0.0 || body["status"] != "created" || body["total"] != 900.0 {
		t.Errorf("body %v", body)
	}
}

func TestARequestWithoutAnIdGetsOne(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for _, id := range []string{"", "two words", strings.Repeat("x", 129), "ümlaut", "a\tb"} {
		headers := []string{}
		if id != "" {
			headers = append(headers, "X-Request-Id", id, "X-Correlation-Id", id, "traceparent", id)
		}
		got := w.send("POST", "/v1/orders", orderBody, headers...)
		made := got.Header().Get("X-Request-Id")
		if len(made) != 36 || seen[made] || got.Header().Get("X-Correlation-Id") != made {
			t.Errorf("%q became %q", id, made)
		}
		seen[made] = true
	}
	for _, c := range w.commands.took() {
		if c.command.TraceParent != "" || !seen[c.command.CorrelationID] {
			t.Errorf("command %+v", c.command)
		}
	}
}

// TestTheFingerprintKnowsARequestHoweverItIsWritten: the same key stands for the same request.
func TestTheFingerprintKnowsARequestHoweverItIsWritten(t *testing.T) {
	w := newWorld(t)
	hash := func(method, target, body string) string {
		t.Helper()
		before := len(w.commands.took())
		if got := w.send(method, target, body); got.Code >= 300 {
			t.Fatalf("%s %s: %d %s", method, target, got.Code, got.Body)
		}
		return w.commands.took()[before].command.RequestHash
	}
	deposit := "/v1/accounts/" + someAccount + "/deposits"
	confirm := "/v1/orders/" + someOrder + "/confirm"
	same := [][]string{
		{hash("POST", deposit, `{"amount":5,"currency":"EUR"}`), hash("POST", deposit, " {\"currency\" : \"E\\u0055R\",\n\"amount\":5} "), hash("POST", deposit+"?dryRun=true", `{"amount":5,"currency":"EUR"}`)},
		{hash("POST", confirm, ""), hash("POST", confirm, "{}"), hash("POST", confirm, " { } ")},
		{hash("POST", deposit, `{"amount":6,"currency":"EUR"}`)},
		{hash("POST", "/v1/accounts/"+someAccount+"/withdrawals", `{"amount":5,"currency":"EUR"}`)},
		{hash("POST", "/v1/accounts/another/deposits", `{"amount":5,"currency":"EUR"}`)},
		{hash("DELETE", "/v1/orders/"+someOrder+"/items/TEA", "")}, {hash("DELETE", "/v1/orders/"+someOrder+"/items/TEA?quantity=1", "")},
	}
	seen := map[string]int{}
	for i, group := range same {
		for _, h := range group {
			if h != group[0] {
				t.Errorf("group %d differs within itself", i)
			}
		}
		if other, twice := seen[group[0]]; twice {
			t.Errorf("groups %d and %d are the same", i, other)
		}
		seen[group[0]] = i
	}
}

func TestDryRunsAndReplaysAreSaidInTheAnswer(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/v1/orders?dryRun=true", orderBody).expect(http.StatusOK, "")
	if !w.commands.took()[0].command.DryRun || got.Header().Get("Location") != "" || got.Header().Get("Tidemark") != (readmodels.Tidemark{}).Token() {
		t.Errorf("a dry run: %v", got.Header())
	}
	w.commands.replayed = true
	got = w.send("POST", "/v1/orders", orderBody, "Idempotency-Key", "k").expect(http.StatusCreated, "")
	if got.Header().Get("Idempotent-Replayed") != "true" || got.Header().Get("Location") == "" {
		t.Errorf("a replay: %v", got.Header())
	}
}

func TestALineMayLeaveItsPriceToTheCatalogue(t *testing.T) {
	w := newWorld(t)
	w.send("POST", "/v1/orders", strings.Replace(orderBody, `,"unitPrice":450`, "", 1)).expect(http.StatusCreated, "")
	w.send("POST", "/v1/orders/"+someOrder+"/items", `{"sku":"TEA","quantity":1}`).expect(http.StatusOK, "")
	w.send("POST", "/v1/orders/"+someOrder+"/items", `{"sku":"TEA","quantity":1,"unitPrice":0}`).expect(http.StatusOK, "")
	took := w.commands.took()
	if in := took[0].args[1].(application.CreateOrder); in.Items[0].UnitPrice != nil {
		t.Errorf("the order's line came with a price of %d", *in.Items[0].UnitPrice)
	}
	if in := took[1].args[1].(application.NewLine); in.UnitPrice != nil {
		t.Errorf("the line came with a price of %d", *in.UnitPrice)
	}
	if in := took[2].args[1].(application.NewLine); in.UnitPrice == nil || *in.UnitPrice != 0 {
		t.Errorf("a price of 0 came as %v", in.UnitPrice)
	}
}

func TestOnlyASKUsFirstReceiptMakesIt(t *testing.T) {
	w := newWorld(t)
	receive := func() answered {
		return w.send("POST", "/v1/inventory/TEA/receipts", `{"quantity":5}`)
	}
	if got := receive().expect(http.StatusOK, ""); got.Header().Get("Location") != "" {
		t.Error("a later receipt has a Location")
	}
	w.commands.created = true
	if got := receive().expect(http.StatusCreated, ""); got.Header().Get("Location") != "/v1/inventory/TEA" {
		t.Errorf("Location %q", got.Header().Get("Location"))
	}
}

func TestIfMatchAppliesAtTheRevisionsItNames(t *testing.T) {
	w := newWorld(t)
	w.commands.revision = 7
	send := func(tag string) answered {
		return w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "If-Match", tag)
	}
	for _, tag := range []string{`"7"`, `W/"7"`, `*`, `"3", "7"`, `"9", "7"`, `"9","x" , "7","8"`, ` "3" ,W/"5","7" `} {
		if got := send(tag); got.Code != http.StatusOK {
			t.Errorf("%s: %d %s", tag, got.Code, got.Body)
		}
	}
	for _, tag := range []string{`"6"`, `"8"`, `"7.2"`, `"x"`, `"3", "4"`, `"9", "8"`} {
		got := send(tag).expect(http.StatusPreconditionFailed, "revision_mismatch")
		if got.json()["currentRevision"] != 7.0 {
			t.Errorf("%s: %s", tag, got.Body)
		}
	}
	w.send("POST", "/v1/orders", orderBody, "If-Match", "*").expect(http.StatusPreconditionFailed, "revision_mismatch")
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{}, domain.NotFound("stock item", "TEA")
	}
	w.send("POST", "/v1/inventory/TEA/receipts", `{"quantity":5}`, "If-Match", "*").expect(http.StatusPreconditionFailed, "revision_mismatch")
}

// TestEveryKindOfFailureHasItsAnswer, and nothing of what caused it gets out.
func TestEveryKindOfFailureHasItsAnswer(t *testing.T) {
	revision := int64(12)
	secret := errors.New("password=hunter2 at /srv/secret.go:42")
	w := newWorld(t)
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{domain.Refuse("order_not_open", "No."), 409, "order_not_open"},
		{domain.Refuse("brand_new_code", "No."), 409, "refused"},
		{domain.Invalid(domain.Field{Pointer: "/x", Code: "duplicate", Detail: "y"}), 422, "invalid_request"},
		{domain.NotFound("order", "x"), 404, "not_found"},
		{&domain.Error{Kind: domain.KindForbidden, Code: "forbidden", Message: "No."}, 403, "forbidden"},
		{&domain.Error{Kind: domain.KindConflict, Code: "revision_conflict", Revision: &revision, Err: secret}, 409, "revision_conflict"},
		{&domain.Error{Kind: domain.KindMismatch, Code: "revision_mismatch", Revision: &revision}, 412, "revision_mismatch"},
		{&domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Err: secret}, 503, "event_store_unavailable"},
		{&domain.Error{Kind: domain.KindUnavailable, Code: "strange", Err: secret}, 503, "event_store_unavailable"},
		{&domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Err: secret}, 504, "outcome_unknown"},
		{&domain.Error{Kind: domain.KindStale, Code: "stale_read_model", Attrs: map[string]string{"state": "blocked"}}, 503, "stale_read_model"},
		{&domain.Error{Kind: domain.KindUndecodable, Code: "undecodable_event", Message: "stream x"}, 503, "undecodable_event"},
		{&domain.Error{Kind: domain.KindUndecodable, Code: "unknown_event_type", Message: "stream x"}, 503, "undecodable_event"},
		{&domain.Error{Kind: domain.KindInvalid, Code: "idempotency_key_reused"}, 422, "idempotency_key_reused"},
		{fmt.Errorf("carry out: %w", domain.Refuse("order_empty", "No.")), 409, "order_empty"},
		{context.DeadlineExceeded, 504, "outcome_unknown"},
		{fmt.Errorf("append: %w", context.Canceled), 504, "outcome_unknown"},
		{secret, 500, "internal"},
		{&domain.Error{Kind: domain.KindInternal, Code: "internal", Message: "stream order-1 holds what it must not"}, 500, "internal"},
	} {
		w.commands.fail = func(call) error { return c.err }
		got := w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "X-Request-Id", "r-1").expect(c.status, c.code)
		p := got.json()
		for _, inner := range []string{"hunter2", "secret.go", "must not", "stream x"} {
			if strings.Contains(got.Body.String(), inner) {
				t.Errorf("%v: the answer tells %q", c.err, inner)
			}
		}
		if detail, _ := p["detail"].(string); detail == "" {
			t.Errorf("%s: no detail", c.code)
		}
		if p["requestId"] != "r-1" || p["instance"] != "/v1/orders/"+someOrder+"/confirm" || p["status"] != float64(c.status) {
			t.Errorf("problem %v", p)
		}
		if e, ok := errors.AsType[*domain.Error](c.err); ok && e.Revision != nil && p["currentRevision"] != 12.0 {
			t.Errorf("%s: currentRevision %v", c.code, p["currentRevision"])
		}
		if c.code == "stale_read_model" && p["state"] != "blocked" {
			t.Errorf("state %v", p["state"])
		}
		if again := got.Header().Get("Retry-After"); (again != "") != (c.status == 503 || c.status == 504) {
			t.Errorf("%s: Retry-After %q", c.code, again)
		}
	}
}

func TestAPanicIsAPlain500(t *testing.T) {
	log := &lines{}
	panicked := 0
	w := newWorld(t, func(o *Options) { o.Logger = log.logger(); o.Hooks.Panicked = func(string) { panicked++ } })
	w.commands.fail = func(call) error { panic("the secret of the panic") }
	got := w.send("POST", "/v1/orders", orderBody).expect(http.StatusInternalServerError, "internal")
	if strings.Contains(got.Body.String(), "secret") || panicked != 1 || !strings.Contains(log.String(), "the secret of the panic") {
		t.Errorf("%d panics, answer %s", panicked, got.Body)
	}
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) { panic("again") }
	w.send("GET", "/v1/board", "").expect(http.StatusInternalServerError, "internal")
	w.shown.answer = nil
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
}

func TestTheLogHasOneLineARequestAndNoBodies(t *testing.T) {
	log := &lines{}
	w := newWorld(t, func(o *Options) { o.Logger = log.logger() })
	w.send("POST", "/v1/orders", strings.Replace(orderBody, "}]}", `}],"note":"very private"}`, 1), "X-Request-Id", "r-7", "Authorization", "Bearer very-private").expect(http.StatusCreated, "")
	text := log.String()
	if strings.Count(text, `"msg":"request"`) != 1 || strings.Contains(text, "private") {
		t.Errorf("log:\n%s", text)
	}
	for _, part := range []string{`"request_id":"r-7"`, `"operation":"createOrder"`, `"status":201`, `"actor":"operator"`, `"method":"POST"`} {
		if !strings.Contains(text, part) {
			t.Errorf("the log lacks %s:\n%s", part, text)
		}
	}
}
