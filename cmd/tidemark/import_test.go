package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImportIsResumed imports orders, cuts its record of outcomes short as a crash would, and imports
// again: no order is made twice, and every line has its outcome.
func TestImportIsResumed(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	running := "TIDEMARK_DATA_DIR=" + p.data
	path := filepath.Join(t.TempDir(), "orders.ndjson")
	var lines strings.Builder
	for i := range 620 { // more than one chunk
		quantity := 1 + i%3
		if i%100 == 99 {
			quantity = 0 // refused
		}
		fmt.Fprintf(&lines, `{"customerId":"import-1","accountId":"0190a000-0000-7000-8000-000000000001","currency":"EUR","items":[{"sku":"I-%d","quantity":%d,"unitPrice":5}]}`+"\n", i, quantity)
	}
	if err := os.WriteFile(path, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, exitFailed, running, "import", "orders", path)
	if !strings.HasPrefix(out, "614 created, 6 refused, 0 already done") {
		t.Fatalf("first run: %s", out)
	}
	results := mustRead(t, path+".results")
	cut := strings.SplitAfter(results, "\n")
	if err := os.WriteFile(path+".results", []byte(strings.Join(cut[:550], "")+cut[550][:20]), 0o600); err != nil {
		t.Fatal(err)
	}
	out = mustRun(t, exitFailed, running, "import", "orders", path)
	if !strings.Contains(out, "550 already done") {
		t.Fatalf("second run: %s", out)
	}
	if again := mustRead(t, path+".results"); outcomes(t, again) != outcomes(t, results) {
		t.Error("the outcomes of the resumed import are others than those of the first")
	}
	var customer struct {
		Orders int `json:"orders"`
	}
	code, _, errs := runProgram(t, []string{"readmodels", "verify", "customer_orders"}, running)
	if code != 0 {
		t.Errorf("verify ended with %d: %s", code, errs)
	}
	if _, err := p.api.call(t.Context(), "GET", "/v1/customers/import-1", nil, &customer); err != nil || customer.Orders != 614 {
		t.Errorf("%d orders after both runs, %v", customer.Orders, err)
	}
}

// TestImportTakesFilesAsPeopleSaveThem: with a byte order mark, carriage returns, empty lines and no last
// line break. Its outcomes bear the numbers that an editor shows.
func TestImportTakesFilesAsPeopleSaveThem(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	running := "TIDEMARK_DATA_DIR=" + p.data
	path := filepath.Join(t.TempDir(), "my orders.ndjson")
	order := `{"customerId":"import-2","accountId":"0190a000-0000-7000-8000-000000000001","currency":"EUR","items":[{"sku":"I-1","quantity":1,"unitPrice":5}]}`
	text := "\ufeff" + order + "\r\n\r\n" + order + "\r\n   \n{nonsense\n" + strings.Repeat("\n", importChunk) + order
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, exitFailed, running, "import", "orders", path); !strings.HasPrefix(out, "3 created, 1 refused, 0 already done") {
		t.Errorf("first run: %s", out)
	}
	var lines []int64
	for line := range strings.Lines(mustRead(t, path+".results")) {
		var r importResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, r.Line)
	}
	if !slices.Equal(lines, []int64{1, 3, 5, importChunk + 6}) {
		t.Errorf("outcomes are of lines %v", lines)
	}
	if out := mustRun(t, exitFailed, running, "import", "orders", path); !strings.HasPrefix(out, "0 created, 0 refused, 4 already done") {
		t.Errorf("second run: %s", out)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(text, "{nonsense", order, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runProgram(t, []string{"import", "orders", path}, running)
	if code != exitFailed || !strings.Contains(errs, "file of their own") {
		t.Errorf("a changed file ended with %d: %s", code, errs)
	}
	if err := os.WriteFile(path, []byte(order+"\n"+strings.Repeat("x", maxImportLine+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs = runProgram(t, []string{"import", "orders", path, "--results", path + ".2"}, running)
	if code != exitFailed || !strings.Contains(errs, "line 2 is longer") {
		t.Errorf("a line without end ended with %d: %s", code, errs)
	}
}

// outcomes is what a results file says of each line, without the ids of the requests that found it out.
func outcomes(t *testing.T, results string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(results) {
		var r importResult
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&b, r.Line, r.Status, r.ID)
	}
	return b.String()
}
