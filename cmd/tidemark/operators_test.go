package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// onlyJSON says whether text is one or more JSON values and nothing else.
func onlyJSON(text string) bool {
	decoder := json.NewDecoder(strings.NewReader(text))
	for count := 0; ; count++ {
		var value any
		if err := decoder.Decode(&value); err != nil {
			return errors.Is(err, io.EOF) && count > 0
		}
	}
}

// TestEveryOperatorCommandSpeaksJSON, plans and results alike, with a service and without one.
func TestEveryOperatorCommandSpeaksJSON(t *testing.T) {
	t.Parallel()
	dir, scratch := t.TempDir(), t.TempDir()
	p := startProcess(t, dir, nil)
	data := "TIDEMARK_DATA_DIR=" + dir
	mustRun(t, 0, data, "demo", "--orders", "4", "--customers", "2", "--json")
	ask := func(code int, line string) {
		t.Helper()
		if out := mustRun(t, code, data, append(strings.Fields(line), "--json")...); !onlyJSON(out) {
			t.Errorf("%s says:\n%s", line, out)
		}
	}
	orders := filepath.Join(scratch, "orders")
	if err := os.WriteFile(orders, []byte(`{"customerId":"c","accountId":"0190a000-0000-7000-8000-000000000001","currency":"EUR","items":[{"sku":"I","quantity":1,"unitPrice":5}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	export, checkpoint, key := filepath.Join(scratch, "export"), filepath.Join(scratch, "checkpoint"), filepath.Join(scratch, "key")
	for _, line := range []string{
		"demo --orders 2 --customers 1", "import orders " + orders,
		"subscriptions list", "subscriptions show order_board", "subscriptions parked order_board", "subscriptions replay-parked order_board",
		"subscriptions reset order_board", "subscriptions reset order_board --yes", "subscriptions create mine --prefix order-",
		"subscriptions delete mine", "subscriptions delete mine --yes",
		"readmodels list", "readmodels show order_board", "readmodels blocked order_board", "readmodels retry order_board --all",
		"readmodels skip order_board --all", "readmodels pause order_board", "readmodels resume order_board", "readmodels verify order_board",
		"readmodels rebuild order_board", "readmodels switch order_board", "readmodels switch order_board --yes",
		"readmodels rollback order_board", "readmodels rollback order_board --yes", "readmodels jobs", "readmodels explain /v1/products",
		"fulfilments list", "events check", "events verify", "events export", "events export --out " + export,
		"events checkpoint --key " + key + " --out " + checkpoint, "events verify --checkpoint " + checkpoint, "events import " + export,
	} {
		ask(0, line)
	}
	ask(exitFailed, "events verify order-none")
	ask(0, "node check")
	ask(0, "node backup "+filepath.Join(scratch, "backup"))
	if code := p.interrupt(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.output())
	}
	for _, line := range []string{
		"events import " + export + " --yes", "subscriptions list", "readmodels list", "node stats", "node scavenge", "node scavenge --yes", "node compact",
		"node restore " + filepath.Join(scratch, "backup"), "node restore " + filepath.Join(scratch, "backup") + " --yes",
	} {
		ask(0, line)
	}
}

// TestAnInterruptedJobIsNotLeftBehind where the service was this process, which nobody takes over from.
func TestAnInterruptedJobIsNotLeftBehind(t *testing.T) {
	for _, own := range []bool{true, false} {
		ctx, interrupt := context.WithCancel(t.Context())
		var mu sync.Mutex // a call that is given up is answered beside the next
		var calls []string
		state := "running"
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, r.Method)
			switch r.Method {
			case http.MethodGet:
				interrupt()
			case http.MethodDelete:
				state = "cancelled"
			}
			_, _ = io.WriteString(w, `{"id":"j-1","kind":"verify","target":"order_board","state":"`+state+`"}`)
		}))
		client := newAPIClient(server.URL, "")
		client.own = own
		p := &program{out: io.Discard, errs: io.Discard}
		_, err := p.runJob(ctx, client, "/v1/ops/readmodels/order_board/verify", nil)
		server.Close()
		if err == nil || slices.Contains(calls, http.MethodDelete) != own || strings.Contains(err.Error(), "cancelled:") != own {
			t.Errorf("own %v: %v after %v", own, err, calls)
		}
	}
}

// TestRestoreRefusesWhatIsNoBackup and leaves what is there.
func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := "TIDEMARK_DATA_DIR=" + dir
	mustRun(t, 0, data, "events", "check") // makes an empty log
	before, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil {
		t.Fatal(err)
	}
	junk := filepath.Join(t.TempDir(), "junk")
	if err := os.WriteFile(junk, bytes.Repeat([]byte("no database"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := runProgram(t, []string{"node", "restore", junk, "--yes"}, data); code != exitFailed || !strings.Contains(errs, "not put in place") {
		t.Errorf("ended with %d: %s", code, errs)
	}
	after, err := os.ReadFile(filepath.Join(dir, logFile))
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the log was touched: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*incoming*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestRestoreTakesTheWriteAheadLogOfACopy that was made of the files themselves: the newest events are in it. What
// an earlier try left beside the new file is not taken for it.
func TestRestoreTakesTheWriteAheadLogOfACopy(t *testing.T) {
	t.Parallel()
	dir, copies := t.TempDir(), t.TempDir()
	log, err := eventlog.Open(filepath.Join(dir, logFile), eventlog.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	write := func(stream string) {
		t.Helper()
		if _, err := log.Append(t.Context(), stream, eventlog.NoStream, []eventlog.Proposed{{ID: uuid.New(), Type: "Placed"}}); err != nil {
			t.Fatal(err)
		}
	}
	write("order-1")
	write("order-2")
	file, backup, stale, target := filepath.Join(dir, logFile), filepath.Join(copies, "copy"), filepath.Join(copies, "stale"), t.TempDir()
	if err := errors.Join(copyFile(file, backup), copyFile(file+walSuffix, backup+walSuffix)); err != nil {
		t.Fatal(err)
	}
	write("order-3")
	if err := copyFile(file+walSuffix, stale); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	env := "TIDEMARK_DATA_DIR=" + target
	check := func(when string) {
		t.Helper()
		mustRun(t, 0, env, "node", "restore", backup, "--yes")
		if out := mustRun(t, 0, env, "node", "check"); !strings.Contains(out, "2 events in 2 streams") {
			t.Errorf("%s:\n%s", when, out)
		}
		if left, err := filepath.Glob(filepath.Join(target, "*incoming*")); err != nil || len(left) > 0 {
			t.Errorf("%s, left behind: %v %v", when, left, err)
		}
	}
	check("with its write-ahead log")
	restored := filepath.Join(target, logFile)
	if err := errors.Join(copyFile(restored, backup), os.Remove(backup+walSuffix), os.Rename(stale, restored+".incoming"+walSuffix)); err != nil {
		t.Fatal(err)
	}
	check("beside what another try left")
}
