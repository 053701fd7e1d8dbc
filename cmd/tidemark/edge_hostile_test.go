package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hostileRequest is a line of httpapi/testdata/hostile.json.
type hostileRequest struct {
	Name, Method, Target, Body, Hex string
	Headers                         map[string]string
	Repeat                          []any
	Status                          int
	Code                            string
}

func readHostile(t *testing.T) []hostileRequest {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "httpapi", "testdata", "hostile.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []hostileRequest
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// bytes is the request as it goes over the wire: a client library would mend half of them.
func (h hostileRequest) bytes(t *testing.T, host string, names *strings.Replacer) []byte {
	t.Helper()
	body := []byte(names.Replace(h.Body))
	if h.Hex != "" {
		var err error
		if body, err = hex.DecodeString(h.Hex); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.Repeat) == 3 {
		body = []byte(strings.Repeat(h.Repeat[0].(string), int(h.Repeat[1].(float64))) + h.Repeat[2].(string))
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", h.Method, names.Replace(h.Target), host)
	for name, value := range h.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	if len(body) > 0 || h.Method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

func sendBytes(t *testing.T, addr string, request []byte) (status int, code, text string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = conn.Write(request) }() // the answer may come before all was taken
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var p struct{ Code string }
	_ = json.Unmarshal(body, &p) // net/http's own refusals are no problems
	return response.StatusCode, p.Code, string(body)
}

// TestHostileRequestsChangeNothing sends every hostile request to the whole program: no 2xx, no 5xx, the
// code that the catalogue has for it, and not one event more in the log.
func TestHostileRequestsChangeNothing(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{})
	s := e.furnish("customer-42")
	names := strings.NewReplacer("{order}", s.order, "{account}", s.account, "{sku}", s.sku, "{group}", "customer_orders", "{model}", "customer_orders")
	before := e.events()
	all := readHostile(t)
	addr := strings.TrimPrefix(e.app.url, "http://")
	for _, h := range all {
		status, code, text := sendBytes(t, addr, h.bytes(t, addr, names))
		if status < 400 || status >= 500 || status != h.Status || h.Code != "" && code != h.Code {
			t.Errorf("%s: %d %s, want %d %s\n%.400s", h.Name, status, code, h.Status, h.Code, text)
		}
	}
	if diff := cmp.Diff(before, e.events()); diff != "" {
		t.Errorf("%d hostile requests changed the log:\n%s", len(all), diff)
	}
	e.send("GET", "/v1/orders/"+s.order, nil).expect(http.StatusOK, "")
}
