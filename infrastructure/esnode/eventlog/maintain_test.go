package eventlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

func TestBackupIsALog(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	log, err := Open(filepath.Join(dir, "events.db"), Options{Relaxed: true, Projections: []string{ByCategory}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	benchFill(t, log, 2000)
	path := filepath.Join(dir, "copy.db")
	if err := sqlite.BackupFile(ctx, filepath.Join(dir, "events.db"), path); err != nil {
		t.Fatal(err)
	}
	restored, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	if err := restored.Check(ctx); err != nil {
		t.Error(err)
	}
	if got, want := len(allOf(t, restored)), len(allOf(t, log)); got != want {
		t.Errorf("%d events in the copy, %d in the log", got, want)
	}
}

func TestCompactedLogIsTheSame(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "events.db")
	log, err := Open(path, Options{Relaxed: true, Projections: []string{ByCategory}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		name := fmt.Sprintf("order-%d", i)
		if _, err := log.Append(ctx, name, NoStream, []Proposed{{ID: id(name), Type: "t", Data: make([]byte, 10_000)}, {ID: id(name + "+"), Type: "t"}}); err != nil {
			t.Fatal(err)
		}
		if i%4 == 0 {
			continue
		}
		if _, err := log.Delete(ctx, name, Any); err != nil {
			t.Fatal(err)
		}
	}
	_, err = log.Scavenge(ctx)
	want, stats := allOf(t, log), log.Stats()
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(ctx, path)
	if err != nil || after > before/2 {
		t.Fatalf("%d bytes, %d before, %v", after, before, err)
	}
	log, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, allOf(t, log)); diff != "" {
		t.Error(diff)
	}
	if now := log.Stats(); now.Head != stats.Head || now.Events != stats.Events || now.Streams != stats.Streams {
		t.Errorf("stats %+v, were %+v", now, stats)
	}
	next, appendErr := log.Append(ctx, "order-0", 1, one("next"))
	if next.Position != stats.Head+1 {
		t.Errorf("goes on at %d behind %d", next.Position, stats.Head)
	}
	if err := errors.Join(appendErr, log.Check(ctx), log.Close()); err != nil {
		t.Error(err)
	}
}

func TestForeignFilesAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.db")
	if err := os.WriteFile(path, make([]byte, 500), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, Options{})
	var foreign *sqlite.ForeignError
	if !errors.As(err, &foreign) {
		t.Errorf("opened with %v", err)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "x.db"), Options{Projections: []string{"$nothing"}}); !errors.Is(err, ErrNoProjection) {
		t.Errorf("opened with %v", err)
	}
}

func TestCheckFindsHoles(t *testing.T) {
	for name, damage := range map[string]string{
		"hole":     `DELETE FROM events WHERE revision = 1`,
		"category": `UPDATE events SET category = 77`,
		"order":    `UPDATE events SET position = 1000 - position`,
		"stream":   `DELETE FROM streams`,
		"id":       `UPDATE events SET id = X'00'`,
	} {
		t.Run(name, func(t *testing.T) {
			log := openLog(t, Options{Relaxed: true})
			ctx := context.Background()
			if _, err := log.Append(ctx, "order-1", Any, []Proposed{{ID: id("a"), Type: "t"}, {ID: id("b"), Type: "t"}, {ID: id("c"), Type: "t"}}); err != nil {
				t.Fatal(err)
			}
			if err := log.Check(ctx); err != nil {
				t.Fatal(err)
			}
			if err := log.do(ctx, 0, func(w *ledger) error { w.dirty = true; return w.exec(damage) }); err != nil {
				t.Fatal(err)
			}
			if err := log.Check(ctx); err == nil {
				t.Error("the damage went unnoticed")
			}
		})
	}
}
