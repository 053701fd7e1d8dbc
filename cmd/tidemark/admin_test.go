package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func TestConnectionsLeaveFilesToTheStores(t *testing.T) {
	for files, want := range map[uint64]int{0: 16, 256: 128, 1024: 512, 4096: 2048, 16384: maxConnections, 1 << 20: maxConnections, 1<<64 - 1: maxConnections} {
		if got := connectionsOf(files); got != want {
			t.Errorf("%d connections with %d files, want %d", got, files, want)
		}
	}
}

// TestTheAdminListenerAnswersHealthChecks: it is the only one that a worker has.
func TestTheAdminListenerAnswersHealthChecks(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	for path, want := range map[string]string{"/healthz": `"status":"ok"`, "/readyz": `"name":"event store"`} {
		response, err := http.Get(e.app.adminURL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		starting := path == "/readyz" && response.StatusCode == http.StatusServiceUnavailable // consumers may not be there yet
		if response.StatusCode != http.StatusOK && !starting || !strings.Contains(string(body), want) {
			t.Errorf("%s answers %d: %s", path, response.StatusCode, body)
		}
	}
}

// TestTheAdminListenerIsBounded: more connections than it takes are closed and counted, and it goes on.
func TestTheAdminListenerIsBounded(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	refused := regexp.MustCompile(`(?m)^tidemark_http_shed_total{reason="connections"} [1-9]`)
	var open []net.Conn
	for range 10 * adminConnections { // many more: silent ones end by themselves after a while
		conn, err := net.Dial("tcp", strings.TrimPrefix(e.app.adminURL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	e.until("the refused ones are counted", patience, func() bool {
		recorder := httptest.NewRecorder() // without a connection
		e.app.metrics.Handler().ServeHTTP(recorder, httptest.NewRequest("GET", "/metrics", nil))
		return refused.MatchString(recorder.Body.String())
	})
	for _, conn := range open {
		_ = conn.Close()
	}
	e.until("it is there again", patience, func() bool {
		response, err := http.Get(e.app.adminURL + "/metrics")
		if err != nil {
			return false // there is no place yet
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}
