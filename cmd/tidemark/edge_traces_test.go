package main

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spanCollector takes spans over OTLP/HTTP and keeps them.
type spanCollector struct {
	t   *testing.T
	url string

	mu    sync.Mutex
	spans []*tracev1.Span
}

func startSpanCollector(t *testing.T) *spanCollector {
	t.Helper()
	c := &spanCollector{t: t}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *spanCollector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			c.t.Error(err)
			return
		}
		body = unzipped
	}
	text, err := io.ReadAll(body)
	if err != nil {
		c.t.Error(err)
	}
	var sent collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(text, &sent); err != nil {
		c.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range sent.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// under lists the spans of a trace as "name stream"; of all traces for "". Of equals the one that began first counts.
func (c *spanCollector) under(traceID string) map[string]*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]*tracev1.Span{}
	for _, span := range c.spans {
		if traceID != "" && hex.EncodeToString(span.GetTraceId()) != traceID {
			continue
		}
		name := span.GetName()
		for _, attribute := range span.GetAttributes() {
			if attribute.GetKey() == "tidemark.stream" {
				name += " " + attribute.GetValue().GetStringValue()
			}
		}
		if earlier := found[name]; earlier == nil || span.GetStartTimeUnixNano() < earlier.GetStartTimeUnixNano() {
			found[name] = span
		}
	}
	return found
}

// all are the spans that have come.
func (c *spanCollector) all() []*tracev1.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.spans)
}

// TestOneTraceFromTheRequestToTheScreens: a caller's trace goes on in the request, in the event store, in
// the event's metadata, in every projection of the event, and in the process that the event moves.
func TestOneTraceFromTheRequestToTheScreens(t *testing.T) {
	t.Parallel()
	collecting := startSpanCollector(t)
	p := startProcess(t, t.TempDir(), nil, "OTEL_EXPORTER_OTLP_ENDPOINT="+collecting.url, "OTEL_BSP_SCHEDULE_DELAY=50")
	e := p.edge()
	s := e.furnish("ann")
	p.await("the process has seen what came before", func() bool { return collecting.under("")["fulfil order-"+s.order] != nil })
	const traceID, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil, "traceparent", "00-"+traceID+"-"+caller+"-01").expect(http.StatusOK, "")
	wanted := []string{
		"POST /v1/orders/:id/confirm", "eventstore append order-" + s.order, "eventstore append fulfilment-" + s.order, "eventstore append account-" + s.account,
		"eventstore append inventory-" + s.sku, "fulfil order-" + s.order, "fulfil account-" + s.account,
		"project order_details order-" + s.order, "project customer_orders order-" + s.order, "project order_board order-" + s.order, "project sales_by_day order-" + s.order,
		"project audit_log order-" + s.order, "project order_details fulfilment-" + s.order, "project fulfilment_monitor fulfilment-" + s.order,
		"project account_statement account-" + s.account, "project stock_levels inventory-" + s.sku, "project audit_log inventory-" + s.sku,
	}
	var have map[string]*tracev1.Span
	missing := func() (names []string) {
		have = collecting.under(traceID)
		for _, name := range wanted {
			if have[name] == nil {
				names = append(names, name)
			}
		}
		return names
	}
	defer func() {
		if t.Failed() {
			for name := range have {
				t.Log("there is", name)
			}
			t.Logf("missing: %q", missing())
		}
	}()
	p.await("every span of the trace", func() bool { return len(missing()) == 0 })
	request := have[wanted[0]]
	if parent := hex.EncodeToString(request.GetParentSpanId()); parent != caller {
		t.Errorf("the request's span is below %s, not the caller's", parent)
	}
	for _, name := range []string{wanted[1], "fulfil order-" + s.order, "project order_details order-" + s.order} {
		if parent := hex.EncodeToString(have[name].GetParentSpanId()); parent != hex.EncodeToString(request.GetSpanId()) {
			t.Errorf("%s is not below the request", name)
		}
	}
	_, out, errs := runProgram(t, []string{"events", "show", "order-" + s.order, "--json"}, "TIDEMARK_EVENTSTORE="+p.node, "TIDEMARK_DATA_DIR="+t.TempDir())
	if want := "00-" + traceID + "-" + hex.EncodeToString(request.GetSpanId()) + "-01"; !strings.Contains(out, want) {
		t.Errorf("no event's metadata has %s:\n%s%s", want, out, errs)
	}
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
}

// TestWhatIsTracedAndWhatSpansSay: a caller decides whether a trace is sampled, what is no trace context starts a new
// one, and a span says where something happened but nothing of what callers and events contain.
func TestWhatIsTracedAndWhatSpansSay(t *testing.T) {
	t.Parallel()
	collecting := startSpanCollector(t)
	p := startProcess(t, t.TempDir(), nil, "OTEL_EXPORTER_OTLP_ENDPOINT="+collecting.url, "OTEL_BSP_SCHEDULE_DELAY=50")
	e := p.edge()
	s := e.furnish("ann")
	unwanted, caller := strings.Repeat("a", 32), "00f067aa0ba902b7"
	deposit := "/v1/accounts/" + s.account + "/deposits"
	e.send("POST", deposit, `{"amount":1,"currency":"EUR","reference":"CANARY"}`, "traceparent", "00-"+unwanted+"-"+caller+"-00").expect(http.StatusOK, "")
	malformed := []string{"CANARY", "00-" + strings.Repeat("0", 32) + "-" + caller + "-01", "00-" + strings.Repeat("b", 31) + "-" + caller + "-01", "ff-" + strings.Repeat("b", 32) + "-" + caller + "-01"}
	for i, header := range malformed {
		e.send("POST", deposit, `{"amount":1,"currency":"EUR","reference":"CANARY"}`, "traceparent", header, "tracestate", "v=CANARY", "baggage", "v=CANARY",
			"X-Request-Id", fmt.Sprintf("odd-%d", i), "Cookie", "CANARY").expect(http.StatusOK, "")
	}
	e.send("GET", "/v1/orders?customerId=CANARY", nil)
	e.until("nothing is behind", patience, e.caughtUp)
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if n := len(collecting.under(unwanted)); n != 0 {
		t.Errorf("%d spans of a trace that is not sampled", n)
	}
	roots, routed := 0, false
	for _, span := range collecting.all() {
		text := span.String()
		if strings.Contains(text, "CANARY") || strings.HasPrefix(hex.EncodeToString(span.GetTraceId()), "bbbb") {
			t.Errorf("a span says %s", text)
		}
		routed = routed || strings.Contains(text, "http.route") && strings.Contains(text, "/v1/accounts/:id/deposits")
		if strings.Contains(text, `"odd-`) && len(span.GetParentSpanId()) == 0 {
			roots++
		}
	}
	if roots != len(malformed) || !routed {
		t.Errorf("%d of %d requests with a damaged trace context began a trace and have their id; with a route: %v", roots, len(malformed), routed)
	}
	_, out, errs := runProgram(t, []string{"events", "show", "account-" + s.account, "--json"}, "TIDEMARK_DATA_DIR="+p.data)
	if !strings.Contains(out, "00-"+unwanted+"-") || strings.Contains(out, "v=CANARY") {
		t.Errorf("the events say of their trace:\n%s%s", out, errs)
	}
}

// TestACollectorThatIsAwayCostsNoRequest: nothing of the service depends on where its spans go.
func TestACollectorThatIsAwayCostsNoRequest(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1", "OTEL_BSP_SCHEDULE_DELAY=50")
	e := p.edge()
	s := e.furnish("ann")
	e.shown("/v1/orders/" + s.order)
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
}
