package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// TestAStartThatCannotWorkSaysWhyInOneLine starts the program with everything that can be wrong from outside.
func TestAStartThatCannotWorkSaysWhyInOneLine(t *testing.T) {
	t.Parallel()
	running := startProcess(t, t.TempDir(), nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, logFile), []byte("this is no database of ours, and long enough to have a header of its own: "+strings.Repeat("x", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	ungrouped := t.TempDir()
	garbleGroups(t, filepath.Join(ungrouped, logFile))
	free := []string{"TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0"}
	for name, c := range map[string]struct {
		env  []string
		says string
		code int
	}{
		"second process on the data": {append(free, "TIDEMARK_DATA_DIR="+running.data), "in use by another", exitFailed},
		"taken port":                 {[]string{"TIDEMARK_HTTP_ADDR=" + taken.Addr().String(), "TIDEMARK_NODE_ADDR=127.0.0.1:0"}, "TIDEMARK_HTTP_ADDR", exitFailed},
		"taken node port":            {[]string{"TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=" + taken.Addr().String()}, "TIDEMARK_NODE_ADDR", exitFailed},
		"data directory is a file":   {append(free, "TIDEMARK_DATA_DIR="+file), "data directory", exitFailed},
		"foreign file":               {append(free, "TIDEMARK_DATA_DIR="+newer), logFile, exitFailed},
		"unreadable groups":          {append(free, "TIDEMARK_DATA_DIR="+ungrouped), "load groups", exitFailed},
		"unreachable event store":    {append(free, "TIDEMARK_EVENTSTORE=esdb://127.0.0.1:1?tls=false"), "TIDEMARK_EVENTSTORE", exitFailed},
		"open to others without key": {[]string{"TIDEMARK_HTTP_ADDR=0.0.0.0:0"}, "TIDEMARK_HTTP_ADDR", exitUsage},
		"unreachable documents":      {append(free, "TIDEMARK_DOCUMENTS=mongodb://127.0.0.1:1/tidemark?serverSelectionTimeoutMS=50"), "TIDEMARK_DOCUMENTS", exitFailed},
		"broken key set":             {append(free, "TIDEMARK_AUTH_JWKS="+file), "TIDEMARK_AUTH_JWKS", exitUsage},
		"wrong value":                {append(free, "TIDEMARK_ORDER_OPEN_FOR=soon"), "TIDEMARK_ORDER_OPEN_FOR", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := c.env
			if !strings.Contains(strings.Join(env, " "), "DATA_DIR") {
				env = append([]string{"TIDEMARK_DATA_DIR=" + t.TempDir()}, env...)
			}
			code, _, errs := runProgram(t, []string{"serve"}, append([]string{"TIDEMARK_LOG_LEVEL=error"}, env...)...)
			if lines := strings.Split(strings.TrimSpace(errs), "\n"); code != c.code || len(lines) != 1 || !strings.Contains(lines[0], c.says) {
				t.Errorf("exit code %d, said:\n%s", code, errs)
			}
		})
	}
}

// TestMisspeltSettingsAreTold, by name only: what one meant to set may be a secret.
func TestMisspeltSettingsAreTold(t *testing.T) {
	got := noSettings([]string{"TIDEMARK_HTTP_ADR=x", "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARKS=1", "HOME=/", "TIDEMARK_AUTH_JWKS_URL=https://user:pass@example", "TIDEMARK_TEST_OUTAGE=1s",
		"TIDEMARK_SERVICE_HOST=10.0.0.1", "TIDEMARK_SERVICE_PORT_HTTP=80", "TIDEMARK_PORT=tcp://10.0.0.1:80", "TIDEMARK_API_PORT_80_TCP_ADDR=10.0.0.1", "TIDEMARK_BIN=x"})
	if want := []string{"TIDEMARK_AUTH_JWKS_URL", "TIDEMARK_HTTP_ADR"}; !slices.Equal(got, want) {
		t.Errorf("tells %q, want %q", got, want)
	}
}

// TestABrokenOffRestoreIsNoEmptyLog: what it set aside and what it was about to put in place are both there, but no
// log; starting would make an empty one, and a second restore mends it.
func TestABrokenOffRestoreIsNoEmptyLog(t *testing.T) {
	t.Parallel()
	dir, backup := t.TempDir(), filepath.Join(t.TempDir(), "backup")
	log, err := eventlog.Open(backup, eventlog.Options{Relaxed: true})
	if err == nil {
		_, err = log.Append(t.Context(), "order-1", eventlog.NoStream, []eventlog.Proposed{{ID: uuid.New(), Type: "Placed"}})
	}
	if err := errors.Join(err, log.Close(), copyFile(backup, filepath.Join(dir, incomingFile))); err != nil {
		t.Fatal(err)
	}
	env := []string{"TIDEMARK_DATA_DIR=" + dir, "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0", "TIDEMARK_LOG_LEVEL=error"}
	for _, command := range []string{"serve", "node"} {
		if code, _, errs := runProgram(t, []string{command}, env...); code != exitFailed || !strings.Contains(errs, "tidemark node restore") {
			t.Errorf("%s ended with %d: %s", command, code, errs)
		}
	}
	mustRun(t, exitDone, env[0], "node", "restore", backup, "--yes")
	if out := mustRun(t, exitDone, env[0], "node", "check"); !strings.Contains(out, "1 events in 1 streams") {
		t.Errorf("after another restore:\n%s", out)
	}
}

// garbleGroups makes a log in which the node does not find its groups.
func garbleGroups(t *testing.T, path string) {
	t.Helper()
	log, err := eventlog.Open(path, eventlog.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = log.Append(t.Context(), "$persistentSubscriptionConfig", eventlog.NoStream, []eventlog.Proposed{{ID: uuid.New(), Type: "$PersistentConfig", Data: []byte("garbled")}})
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestWrongWordsAreUsageErrors on cobra's own commands too, and help works with settings that don't.
func TestWrongWordsAreUsageErrors(t *testing.T) {
	for line, want := range map[string]int{
		"help": 0, "help events tail": 0, "help nonsense": exitUsage, "help events nonsense": exitUsage, "-h": 0, "events -h": 0,
		"completion bash": 0, "completion zsh": 0, "completion fish": 0, "completion": exitUsage, "completion tcsh": exitUsage,
		"nonsense": exitUsage, "serve nonsense": exitUsage, "--nonsense": exitUsage, "events": exitUsage,
	} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			code, out, errs := runProgram(t, strings.Fields(line), "TIDEMARK_LOG_FORMAT=nonsense")
			if code != want || code == 0 && out == "" || code != 0 && strings.Count(errs, "\n") != 1 {
				t.Errorf("ended with %d, want %d; it said:\n%s%s", code, want, out, errs)
			}
		})
	}
}

