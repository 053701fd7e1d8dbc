package main

import (
	"encoding/json"
	"net/http"
	"os"
	"testing"
	"time"
)

// outageVariable makes the outage of the test longer: 10s in CI, 5m by hand.
const outageVariable = "TIDEMARK_TEST_OUTAGE"

// recoverWithin is how soon after its event store is back the service does everything again, by itself.
const recoverWithin = 5 * time.Second

// TestALongOutageHealsByItself: after an event store that was away for long enough that every backoff has
// grown to its longest, commands, screens, workers and readiness come back without a hand.
func TestALongOutageHealsByItself(t *testing.T) {
	if testing.Short() {
		t.Skip("an outage takes seconds")
	}
	t.Parallel()
	outage := 4 * time.Second
	if text := os.Getenv(outageVariable); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	node := startCommandNode(t)
	w := newWire(t, node.node.Addr().String())
	p := startProcess(t, t.TempDir(), nil, "TIDEMARK_EVENTSTORE=esdb://"+w.listener.Addr().String()+"?tls=false", "TIDEMARK_LOG_LEVEL=warn")
	e := p.edge()
	s := e.furnish("ann")
	screens := []string{"/v1/orders/" + s.order, "/v1/board", "/v1/accounts/" + s.account, "/v1/inventory/" + s.sku}
	e.shown(screens...)
	e.until("nothing is behind before", patience, e.caughtUp)
	machine := startPulse(t)

	w.sever(true)
	refused := 0
	for away := time.After(outage); away != nil; {
		select {
		case <-away:
			away = nil
		case <-time.After(250 * time.Millisecond):
			began, allowance := time.Now(), machine.allowance()
			got := e.deposit(s)
			took := time.Since(began)
			if code := got.code(); code != "event_store_unavailable" && code != "outcome_unknown" || took > refuseWithin+allowance() {
				t.Errorf("a command during the outage: %d %s after %s", got.status, code, took)
			}
			refused++
			e.send("GET", screens[refused%len(screens)], nil).expect(http.StatusOK, "")
		}
	}
	w.sever(false)
	mended, allowance := time.Now(), machine.allowance()
	after := func(what string, holds func() bool) {
		e.until(what+" again", patience, holds)
		took, allowed := time.Since(mended), recoverWithin+allowance()
		t.Logf("%s %s after the store was back", what, took.Round(time.Millisecond))
		if took > allowed {
			t.Errorf("%s came back after %s, and on this machine %s are allowed", what, took, allowed)
		}
	}
	after("commands", func() bool { return e.deposit(s).status == http.StatusOK })
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil).expect(http.StatusOK, "")
	after("screens", func() bool {
		return e.send("GET", screens[0], nil, "Tidemark", e.written[len(e.written)-1], "Prefer", "wait=1").status == http.StatusOK
	})
	after("the fulfilment process", func() bool { return e.send("GET", screens[0], nil).json()["status"] == "prepared" })
	after("every read model caught up", e.caughtUp)
	after("readiness", func() bool { return e.send("GET", "/readyz", nil).status == http.StatusOK })
	t.Logf("%d commands refused in %s", refused, outage)
}

func (e *edge) deposit(s shop) got {
	e.t.Helper()
	return e.send("POST", "/v1/accounts/"+s.account+"/deposits", `{"amount":5,"currency":"EUR"}`)
}

// caughtUp says whether every read model is live with nothing to apply and nothing blocked.
func (e *edge) caughtUp() bool {
	e.t.Helper()
	var list struct {
		Items []struct {
			State     string
			LagEvents int64
			Blocked   int64
		}
	}
	if got := e.send("GET", "/v1/ops/readmodels", nil); got.status != http.StatusOK || json.Unmarshal(got.body, &list) != nil || len(list.Items) == 0 {
		return false
	}
	for _, m := range list.Items {
		if m.State != "live" || m.LagEvents != 0 || m.Blocked != 0 {
			return false
		}
	}
	return true
}
