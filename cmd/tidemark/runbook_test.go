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
	e := p.edge()
	s := e.furnish("ann")
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil).expect(http.StatusOK, "")
	e.until("the fulfilment is on its way", patience, func() bool { return e.send("GET", "/v1/fulfilments/"+s.order, nil).status == http.StatusOK })
	e.until("nothing is behind", patience, e.caughtUp)
	names := strings.NewReplacer("GROUP", "order_board", "NAME", "order_board", "STREAM", "order-"+s.order, "ORDER", s.order, `"…"`, "lost")
	metrics := scraped(string(e.send("GET", "/metrics", nil).expect(http.StatusOK, "").body))
	running, stopped := commandsOf(t, string(text), names, metrics)
	if len(running) < 20 || len(stopped) == 0 {
		t.Errorf("only %d commands found, %d for a service that is stopped", len(running), len(stopped))
	}
	run := func(words []string) {
		code, out, errs := runProgram(t, words[1:], "TIDEMARK_DATA_DIR="+p.data)
		if code == 2 || code != 0 && !strings.Contains(errs, "nothing") {
			t.Errorf("%s ends with %d\n%s%s", strings.Join(words, " "), code, out, errs)
		}
	}
	for _, words := range running {
		run(words)
	}
	e.until("nothing is behind", patience, e.caughtUp)
	if code := p.interrupt(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, p.output())
	}
	for _, words := range stopped {
		run(words)
	}
}

// commandsOf are the commands of a text for a service that runs, and for one that is stopped. The metrics that it
// speaks of are held against those that are served.
func commandsOf(t *testing.T, text string, names *strings.Replacer, metrics series) (running, stopped [][]string) {
	t.Helper()
	var before []string
	for _, found := range quoted.FindAllStringSubmatch(text, -1) {
		said := names.Replace(found[1])
		if strings.HasPrefix(said, "tidemark_") && metrics[said] == nil && metrics[said+"_count"] == nil {
			t.Errorf("the runbook speaks of %s, which is not served", said)
		}
		words := strings.Fields(said)
		if words[0] == "…" { // the command before with other flags
			words = append(slices.Clone(before), words[1:]...)
		}
		switch {
		case words[0] != "tidemark" || words[1] == "worker" || words[1] == "api": // what serves is started elsewhere
			continue
		case words[1] == "node":
			stopped = append(stopped, words)
			continue
		}
		before = words
		if i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "--") }); i > 0 {
			before = words[:i]
		}
		running = append(running, words)
	}
	return running, stopped
}