func TestANewerFileIsRefusedUntouched(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startProcess(t, dir, nil)
	if code := p.interrupt(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, p.output())
	}
	path := filepath.Join(dir, logFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(text[60:64], []byte{0, 0, 3, 231}) // user_version 999 in SQLite's header
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runProgram(t, []string{"serve"}, "TIDEMARK_DATA_DIR="+dir, "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0", "TIDEMARK_LOG_LEVEL=error")
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitFailed || !strings.Contains(errs, "newer") || string(after) != string(text) {
		t.Errorf("exit code %d, changed %v, said:\n%s", code, string(after) != string(text), errs)
	}
}

// TestTheWelcomeMeansReady: who waits for the words finds /readyz saying the same. Where the start took longer than
// the welcome waits for consumers, nothing is promised.
func TestTheWelcomeMeansReady(t *testing.T) {
	p := startProcess(t, t.TempDir(), []string{"serve"})
	said := regexp.MustCompile(`Tidemark is ready after (\S+)\.`)
	p.await("the welcome", func() bool { return said.MatchString(p.output()) })
	response, err := http.Get(p.api.base + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	took, err := time.ParseDuration(said.FindStringSubmatch(p.output())[1])
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK && took < welcomeWithin {
		t.Errorf("after %s: %d\n%s", took, response.StatusCode, body)
	}
}

// Who opens to other machines what asks nobody who they are is told so.
func TestTheWelcomeNamesWhatIsOpen(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil, "TIDEMARK_NODE_ADDR=0.0.0.0:0", "TIDEMARK_ADMIN_ADDR=0.0.0.0:0")
	open := regexp.MustCompile(`(?m)^  (metrics|node) .*\(open to other machines; it asks nobody who they are\)$`)
	p.await("the welcome", func() bool { return strings.Contains(p.output(), "Try it:") })
	if named := open.FindAllString(p.output(), -1); len(named) != 2 {
		t.Errorf("named are %q in:\n%s", named, p.output())
	}
}

// TestStockIsLowBelowWhatWasConfigured, in a command's answer as in a query's.
func TestStockIsLowBelowWhatWasConfigured(t *testing.T) {
	t.Parallel()
	for bound, low := range map[string][]bool{"3": {true, false}, "0": {false, false}} {
		p := startProcess(t, t.TempDir(), nil, "TIDEMARK_LOW_STOCK="+bound)
		for i, want := range low { // 2 pieces, then 3
			var received, read struct{ LowStock bool }
			done, err := p.api.call(t.Context(), "POST", "/v1/inventory/TEA/receipts", map[string]any{"quantity": 2 - i}, &received)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.api.call(t.Context(), "GET", "/v1/inventory/TEA", nil, &read, "Tidemark", done.header.Get("Tidemark")); err != nil {
				t.Fatal(err)
			}
			if received.LowStock != want || read.LowStock != want {
				t.Errorf("LOW_STOCK %s, receipt %d: the command says %v, the query %v, want %v", bound, i, received.LowStock, read.LowStock, want)
			}
		}
	}
}
