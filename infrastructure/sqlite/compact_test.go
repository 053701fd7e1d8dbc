package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

// wasteful makes a closed database most of which was deleted, with a name that a URI would misread.
func wasteful(t *testing.T) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "a b?#%41.db")
	db, err := Open(path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Writer().Run(fillThings), db.Writer().Run(`DELETE FROM things WHERE id > 100`), db.Close()); err != nil {
		t.Fatal(err)
	}
	return path, sizeOf(t, path)
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// holds checks that a database is sound and has the hundred things that were left in it.
func holds(t *testing.T, path, when string) {
	t.Helper()
	db, err := Open(path, testOptions)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	if n := count(t, db); n != 100 {
		t.Errorf("%s: %d things, want 100", when, n)
	}
	if err := errors.Join(db.Check(context.Background()), db.Writer().Run(insertThing), db.Close()); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

func TestCompactGivesSpaceBack(t *testing.T) {
	path, size := wasteful(t)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, after, err := Compact(context.Background(), path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if now := sizeOf(t, path); before != size || after != now || now > size/10 {
		t.Errorf("told %d and %d bytes; the file had %d and has %d", before, after, size, now)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	holds(t, path, "compacted")
}

// A stop at any step leaves the files as they are there: those are opened, and compacted again.
func TestCompactMayStopAtAnyStep(t *testing.T) {
	path, size := wasteful(t)
	// What a crash leaves of the last run, and a write-ahead log that is not folded in yet.
	if err := os.WriteFile(path+".compact", []byte("half a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, testOptions)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Writer().Run(`INSERT INTO things(id, name) VALUES (101, 'late')`), db.Writer().Run(`DELETE FROM things WHERE id = 1`), db.Writer().Run(`UPDATE things SET id = id - 1`),
		db.Abandon(), db.Close()); err != nil {
		t.Fatal(err)
	}
	quick := testOptions.withDefaults()
	quick.BusyTimeout = 1 // a nanosecond: don't wait
	stops := map[string]string{}
	_, _, err = compact(context.Background(), path, quick, func(step string) {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Dir(path))); err != nil {
			t.Fatal(err)
		}
		stops[step] = filepath.Join(dir, filepath.Base(path))
		if step == "written" {
			other, err := openPlain(path, quick)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(other.Exec(`SELECT count(*) FROM things`), other.Close()); !errors.Is(err, sqlite3.BUSY) {
				t.Errorf("somebody else reads the old file meanwhile: %v", err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []string{"owned", "written", "synced", "renamed"} {
		stopped := stops[step]
		if stopped == "" {
			t.Fatalf("no step %s", step)
		}
		if small := sizeOf(t, stopped) < size/10; small != (step == "renamed") {
			t.Errorf("%s: the file has %d bytes", step, sizeOf(t, stopped))
		}
		if _, _, err := Compact(context.Background(), stopped, testOptions); err != nil {
			t.Errorf("%s, and again: %v", step, err)
		}
		holds(t, stopped, step)
	}
}

func TestCompactRefuses(t *testing.T) {
	ctx := context.Background()
	options := testOptions
	options.BusyTimeout = 1 // a nanosecond: don't wait
	path, size := wasteful(t)
	db := open(t, path)
	if _, _, err := Compact(ctx, path, options); !errors.Is(err, sqlite3.BUSY) {
		t.Errorf("while it is open: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := Compact(cancelled, path, options); err == nil {
		t.Error("a cancelled compaction succeeded")
	}
	foreign := options
	foreign.ApplicationID++
	var refused *ForeignError
	if _, _, err := Compact(ctx, path, foreign); !errors.As(err, &refused) {
		t.Errorf("a file of another program: %v", err)
	}
	if now := sizeOf(t, path); now != size {
		t.Errorf("the refused file has %d bytes, had %d", now, size)
	}
	holds(t, path, "refused")
	missing := filepath.Join(t.TempDir(), "none.db")
	if _, _, err := Compact(ctx, missing, options); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a missing file was made")
	}
}
