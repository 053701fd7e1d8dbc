package telemetry

import (
	"bytes"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/tidemark-dev/tidemark/domain"
)

// served is the text of a scrape.
func served(t *testing.T, m *Metrics) []byte {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	return answer.Body.Bytes()
}

// TestMetricsAreNamedAsPrometheusWants: units, endings and help texts, of every metric there is.
func TestMetricsAreNamedAsPrometheusWants(t *testing.T) {
	m := NewMetrics()
	m.Observe(func() []ModelLag { return []ModelLag{{Name: "order_board"}} }, func() []GroupState { return []GroupState{{Name: "order_board"}} })
	m.Engine(func() EngineState { return EngineState{} })
	m.DataDir(t.TempDir(), nil)
	m.Certificate(time.Now)
	m.UnderWay(func() map[string][2]int { return map[string][2]int{"command": {}} })
	m.Serves([]string{"createOrder"})
	m.Request("createOrder", "201", time.Second)
	m.Stream(+1, "")
	m.Stream(-1, "reader")
	m.DocumentCommand("find", time.Second, errors.New("gone"))
	m.Abandoned("append")
	m.Answered("order_board", "ack", 1)
	m.Delivered("order_board", "applied", 1)
	m.Delay("order_board", time.Second)
	m.Reconnected("client")
	m.Step("pay", "done")
	m.Swept("order_board", 1)
	text := served(t, m)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestWhatMayGoWrongIsCountedFromZero: to Prometheus an increase from nothing is none.
func TestWhatMayGoWrongIsCountedFromZero(t *testing.T) {
	m := NewMetrics()
	m.Serves([]string{"createOrder"})
	text := served(t, m)
	for _, want := range []string{
		`tidemark_http_requests_total{operation="createOrder",status="500"} 0`, `tidemark_http_requests_total{operation="",status="500"} 0`,
		`tidemark_eventstore_call_seconds_count{call="append",outcome="unknown"} 0`, `tidemark_recovered_panics_total 0`,
		`tidemark_http_shed_total{reason="queue"} 0`, `tidemark_timers_fired_total{outcome="failed"} 0`, `tidemark_breaker_open{store="read store"} 0`,
		`tidemark_http_denied_total{operation="createOrder"} 0`, `tidemark_eventstore_connected 0`,
	} {
		if !bytes.Contains(text, []byte(want+"\n")) {
			t.Errorf("a process that has just started lacks %s", want)
		}
	}
	m.TimerFired(nil)
	m.TimerFired(&domain.Error{Kind: domain.KindInternal, Code: "internal"})
	m.Connected(true)
	text = served(t, m)
	for _, want := range []string{`tidemark_timers_fired_total{outcome="failed"} 1`, `tidemark_timers_fired_total{outcome="done"} 1`, `tidemark_eventstore_connected 1`} {
		if !bytes.Contains(text, []byte(want+"\n")) {
			t.Errorf("the metrics lack %s", want)
		}
	}
}
