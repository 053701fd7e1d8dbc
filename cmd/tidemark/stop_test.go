package main

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestStopIsHeldUpByNobody: neither by a sender whose body never comes to its end nor by a profile that takes a
// minute. The steps behind them have their time, so the stop is an orderly one.
func TestStopIsHeldUpByNobody(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	e.send("GET", "/healthz", nil).expect(http.StatusOK, "")
	e.app.drainFor = 50 * time.Millisecond
	dial := func(url, text string) *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		if _, err := fmt.Fprint(conn, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	sender := dial(e.app.url, "POST /v1/accounts HTTP/1.1\nHost: 127.0.0.1\nExpect: 100-continue\nContent-Type: application/json\nContent-Length: 100\n\n")
	if line, err := sender.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") { // the handler waits for the body
		t.Fatalf("the sender got %q, %v", line, err)
	}
	dial(e.app.adminURL, "GET /debug/pprof/profile?seconds=60 HTTP/1.1\nHost: 127.0.0.1\n\n")
	e.until("the profile is taken", patience, func() bool {
		return strings.Contains(string(e.outside(e.app.adminURL+"/debug/pprof/goroutine?debug=2").body), "net/http/pprof.Profile(")
	})
	e.stop() // fails the test if any step did not end
}
