package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// TestEveryLineOfARequestHasItsIDs: whatever is told of it, all is found by any of them; and what is in its body and
// its secrets is in none.
func TestEveryLineOfARequestHasItsIDs(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	ids := []string{"X-Request-Id", "r-1", "X-Correlation-Id", "c-1", "traceparent", "00-" + trace + "-00f067aa0ba902b7-01", "tracestate", "CANARY=1", "Cookie", "CANARY"}
	for _, c := range []struct {
		name, token string
		fail        func(call) error
		status      int
		stack       bool
	}{
		{"is done", "", func(call) error { return nil }, http.StatusOK, false},
		{"meets a defect", "", func(call) error { return errors.New("a defect") }, http.StatusInternalServerError, false},
		{"panics", "", func(call) error { panic("a defect") }, http.StatusInternalServerError, true},
		{"has a wrong token", "CANARY.CANARY.CANARY", nil, http.StatusUnauthorized, false},
	} {
		var log lines
		i := newIssuer(t)
		w := i.secured(func(o *Options) { o.Logger = log.logger() })
		w.commands.fail = c.fail
		token := c.token
		if token == "" {
			token = i.good(nil)
		}
		got := w.send("POST", "/v1/orders/"+someOrder+"/cancel", `{"reason":"CANARY"}`, append(ids, "Authorization", "Bearer "+token)...)
		if got.Code != c.status {
			t.Errorf("a request that %s: %d %s", c.name, got.Code, got.Body)
		}
		stack := false
		for line := range strings.Lines(log.String()) {
			var said map[string]any
			if err := json.Unmarshal([]byte(line), &said); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if said["request_id"] != "r-1" || said["correlation_id"] != "c-1" || said["trace_id"] != trace || strings.Contains(line, "CANARY") {
				t.Errorf("a request that %s: %s", c.name, line)
			}
			stack = stack || said["stack"] != nil
		}
		if log.String() == "" || stack != c.stack {
			t.Errorf("a request that %s: a stack: %v\n%s", c.name, stack, log.String())
		}
	}
}
