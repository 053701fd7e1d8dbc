package httpapi

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// listeningTLS starts the server of a world behind TLS, with a certificate that httptest has.
func (w *world) listeningTLS() string {
	w.t.Helper()
	lender := httptest.NewUnstartedServer(nil)
	lender.StartTLS()
	certificates := lender.TLS.Certificates
	lender.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Start(tls.NewListener(listener, &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12})); err != nil {
		w.t.Fatal(err)
	}
	return listener.Addr().String()
}

// Under TLS too, what can't be read is refused as a problem, and what can be read is served as HTTPS.
func TestUnreadableRequestsUnderTLSAreProblems(t *testing.T) {
	w := newWorld(t)
	addr := w.listeningTLS()
	for request, want := range map[string]int{
		"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n": http.StatusOK,
		"GET /v1/board\r\n\r\n":                             http.StatusBadRequest,
		"GET /v1/board HTTP/3.0\r\nHost: localhost\r\n\r\n": http.StatusHTTPVersionNotSupported,
	} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the certificate is httptest's
		if err != nil {
			t.Fatal(err)
		}
		response, body := exchangeRaw(t, conn, request)
		if response.StatusCode != want {
			t.Errorf("%q: %d, want %d", request, response.StatusCode, want)
		}
		if want != http.StatusOK {
			checkProblem(t, response, body)
		} else if response.Header.Get("Strict-Transport-Security") == "" {
			t.Error("the handlers don't see that the connection is secure")
		}
	}
}

func TestARequestWithoutTLSIsToldSo(t *testing.T) {
	w := newWorld(t)
	conn, err := net.Dial("tcp", w.listeningTLS())
	if err != nil {
		t.Fatal(err)
	}
	response, body := exchangeRaw(t, conn, "GET /v1/board HTTP/1.1\r\nHost: localhost\r\n\r\n")
	checkProblem(t, response, body)
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("%d", response.StatusCode)
	}
}

// exchangeRaw sends a request and reads one answer to it.
func exchangeRaw(t *testing.T, conn net.Conn, request string) (*http.Response, []byte) {
	t.Helper()
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// Requests that no handler sees are counted all the same.
func TestUnreadableRequestsAreCounted(t *testing.T) {
	var mu sync.Mutex
	var counted []string
	w := newWorld(t, func(o *Options) {
		o.Hooks.Served = func(operation, _ string, status int, _ time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			counted = append(counted, fmt.Sprintf("%s %d", operation, status))
		}
	})
	rawStatuses(t, w.listening(), "GET /v1/board\r\n\r\n")
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(counted) != "[ 400]" {
		t.Errorf("counted %q", counted)
	}
}

// An answer of a handler is never taken for a refusal, whatever its content.
func TestAnswersOfHandlersPassAsTheyAre(t *testing.T) {
	for _, answer := range []string{
		"", "HTTP/1.1 4", "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nDate: now\r\nConnection: close\r\n\r\n",
		"HTTP/1.1 400 Bad Request\r\nCache-Control: no-store\r\n\r\n", `{"a":"HTTP/1.1 400 Bad Request` + plainRefusal + `"}`,
		"HTTP/1.1 200 OK" + plainRefusal,
	} {
		if code, ok := unreadCode([]byte(answer)); ok {
			t.Errorf("%q is taken for %s", answer, code)
		}
	}
}
