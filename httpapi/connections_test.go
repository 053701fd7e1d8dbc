package httpapi

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// dialled is a connection to a server that speaks HTTP by hand.
type dialled struct {
	net.Conn
	t      testing.TB
	reader *bufio.Reader
}

// dial opens a connection; over TLS if there is a configuration.
func dial(t testing.TB, addr string, secure *tls.Config) *dialled {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if secure != nil {
		conn = tls.Client(conn, secure)
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &dialled{Conn: conn, t: t, reader: bufio.NewReader(conn)}
}

// ask sends a request without a body.
func (d *dialled) ask(method, path string) {
	d.t.Helper()
	if _, err := fmt.Fprintf(d, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", method, path); err != nil {
		d.t.Fatal(err)
	}
}

// answer reads one.
func (d *dialled) answer() *http.Response {
	d.t.Helper()
	response, err := http.ReadResponse(d.reader, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		d.t.Fatal(err)
	}
	return response
}

// gets asks and expects a status.
func (d *dialled) gets(method, path string, status int) *http.Response {
	d.t.Helper()
	d.ask(method, path)
	response := d.answer()
	if response.StatusCode != status {
		d.t.Fatalf("%s %s: %d, want %d", method, path, response.StatusCode, status)
	}
	return response
}

// isClosed waits for the server to close the connection without a further word.
func (d *dialled) isClosed() {
	d.t.Helper()
	_, err := d.reader.ReadByte()
	if timeout, ok := err.(net.Error); err == nil || ok && timeout.Timeout() {
		d.t.Fatalf("the connection is open still: %v", err)
	}
}

const confirmPath = "/v1/orders/" + someOrder + "/confirm"

// counted adds up what the hooks tell of connections.
type counted struct{ open, refused atomic.Int64 }

func (n *counted) hook(o *Options) {
	o.Hooks.Connections = func(change int) { n.open.Add(int64(change)) }
	o.Hooks.Shed = func(_, reason string) {
		if reason == "connections" {
			n.refused.Add(1)
		}
	}
}

// none waits until all connections are accounted for.
func (n *counted) none(t testing.TB) {
	t.Helper()
	eventually(t, "no connection counts any more", func() bool { return n.open.Load() == 0 })
}

// TestIdleConnectionsMakeRoom: the one that has idled longest goes, with TLS and without.
func TestIdleConnectionsMakeRoom(t *testing.T) {
	for _, over := range []string{"TCP", "TLS"} {
		t.Run(over, func(t *testing.T) {
			var n counted
			w := newWorld(t, n.hook, func(o *Options) { o.Limits.Connections, o.settled = 2, time.Nanosecond })
			var client *tls.Config
			var addr string
			if over == "TCP" {
				addr = w.listening()
			} else {
				addr, client = w.listeningTLS(), &tls.Config{InsecureSkipVerify: true} // the certificate is httptest's
			}
			first, second := dial(t, addr, client), dial(t, addr, client)
			first.gets("GET", "/v1/board", http.StatusOK)
			eventually(t, "the first idles", func() bool { return w.idling() == 1 })
			second.gets("GET", "/v1/board", http.StatusOK)
			eventually(t, "both idle", func() bool { return w.idling() == 2 })
			third := dial(t, addr, client)
			third.gets("GET", "/v1/board", http.StatusOK)
			first.isClosed()
			second.gets("GET", "/v1/board", http.StatusOK)
			third.gets("GET", "/v1/board", http.StatusOK)
			if open, refused := n.open.Load(), n.refused.Load(); open != 2 || refused != 0 {
				t.Errorf("%d open, %d refused", open, refused)
			}
			if err := w.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			n.none(t)
		})
	}
}

// idling is how many connections are between two requests.
func (w *world) idling() int {
	w.conns.mu.Lock()
	defer w.conns.mu.Unlock()
	return w.conns.idle.Len()
}

// TestWhoIsServedKeepsTheirConnection: while all places are busy newcomers hear why they are not served, but
// health checks are, and whoever is beyond even that is closed at once.
func TestWhoIsServedKeepsTheirConnection(t *testing.T) {
	var n counted
	w := newWorld(t, n.hook, func(o *Options) { o.Limits.Connections, o.settled = 2, time.Nanosecond })
	addr := w.listening()
	w.commands.block = make(chan struct{})
	busy := []*dialled{dial(t, addr, nil), dial(t, addr, nil)}
	for _, b := range busy {
		b.gets("GET", "/v1/board", http.StatusOK)
	}
	eventually(t, "both idle", func() bool { return w.idling() == 2 })
	for _, b := range busy {
		b.ask("POST", confirmPath)
	}
	eventually(t, "both are served", func() bool { return len(w.commands.took()) == 2 })

	refused := dial(t, addr, nil).gets("POST", confirmPath, http.StatusServiceUnavailable)
	if refused.Header.Get("Retry-After") == "" || !refused.Close || refused.Header.Get("Content-Type") != problemType {
		t.Errorf("the refusal is %+v", refused)
	}
	eventually(t, "its place is free", func() bool { return n.open.Load() == 2 })
	if healthy := dial(t, addr, nil).gets("GET", "/healthz", http.StatusOK); !healthy.Close {
		t.Error("a spare place is kept")
	}
	eventually(t, "its place is free", func() bool { return n.open.Load() == 2 })

	waiting := dial(t, addr, nil) // in the only spare place
	eventually(t, "it has it", func() bool { return n.open.Load() == 3 })
	dial(t, addr, nil).isClosed()
	if got := n.refused.Load(); got != 2 {
		t.Errorf("%d counted as refused, want the request and the connection", got)
	}

	close(w.commands.block)
	for _, b := range busy {
		if got := b.answer(); got.StatusCode != http.StatusOK || got.Close {
			t.Errorf("one that was served first got %d, %t", got.StatusCode, got.Close)
		}
	}
	eventually(t, "both idle", func() bool { return w.idling() == 2 })
	if got := waiting.gets("POST", confirmPath, http.StatusOK); got.Close { // there is room by now
		t.Error("its connection ends")
	}
	if n := len(w.commands.took()); n != 3 {
		t.Errorf("%d commands", n)
	}
}

// TestQuickClientsDoNotTakeEachOthersPlaces: a connection that idles between two requests in a row stays.
func TestQuickClientsDoNotTakeEachOthersPlaces(t *testing.T) {
	var n counted
	w := newWorld(t, n.hook, func(o *Options) { o.Limits.Connections, o.settled = 1, time.Hour })
	addr := w.listening()
	quick := dial(t, addr, nil)
	quick.gets("GET", "/v1/board", http.StatusOK)
	eventually(t, "it idles", func() bool { return w.idling() == 1 })
	dial(t, addr, nil).gets("GET", "/v1/board", http.StatusServiceUnavailable)
	quick.gets("GET", "/v1/board", http.StatusOK)
}

// TestAServerWithoutSparePlacesClosesNewcomers: as other listeners of the program are bounded.
func TestAServerWithoutSparePlacesClosesNewcomers(t *testing.T) {
	var n counted
	var o Options
	n.hook(&o)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	BoundConnections(server.Config, 1, o.Hooks)
	server.Start()
	addr := server.Listener.Addr().String()
	first := dial(t, addr, nil)
	eventually(t, "it is there", func() bool { return n.open.Load() == 1 })
	dial(t, addr, nil).isClosed()
	first.gets("GET", "/", http.StatusOK)
	if got := n.refused.Load(); got != 1 {
		t.Errorf("%d refused", got)
	}
	_ = first.Close()
	n.none(t)
	server.Close()
}
