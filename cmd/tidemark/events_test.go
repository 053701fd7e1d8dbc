package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// TestALogTravels exports a log, tampers with copies of it, and imports it into another store.
func TestALogTravels(t *testing.T) {
	t.Parallel()
	source := startProcess(t, t.TempDir(), nil)
	account := openAccount(t, source.api)
	for range 3 {
		deposit := map[string]any{"amount": 5, "currency": "EUR", "reference": "of Jane"}
		if _, err := source.api.call(t.Context(), "POST", "/v1/accounts/"+account+"/deposits", deposit, nil); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	plain, masked, key, checkpoint := filepath.Join(dir, "plain"), filepath.Join(dir, "masked"), filepath.Join(dir, "key"), filepath.Join(dir, "checkpoint")
	from := "TIDEMARK_DATA_DIR=" + source.data // finds the running process by its data directory
	mustRun(t, 0, from, "events", "export", "--out", plain)
	mustRun(t, 0, from, "events", "export", "--out", masked, "--mask")
	mustRun(t, 0, from, "events", "verify")
	mustRun(t, 0, from, "events", "check")
	mustRun(t, 0, from, "events", "checkpoint", "--key", key, "--out", checkpoint)
	mustRun(t, 0, from, "events", "verify", "--checkpoint", checkpoint)
	if text := mustRead(t, masked); strings.Contains(text, "Jane") || strings.Contains(text, `"c-1"`) {
		t.Errorf("personal fields in a masked export:\n%s", text)
	}
	text := mustRead(t, plain)
	for name, changed := range map[string]string{
		"content":  strings.Replace(text, `"amount":5`, `"amount":6`, 1),
		"gap":      strings.Join(append(strings.Split(text, "\n")[:1], strings.Split(text, "\n")[2:]...), "\n"),
		"repeat":   text + strings.Split(text, "\n")[0] + "\n",
		"foreign":  strings.ReplaceAll(text, `"stream":"account-`, `"stream":"other-`),
		"unknown":  strings.Replace(text, `"type":"Deposited"`, `"type":"Invented"`, 1),
		"no event": "{nonsense\n",
	} {
		path := filepath.Join(dir, "bad")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, _ := runProgram(t, []string{"events", "import", path}, "TIDEMARK_DATA_DIR="+t.TempDir()); code != exitFailed {
			t.Errorf("%s: import ended with %d\n%s", name, code, out)
		}
	}
	target := "TIDEMARK_DATA_DIR=" + filepath.Join(dir, "target")
	mustRun(t, 0, target, "events", "import", plain, "--yes")
	mustRun(t, 0, target, "events", "import", plain, "--yes") // again: everything is there
	mustRun(t, 0, target, "events", "verify", "--checkpoint", checkpoint)
	again := filepath.Join(dir, "again")
	mustRun(t, 0, target, "events", "export", "--out", again)
	if !sameEvents(t, text, mustRead(t, again)) {
		t.Error("what was imported is not what was exported")
	}
	if _, err := source.api.call(t.Context(), "POST", "/v1/accounts/"+account+"/deposits", map[string]any{"amount": 1, "currency": "EUR"}, nil); err != nil {
		t.Fatal(err)
	}
	mustRun(t, 0, from, "events", "verify", "--checkpoint", checkpoint) // what came later is no difference
	if code, out, _ := runProgram(t, []string{"events", "show", "account-" + account}, from); code != 0 || strings.Count(out, "Deposited") != 4 {
		t.Errorf("events show: %d\n%s", code, out)
	}
	mustRun(t, exitFailed, from, "events", "show", "order-none")
	mustRun(t, exitUsage, from, "events")
	elsewhere := filepath.Join(dir, "elsewhere")
	mustRun(t, exitUsage, "TIDEMARK_DATA_DIR="+elsewhere, "events", "verify", "--api", source.api.base) // an empty log is not the service's
	if _, err := os.Stat(elsewhere); err == nil {
		t.Error("a log was made where only a service was named")
	}
	mustRun(t, 0, from, "events", "verify", "--api", source.api.base)
}

// TestALogWithLargeEventsTravels although a hundred of them are more than a store takes at once.
func TestALogWithLargeEventsTravels(t *testing.T) {
	t.Parallel()
	const events = 60
	var text strings.Builder
	encoder, stream := json.NewEncoder(&text), "account-"+uuid.NewString()
	for i := range int64(events) {
		line := eventLine{Stream: stream, Revision: i, ID: uuid.NewString(), Type: "Deposited", Metadata: json.RawMessage(`{"schemaVersion":2}`),
			Data: json.RawMessage(`{"amount":5,"currency":"EUR","reference":"` + strings.Repeat("x", 20_000) + `"}`)}
		if err := encoder.Encode(line); err != nil {
			t.Fatal(err)
		}
	}
	path, target := filepath.Join(t.TempDir(), "export"), "TIDEMARK_DATA_DIR="+t.TempDir()
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	mustRun(t, 0, target, "events", "import", path, "--yes")
	if out := mustRun(t, 0, target, "events", "verify"); !strings.Contains(out, "60 events in 1 streams") {
		t.Error(out)
	}
}

func mustRun(t *testing.T, want int, env string, args ...string) string {
	t.Helper()
	code, out, errs := runProgram(t, args, env, "TIDEMARK_NODE_ADDR=127.0.0.1:0", "TIDEMARK_HTTP_ADDR=127.0.0.1:0")
	if code != want {
		t.Fatalf("tidemark %s ended with %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return out
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sameEvents compares exports but for positions and times of storing, which belong to a store.
func sameEvents(t *testing.T, a, b string) bool {
	t.Helper()
	strip := func(text string) (lines []string) {
		for line := range strings.Lines(text) {
			var e eventLine
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatal(err)
			}
			lines = append(lines, e.Stream+e.ID+e.Type+string(e.Data)+string(e.Metadata))
		}
		return lines
	}
	return strings.Join(strip(a), "\n") == strings.Join(strip(b), "\n")
}
