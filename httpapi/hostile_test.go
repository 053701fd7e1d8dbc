package httpapi

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
	"slices"
	"strings"
	"testing"
	"time"
)

// hostile is a request that no honest client sends, as testdata/hostile.json has it. The tests of the whole
// program send the same file.
type hostile struct {
	Name    string            `json:"name"`
	Method  string            `json:"method"`
	Target  string            `json:"target"` // {order} and the like stand for what exists
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Hex     string            `json:"hex"`    // the body, where it is no text
	Repeat  []any             `json:"repeat"` // unit, times, end: the body, where it is long
	Status  int               `json:"status"`
	Code    string            `json:"code"`
}

func readHostile(t *testing.T) []hostile {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []hostile
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func (h hostile) body(t *testing.T) []byte {
	t.Helper()
	switch {
	case h.Hex != "":
		raw, err := hex.DecodeString(h.Hex)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	case len(h.Repeat) == 3:
		return []byte(strings.Repeat(h.Repeat[0].(string), int(h.Repeat[1].(float64))) + h.Repeat[2].(string))
	}
	return []byte(h.Body)
}

// wire is the request byte by byte: a client library would mend half of them.
func (h hostile) wire(t *testing.T, host string, names *strings.Replacer) []byte {
	t.Helper()
	body := []byte(names.Replace(string(h.body(t))))
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

// exchange sends bytes and reads the answer.
func exchange(t *testing.T, addr string, request []byte) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = conn.Write(request) }() // the server may answer before it has read all
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("the answer broke off: %v", err)
	}
	return response, text
}

// listening starts the world's server on a real connection.
func (w *world) listening() string {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Start(listener); err != nil {
		w.t.Fatal(err)
	}
	return listener.Addr().String()
}

func TestHostileRequestsAreRefusedAndChangeNothing(t *testing.T) {
	w := newWorld(t)
	addr := w.listening()
	names := strings.NewReplacer("{order}", someOrder, "{account}", someAccount, "{sku}", someSKU, "{group}", "orders", "{model}", "orders")
	all := readHostile(t)
	if len(all) < 250 {
		t.Fatalf("only %d requests", len(all))
	}
	for _, h := range all {
		t.Run(h.Name, func(t *testing.T) {
			response, text := exchange(t, addr, h.wire(t, addr, names))
			if response.StatusCode != h.Status {
				t.Fatalf("%s %s: %d, want %d\n%.400s", h.Method, h.Target, response.StatusCode, h.Status, text)
			}
			if h.Code == "" {
				return
			}
			var p Problem
			if err := json.Unmarshal(text, &p); err != nil || response.Header.Get("Content-Type") != problemType {
				t.Fatalf("no problem: %s %v\n%.400s", response.Header.Get("Content-Type"), err, text)
			}
			if p.Code != h.Code || p.Status != h.Status || p.Title == "" || p.Type != "/docs/errors/"+h.Code || p.RequestID == "" || p.Instance == "" {
				t.Errorf("problem %.400s, want code %s", text, h.Code)
			}
			if h.Code == "invalid_request" && len(p.Errors) == 0 {
				t.Errorf("no findings: %s", text)
			}
			if len(text) > 64<<10 {
				t.Errorf("the answer has %d bytes", len(text))
			}
			if h.Status == http.StatusMethodNotAllowed && response.Header.Get("Allow") == "" {
				t.Error("no Allow")
			}
		})
	}
	if calls := w.commands.took(); len(calls) > 0 {
		t.Errorf("%d requests got through, the first: %+v", len(calls), calls[0])
	}
}

func TestAllFindingsComeAtOnceWithPointers(t *testing.T) {
	w := newWorld(t)
	body := `{"customerId":"a b","AccountId":"x","currency":"eur","items":[{"sku":"TEA","quantity":1.0,"unitPrice":-1},{"sku":"t","quantity":0,"unitPrice":9999999999999999999999}],"a/b~c":1}`
	got := w.send("POST", "/v1/orders?dryRun=maybe", body, "Idempotency-Key", "a b").expect(http.StatusUnprocessableEntity, "invalid_request")
	var p Problem
	if err := json.Unmarshal(got.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range p.Errors {
		found = append(found, f.Pointer+" "+f.Code)
	}
	want := []string{
		"/AccountId unknown_field", "/accountId required", "/a~1b~0c unknown_field", "/currency invalid_format", "/customerId invalid_format",
		"/header/Idempotency-Key invalid_format", "/items/0/quantity not_an_integer", "/items/0/unitPrice out_of_range", "/items/1/quantity out_of_range",
		"/items/1/sku invalid_format", "/items/1/unitPrice out_of_range", "/query/dryRun invalid_type",
	}
	if !slices.Equal(found, want) {
		t.Errorf("findings\n%s\nwant\n%s", strings.Join(found, "\n"), strings.Join(want, "\n"))
	}
}
