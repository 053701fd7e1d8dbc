// Package hostiletest has the requests that no honest client sends, for tests of two things: that the edge refuses each
// as the catalogue says (package httpapi), and that none leaves a trace in the log of the whole program.
package hostiletest

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

//go:embed requests.json
var requests []byte

// Request is one of them, and the refusal that it gets.
type Request struct {
	Name    string            `json:"name"`
	Method  string            `json:"method"`
	Target  string            `json:"target"` // {order} and the like stand for what exists
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Hex     string            `json:"hex"`    // the body, where it is no text
	Repeat  []any             `json:"repeat"` // unit, times, end: the body, where it is long
	Status  int               `json:"status"`
	Code    string            `json:"code"` // empty: refused before the edge sees it, not as a problem
}

// All gives every request.
func All(t *testing.T) []Request {
	t.Helper()
	var all []Request
	if err := json.Unmarshal(requests, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) < 250 {
		t.Fatalf("only %d requests", len(all))
	}
	return all
}

func (r Request) body(t *testing.T) []byte {
	t.Helper()
	switch {
	case r.Hex != "":
		raw, err := hex.DecodeString(r.Hex)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	case len(r.Repeat) == 3:
		return []byte(strings.Repeat(r.Repeat[0].(string), int(r.Repeat[1].(float64))) + r.Repeat[2].(string))
	}
	return []byte(r.Body)
}

// Send sends the request byte by byte, for a client library would mend half of them, and reads the answer. Names
// replaces what stands in braces; it all takes at most patience.
func (r Request) Send(t *testing.T, addr string, names *strings.Replacer, patience time.Duration) (*http.Response, []byte) {
	t.Helper()
	body := []byte(names.Replace(string(r.body(t))))
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", r.Method, names.Replace(r.Target), addr)
	for name, value := range r.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", name, value)
	}
	if len(body) > 0 || r.Method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	b.Write(body)

	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = conn.Write(b.Bytes()) }() // the answer may come before all was taken
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%s: no answer: %v", r.Name, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s: the answer broke off: %v", r.Name, err)
	}
	return response, text
}
