package main

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
)

// TestNoCallerNamesALabel: what callers, and other programs on the same event store, call things is in no label, and
// the number of series does not grow with what they ask.
func TestNoCallerNamesALabel(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := e.app.store.Create(ctx, domain.Group{Name: "canary-group", Prefixes: []string{"canary-"}}, domain.From{}); err != nil {
		t.Fatal(err)
	}
	s := e.furnish("canary-customer")
	e.shown("/v1/orders/" + s.order)
	scrape := func() string { return string(e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "").body) }
	e.until("the groups are told", patience, func() bool {
		return strings.Contains(scrape(), `tidemark_subscription_consumers{group="order_board"} 1`)
	})
	strange := func(n string) {
		e.send("GET", "/canary-path-"+n, nil)
		e.send("GET", "/v1/orders/canary-id-"+n, nil, "X-Request-Id", "canary-request-"+n, "traceparent", "canary")
		e.send("GET", "/v1/orders?status=canary-"+n, nil)
		e.send("GET", "/v1/readmodels/canary-model-"+n, nil)
		e.send("POST", "/v1/products", `{"sku":"canary-`+n+`"}`, "Idempotency-Key", "canary-key-"+n)
	}
	strange("0")
	before := strings.Count(scrape(), "\ntidemark_http_")
	for _, n := range []string{"1", "2", "3", "4"} {
		strange(n)
	}
	text := scrape()
	if after := strings.Count(text, "\ntidemark_http_"); after != before {
		t.Errorf("%d series after the same requests again, %d before", after, before)
	}
	named := regexp.MustCompile(`="([^"]*)"`)
	plain := regexp.MustCompile(`^[A-Za-z0-9_./+ -]*$`)
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") || !strings.HasPrefix(line, "tidemark_") {
			continue
		}
		for _, label := range named.FindAllStringSubmatch(line, -1) {
			if strings.Contains(label[1], "canary") || strings.Contains(label[1], s.order) || !plain.MatchString(label[1]) || len(label[1]) > 40 {
				t.Errorf("a label that somebody else chose: %s", line)
			}
		}
	}
}

func TestLiveStreamsAreCounted(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	s := e.furnish("ann")
	e.shown("/v1/orders/" + s.order)
	stream := e.listen("/v1/orders/"+s.order, "")
	has := func(line string) func() bool {
		return func() bool {
			return strings.Contains(string(e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "").body), line+"\n")
		}
	}
	e.until("the stream is counted", patience, has("tidemark_http_live_streams 1"))
	stream.cancel()
	e.until("and that it ended", patience, has("tidemark_http_live_streams 0"))
	e.until("why", patience, has(`tidemark_http_live_streams_ended_total{why="reader"} 1`))
}

// TestANodeTellsHowItIs: a node that runs alone has metrics and profiles as well, and nothing that it does not do.
func TestANodeTellsHowItIs(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), []string{"node"}, "TIDEMARK_ADMIN_ADDR=127.0.0.1:0")
	var found []string
	p.await("the address of its metrics", func() bool {
		found = regexp.MustCompile(`metrics +(http://\S+)/metrics`).FindStringSubmatch(p.output())
		return found != nil
	})
	e := &edge{t: t}
	text := string(e.outside(found[1]+"/metrics").expect(http.StatusOK, "").body)
	for _, want := range []string{"tidemark_eventlog_events ", "tidemark_data_free_bytes ", `tidemark_data_file_bytes{file="events.db"} `, "process_start_time_seconds "} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(text, "tidemark_breaker_open") {
		t.Error("a node has no breakers")
	}
	e.outside(found[1]+"/debug/pprof/goroutine?debug=1").expect(http.StatusOK, "")
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
}
