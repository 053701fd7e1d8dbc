package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// An event that a newer release wrote blocks its own stream and nothing else: no screen and no command
// passes over it as if it weren't there, and it is told of where operators look.
func TestAnEventOfTheFutureBlocksItsStream(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	p.receive("OLD")
	p.receive("NEW")
	mustRun(t, 0, "TIDEMARK_DATA_DIR="+p.data, "events", "check")
	p.spoilt = true // the invariants demand that everything can be read
	store, err := esdb.Open(p.node, esdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	future := codec.Raw{ID: uuid.NewString(), Type: "StockReceived", Data: []byte(`{"pallets":3}`), Metadata: []byte(`{"schemaVersion":99,"at":"2031-01-01T00:00:00Z"}`)}
	if _, err := store.AppendRaw(t.Context(), "inventory-NEW", 0, []codec.Raw{future}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.await("the stream to be blocked", func() bool {
		var m modelRow
		_, err := p.api.call(t.Context(), "GET", "/v1/ops/readmodels/stock_levels", nil, &m)
		return err == nil && m.Blocked == 1 && m.LagEvents == 0
	})
	p.receive("OLD")
	var stock struct {
		OnHand, Revision int64
	}
	if _, err := p.api.call(t.Context(), "GET", "/v1/inventory/NEW", nil, &stock); err != nil || stock.OnHand != 5 || stock.Revision != 0 {
		t.Errorf("the screen passed the event or lost what was before: %+v, %v", stock, err)
	}
	// By hand, for the program's own client would try a 503 again.
	answer, err := http.Post(p.api.base+"/v1/inventory/NEW/receipts", "application/json", strings.NewReader(`{"quantity":1}`))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), "undecodable_event") {
		t.Errorf("a command on what can't be read: %s %s, %v", answer.Status, body, err)
	}
	if out := mustRun(t, exitFailed, "TIDEMARK_DATA_DIR="+p.data, "events", "check"); !strings.Contains(out, "inventory-NEW") || strings.Contains(out, "inventory-OLD") {
		t.Errorf("events check says:\n%s", out)
	}
	p.walk([]step{{"readmodels blocked stock_levels", 0, []string{`^inventory-NEW +1 +StockReceived `}, ""}})
	if _, err := p.api.call(t.Context(), "GET", "/v1/audit?stream=inventory-OLD", nil, nil); err != nil {
		t.Errorf("the audit log of another stream: %v", err)
	}
}
