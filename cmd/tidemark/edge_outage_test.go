package main

import (
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// refuseWithin is how soon a command is refused that can't be stored.
const refuseWithin = 2 * time.Second

// TestTheEventStoreMayGoAndComeBack: commands are refused in time and say so, screens still answer
// and know their age, and everything works again after its return.
func TestTheEventStoreMayGoAndComeBack(t *testing.T) {
	t.Parallel()
	node := startCommandNode(t)
	w := newWire(t, node.node.Addr().String())
	e := startEdge(t, edgeOptions{store: "esdb://" + w.listener.Addr().String() + "?tls=false"})
	s := e.furnish("ann")
	screens := []string{"/v1/orders", "/v1/orders/" + s.order, "/v1/accounts/" + s.account, "/v1/inventory/" + s.sku, "/v1/board", "/v1/sales"}
	e.shown(screens...)
	p := startPulse(t)
	deposit := func() (answer got, took, allowed time.Duration) {
		began, allowance := time.Now(), p.allowance()
		answer = e.deposit(s)
		return answer, time.Since(began), refuseWithin + allowance()
	}
	w.sever(true)
	quickest := time.Hour
	for i := range 10 {
		got, took, allowed := deposit()
		if i == 0 && got.code() == "outcome_unknown" && took <= allowed {
			continue // it was on its way when the wire was cut: nobody can know
		}
		if got.status != http.StatusServiceUnavailable || got.code() != "event_store_unavailable" || got.header.Get("Retry-After") == "" || took > allowed {
			t.Errorf("a command without the event store: %d %s after %s", got.status, got.code(), took)
		}
		quickest = min(quickest, took)
	}
	if quickest > refuseWithin/4 {
		t.Errorf("the breaker did not make refusals quick: the quickest took %s", quickest)
	}
	for _, path := range screens {
		if got := e.send("GET", path, nil); got.status != http.StatusOK || got.header.Get("Tidemark-Lag") == "" {
			t.Errorf("%s without the event store: %d %s", path, got.status, got.body)
		}
	}
	e.until("readiness says so", patience, func() bool { return e.send("GET", "/readyz", nil).code() == "service_not_ready" })
	e.send("GET", "/healthz", nil).expect(http.StatusOK, "")
	w.sever(false)
	e.until("commands work again", patience, func() bool { return e.deposit(s).status == http.StatusOK })
	e.send("GET", "/v1/accounts/"+s.account, nil, "Tidemark", e.deposit(s).expect(http.StatusOK, "").header.Get("Tidemark"), "Prefer", "wait=30").expect(http.StatusOK, "")
	e.until("it is ready again", patience, func() bool { return e.send("GET", "/readyz", nil).status == http.StatusOK })
}

// TestTheReadStoreMayGoAndComeBack: commands don't care, single things are answered from events, lists say what is missing.
func TestTheReadStoreMayGoAndComeBack(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{})
	s := e.furnish("ann")
	e.documents.Set(documentstest.Faults{Unavailable: 1})
	made := e.order(s)
	e.send("POST", "/v1/accounts/"+s.account+"/deposits", `{"amount":5,"currency":"EUR"}`).expect(http.StatusOK, "")
	for _, path := range []string{"/v1/orders/" + s.order, "/v1/orders/" + made, "/v1/accounts/" + s.account, "/v1/inventory/" + s.sku, "/v1/products/" + s.sku, "/v1/orders/" + made + "/history"} {
		e.send("GET", path, nil).expect(http.StatusOK, "")
	}
	for _, path := range []string{"/v1/orders", "/v1/board", "/v1/inventory", "/v1/sales", "/v1/audit", "/v1/accounts/" + s.account + "/statement", "/v1/customers/ann/orders"} {
		if got := e.send("GET", path, nil); got.status != http.StatusServiceUnavailable || got.code() != "read_store_unavailable" || got.header.Get("Retry-After") == "" {
			t.Errorf("%s without the read store: %d %s", path, got.status, got.body)
		}
	}
	e.send("GET", "/readyz", nil).expect(http.StatusServiceUnavailable, "service_not_ready")
	e.documents.Heal()
	e.until("lists answer again", patience, func() bool { return e.send("GET", "/v1/orders", nil).status == http.StatusOK })
	token := e.send("POST", "/v1/orders/"+made+"/confirm", nil).expect(http.StatusOK, "").header.Get("Tidemark")
	e.send("GET", "/v1/orders?status=confirmed", nil, "Tidemark", token, "Prefer", "wait=30").expect(http.StatusOK, "")
}

// TestTwentyAtOnceWithOneKeyMakeOneOrder, and a restart changes nothing about the answer.
func TestTwentyAtOnceWithOneKeyMakeOneOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := startEdge(t, edgeOptions{data: dir})
	s := e.furnish("ann")
	before := e.events()["order"]
	answers := make([]got, 20)
	var sending sync.WaitGroup
	for i := range answers {
		sending.Go(func() { answers[i] = e.send("POST", "/v1/orders", e.orderBody(s), "Idempotency-Key", "once") })
	}
	sending.Wait()
	fresh := 0
	for _, a := range answers {
		a.expect(http.StatusCreated, "")
		if string(a.body) != string(answers[0].body) || a.header.Get("Location") != answers[0].header.Get("Location") || a.header.Get("ETag") != `"0"` || a.header.Get("Tidemark") != answers[0].header.Get("Tidemark") {
			t.Errorf("answers differ:\n%s\n%s", a.body, answers[0].body)
		}
		if a.header.Get("Idempotent-Replayed") == "" {
			fresh++
		}
	}
	if made := e.events()["order"] - before; made != 1 || fresh != 1 {
		t.Errorf("%d orders, %d answers that were not replays", made, fresh)
	}
	id := answers[0].json()["id"].(string)
	e.send("POST", "/v1/orders/"+id+"/confirm", nil).expect(http.StatusOK, "") // the thing moves on
	e.stop()
	e.start()
	again := e.send("POST", "/v1/orders", e.orderBody(s), "Idempotency-Key", "once").expect(http.StatusCreated, "")
	if string(again.body) != string(answers[0].body) || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("after a restart:\n%s\nfirst:\n%s", again.body, answers[0].body)
	}
	other := e.orderBody(s)
	other["note"] = "another"
	e.send("POST", "/v1/orders", other, "Idempotency-Key", "once").expect(http.StatusUnprocessableEntity, "idempotency_key_reused")
	e.send("POST", "/v1/accounts", `{"customerId":"ann","currency":"EUR"}`, "Idempotency-Key", "once").expect(http.StatusUnprocessableEntity, "idempotency_key_reused")
}
