package httpapi

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// rawStatuses writes bytes to a server, and no more, and gives the statuses of all that it answers.
func rawStatuses(t *testing.T, addr, request string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = io.WriteString(conn, request) // the server may close before it has read all
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(reader, nil)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the server neither answers nor closes after %v", statuses)
		}
		if err != nil {
			return statuses
		}
		statuses = append(statuses, response.StatusCode)
		body, err := io.ReadAll(response.Body)
		if response.StatusCode >= http.StatusBadRequest {
			checkProblem(t, response, body)
		}
		if err != nil || response.Close {
			return statuses
		}
	}
}

// checkProblem holds that a failure is a problem of the catalogue with all its headers, whichever layer wrote it.
func checkProblem(t *testing.T, response *http.Response, body []byte) {
	t.Helper()
	var p Problem
	if err := json.Unmarshal(body, &p); err != nil || response.Header.Get("Content-Type") != problemType {
		t.Errorf("%d as %q: %q", response.StatusCode, response.Header.Get("Content-Type"), body)
		return
	}
	if e, known := catalogue[p.Code]; !known || e.status != response.StatusCode || p.Status != response.StatusCode || p.Title != e.title || p.Detail == "" || p.Type != "/docs/errors/"+p.Code {
		t.Errorf("%d says %s", response.StatusCode, body)
	}
	if id := response.Header.Get("X-Request-Id"); id == "" || id != p.RequestID {
		t.Errorf("request id %q in the header, %q in the body", id, p.RequestID)
	}
	for _, name := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Cache-Control", "Date"} {
		if response.Header.Get(name) == "" {
			t.Errorf("%d has no %s", response.StatusCode, name)
		}
	}
}

// TestOneRequestIsOneRequest: no way to write a request makes the server see another one than was sent, or two
// where a proxy in front would see one.
func TestOneRequestIsOneRequest(t *testing.T) {
	confirm := "/v1/orders/" + someOrder + "/confirm"
	hidden := "POST " + confirm + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + headers + "\r\n" + body
	}
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(orderBody), orderBody)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(orderBody))
	for _, test := range []struct {
		name, request string
		status        int
		commands      int
	}{
		{"an honest one", post(length, orderBody), 201, 1},
		{"an honest one in chunks", post("Transfer-Encoding: chunked\r\n", chunked), 201, 1},
		{"two lengths", post(length+"Content-Length: 5\r\n", orderBody), 400, 0},
		{"a list of lengths", post("Content-Length: 5, 6\r\n", "{}   "), 400, 0},
		{"more than its length", post("Content-Length: 40\r\n", orderBody), 400, 0},
		{"something behind its length", post(length, orderBody+"{}\r\n\r\n"), 201, 1},
		{"a negative length", post("Content-Length: -1\r\n", orderBody), 400, 0},
		{"a length with a plus", post("Content-Length: +2\r\n", "{}"), 400, 0},
		{"a hexadecimal length", post("Content-Length: 0x2\r\n", "{}"), 400, 0},
		{"an unknown encoding", post("Transfer-Encoding: xchunked\r\n", chunked), 501, 0},
		{"two encodings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", chunked), 501, 0},
		{"an encoding after another", post("Transfer-Encoding: gzip, chunked\r\n", chunked), 501, 0},
		{"a space before the colon", post("Content-Length : 2\r\n", "{}"), 400, 0},
		{"a folded header", post("X-A: 1\r\n 2\r\n"+length, orderBody), 0, 1},
		{"a NUL in a header", post("X-A: a\x00b\r\n"+length, orderBody), 400, 0},
		{"a bad chunk size", post("Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"), 400, 0},
		{"a chunk longer than said", post("Transfer-Encoding: chunked\r\n", "2\r\n{}{}\r\n0\r\n\r\n"), 400, 0},
		{"no host", "GET /v1/board HTTP/1.1\r\n\r\n", 400, 0},
		{"two hosts", "GET /v1/board HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400, 0},
		{"no version", "GET /v1/board\r\n\r\n", 400, 0},
		{"an unknown version", "GET /v1/board HTTP/3.0\r\nHost: localhost\r\n\r\n", 505, 0},
		{"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404, 0},
		{"a TLS greeting", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400, 0},
		{"headers without end", "GET /v1/board HTTP/1.1\r\nHost: localhost\r\nX-A: " + strings.Repeat("a", 2*maxHeader) + "\r\n\r\n", 431, 0},
		{"very many headers", "GET /v1/board HTTP/1.1\r\nHost: localhost\r\n" + strings.Repeat("X-A: aaaaaaaaaaaa\r\n", maxHeader/8) + "\r\n", 431, 0},
		{"an expectation nobody knows", post("Expect: magic\r\n"+length, orderBody), 417, 0},
		{"options of everything", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404, 0},
		{"a request in the body of a GET", fmt.Sprintf("GET /v1/board HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), 400, 0},
		{"a request in the body of a refused one", fmt.Sprintf("POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden), 404, 0},
		{"an honest one behind a body that is too long", post(fmt.Sprintf("Content-Length: %d\r\n", 1<<21), strings.Repeat(" ", 1<<21)) + hidden, 413, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			statuses := rawStatuses(t, w.listening(), test.request)
			if test.status != 0 && (len(statuses) == 0 || statuses[0] != test.status) {
				t.Errorf("answers %v, want %d", statuses, test.status)
			}
			if n := len(w.commands.took()); n > test.commands || test.status != 0 && n != test.commands {
				t.Errorf("%d commands", n)
			}
		})
	}
}

// TestRequestsInARowAreAnsweredInARow: what is sent without waiting is answered in order, one at a time.
func TestRequestsInARowAreAnsweredInARow(t *testing.T) {
	w := newWorld(t)
	get := func(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n" }
	statuses := rawStatuses(t, w.listening(), get("/healthz")+get("/nothing")+get("/v1/board")+"DELETE /v1/board HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"+get("/healthz"))
	if fmt.Sprint(statuses) != "[200 404 200 405]" {
		t.Errorf("answers %v", statuses)
	}
}

// TestSlowSendersAreCutOff: a head, or a body, that trickles in ends its connection by the server's bound, while
// others are served.
func TestSlowSendersAreCutOff(t *testing.T) {
	const bound = time.Second
	for name, test := range map[string]struct {
		begin, drip string
	}{
		"head": {"GET /v1/board HTTP/1.1\r\nHost: localhost\r\n", "X-A: a\r\n"},
		"body": {"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", " "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *Options) { o.headerTimeout, o.bodyTimeout = bound, bound })
			addr := w.listening()
			began, ended := time.Now(), make(chan struct{}) // before the server's clock starts
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go func() {
				defer close(ended)
				_, _ = io.Copy(io.Discard, conn) // its end is what counts
			}()
			if _, err := io.WriteString(conn, test.begin); err != nil {
				t.Fatal(err)
			}
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_, _ = io.WriteString(conn, test.drip) // it may be closed already
					w.send("GET", "/healthz", "").expect(http.StatusOK, "")
				case <-ended:
					if took := time.Since(began); took < bound {
						t.Errorf("cut off after %s already", took)
					}
					return
				case <-time.After(patience):
					t.Fatalf("still open after %s", time.Since(began))
				}
			}
		})
	}
}
