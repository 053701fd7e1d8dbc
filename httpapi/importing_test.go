package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
)

func importLine(customer string) string {
	return `{"customerId":"` + customer + `","accountId":"` + someAccount + `","currency":"EUR","items":[{"sku":"TEA","quantity":2,"unitPrice":450}]}`
}

func (a answered) results() []importResult {
	a.t.Helper()
	var all []importResult
	for line := range strings.Lines(a.Body.String()) {
		var r importResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			a.t.Fatalf("%s: %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

func TestEachLineOfAnImportStandsForItself(t *testing.T) {
	w := newWorld(t)
	body := strings.Join([]string{importLine("a"), "", `{"customerId":`, importLine("b b"), " ", importLine("c"), `[]`, importLine("d") + importLine("e"), strings.Repeat(" ", 100) + importLine("f")}, "\n")
	got := w.send("POST", "/v1/import/orders", body, "Content-Type", "application/x-ndjson", "Idempotency-Key", "k").expect(http.StatusOK, "")
	var said []string
	for _, r := range got.results() {
		code := r.ID
		if r.Problem != nil {
			code = r.Problem.Code
		}
		said = append(said, fmt.Sprintf("%d %s %s", r.Line, r.Status, code))
	}
	want := []string{"1 created " + someOrder, "3 refused malformed_json", "4 refused invalid_request", "6 created " + someOrder, "7 refused invalid_request", "8 refused malformed_json", "9 created " + someOrder}
	if strings.Join(said, "\n") != strings.Join(want, "\n") {
		t.Errorf("results\n%s\nwant\n%s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
	ids := map[string]bool{}
	for _, c := range w.commands.took() {
		if !c.command.Keyed || ids[c.command.ID] || c.command.Operation != "importOrders" {
			t.Errorf("command %+v", c.command)
		}
		ids[c.command.ID] = true
	}
	w.send("POST", "/v1/import/orders", body, "Content-Type", "application/x-ndjson", "Idempotency-Key", "k")
	for _, c := range w.commands.took() {
		if !ids[c.command.ID] {
			t.Error("the same import again has other ids")
		}
	}
}

func TestAnImportAnswersWhileItIsStillComing(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	reader, writer := io.Pipe()
	request, err := http.NewRequest("POST", server.URL+"/v1/import/orders", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	go func() { _, _ = io.WriteString(writer, importLine("a")+"\n") }()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"line":1`) {
		t.Fatalf("%q %v", lines.Text(), lines.Err())
	}
	go func() {
		_, _ = io.WriteString(writer, importLine("b"))
		writer.Close()
	}()
	if !lines.Scan() || !strings.Contains(lines.Text(), `"line":2`) || lines.Scan() {
		t.Errorf("%q %v", lines.Text(), lines.Err())
	}
}

func TestALineThatIsTooLongEndsTheImport(t *testing.T) {
	w := newWorld(t)
	got := w.send("POST", "/v1/import/orders", importLine("a")+"\n"+strings.Repeat("x", maxBody+1)+"\n"+importLine("b"), "Content-Type", "application/x-ndjson")
	results := got.results()
	if len(results) != 2 || results[1].Problem == nil || results[1].Problem.Code != "body_too_large" {
		t.Errorf("%s", clipped(got.Body))
	}
}

func TestAnImportSurvivesPanicsAndRefusals(t *testing.T) {
	w := newWorld(t)
	var calls atomic.Int64
	w.commands.fail = func(call) error {
		if calls.Add(1)%2 == 0 {
			panic("now and then")
		}
		return domain.Refuse("product_withdrawn", "No.")
	}
	got := w.send("POST", "/v1/import/orders", strings.Repeat(importLine("a")+"\n", 100), "Content-Type", "application/x-ndjson")
	results := got.results()
	if len(results) != 100 {
		t.Fatalf("%d results", len(results))
	}
	for i, r := range results {
		if r.Line != int64(i+1) || r.Status != "refused" || (r.Problem.Code != "internal" && r.Problem.Code != "product_withdrawn") {
			t.Errorf("%+v", r)
		}
	}
}

func TestStoppingEndsAnImportBetweenLines(t *testing.T) {
	w := newWorld(t)
	addr := w.listening()
	reader, writer := io.Pipe()
	defer writer.Close()
	request, err := http.NewRequest("POST", "http://"+addr+"/v1/import/orders", reader)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	go func() { _, _ = io.WriteString(writer, importLine("a")+"\n") }()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"status":"created"`) {
		t.Fatalf("%q", lines.Text())
	}
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(t.Context()) }()
	if !lines.Scan() || !strings.Contains(lines.Text(), `"line":2`) {
		t.Errorf("%q %v", lines.Text(), lines.Err())
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
