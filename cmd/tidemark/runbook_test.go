package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// quoted is what the runbook writes as code.
var quoted = regexp.MustCompile("`([^`\n]+)`")

// TestTheCommandsOfTheRunbookWork: every command that it names is run against a service as it stands in a quiet
// shop. It may find nothing to do, but it is understood, and nothing breaks.
func TestTheCommandsOfTheRunbookWork(t *testing.T) {
	if testing.Short() {
		t.Skip("some twenty processes take seconds")
	}
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, t.TempDir(), nil)
	e := &edge{t: t, app: &app{url: p.api.base}}
	s := e.furnish("ann")
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil).expect(http.StatusOK, "")
	e.until("the fulfilment is on its way", patience, func() bool { return e.send("GET", "/v1/fulfilments/"+s.order, nil).status == http.StatusOK })
	e.until("nothing is behind", patience, e.caughtUp)
	names := strings.NewReplacer("GROUP", "order_board", "NAME", "order_board", "STREAM", "order-"+s.order, "ORDER", s.order, `"…"`, "lost")
	metrics := scraped(string(e.send("GET", "/metrics", nil).expect(http.StatusOK, "").body))
	var before []string
	ran := 0
	for _, found := range quoted.FindAllStringSubmatch(string(text), -1) {
		said := names.Replace(found[1])
		if metric, ok := strings.CutPrefix(said, "tidemark_"); ok && metrics[said] == nil && metrics[said+"_count"] == nil {
			t.Errorf("the runbook speaks of %s, which is not served (%s)", said, metric)
		}
		words := strings.Fields(said)
		if words[0] == "…" { // the command before with other flags
			words = append(slices.Clone(before), words[1:]...)
		}
		if words[0] != "tidemark" || words[1] == "worker" || words[1] == "api" {
			continue // what serves is started elsewhere
		}
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") }); i > 0 {
			before = words[:i]
		} else {
			before = words
		}
		ran++
		code, out, errs := runProgram(t, words[1:], "TIDEMARK_DATA_DIR="+p.data)
		if code == 2 || code != 0 && !strings.Contains(errs, "nothing") {
			t.Errorf("%s ends with %d\n%s%s", strings.Join(words, " "), code, out, errs)
		}
	}
	if ran < 20 {
		t.Errorf("only %d commands found", ran)
	}
	e.until("nothing is behind", patience, e.caughtUp)
}
