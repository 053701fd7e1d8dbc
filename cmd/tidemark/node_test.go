package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// An operator gets back the space of what was deleted, and only while nothing runs.
func TestScavengeAndCompactGiveSpaceBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, env := filepath.Join(dir, logFile), "TIDEMARK_DATA_DIR="+dir
	mustRun(t, exitFailed, env, "node", "compact") // there is none
	log, err := eventlog.Open(path, eventlog.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	for i := range 50 {
		stream := fmt.Sprintf("order-%d", i)
		events := []eventlog.Proposed{{ID: uuid.New(), Type: "Placed", Data: make([]byte, 20_000)}, {ID: uuid.New(), Type: "Cancelled"}}
		_, err := log.Append(ctx, stream, eventlog.NoStream, events)
		if i > 0 {
			_, deleteErr := log.Delete(ctx, stream, eventlog.Any)
			err = errors.Join(err, deleteErr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	full := size()
	if out := mustRun(t, 0, env, "node", "scavenge"); !strings.Contains(out, "Nothing was done") {
		t.Errorf("without --yes:\n%s", out)
	}
	if out := mustRun(t, 0, env, "node", "scavenge", "--yes"); !strings.Contains(out, "49 events") || !strings.Contains(out, "tidemark node compact") || size() < full {
		t.Errorf("scavenge, the file has %d of %d bytes:\n%s", size(), full, out)
	}
	data, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, exitFailed, env, "node", "compact") // somebody has the directory
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
	if out := mustRun(t, 0, env, "node", "compact"); !strings.Contains(out, fmt.Sprintf("%d bytes, ", size())) || size() > full/2 {
		t.Errorf("compact, the file has %d of %d bytes:\n%s", size(), full, out)
	}
	if out := mustRun(t, 0, env, "node", "check"); !strings.Contains(out, "is sound: 100 events in 99 streams") {
		t.Errorf("check:\n%s", out)
	}
	if out := mustRun(t, 0, env, "node", "stats", "--json"); !strings.Contains(out, "fileBytes") {
		t.Errorf("stats:\n%s", out)
	}
}
