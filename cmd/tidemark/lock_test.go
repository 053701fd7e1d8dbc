package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestDataDirectoryIsHeldByOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "data")
	first, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.publish(addresses{API: "http://127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(path); !errors.Is(err, errLocked) {
		t.Fatalf("a second process got: %v", err)
	}
	if a, err := publishedAddresses(path); err != nil || a.API != "http://127.0.0.1:1" {
		t.Fatalf("addresses: %+v, %v", a, err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := publishedAddresses(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("addresses outlive the process: %v", err)
	}
	again, err := openDataDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDataDirectoryThatIsAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(path); err == nil {
		t.Fatal("a file was taken for a directory")
	}
}

// Events are about people. Whatever the directory lets in, nobody but the program's user and group reads what it writes.
func TestFilesAreNotForEverybody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := startProcess(t, dir, nil)
	for _, args := range [][]string{{"node", "backup", filepath.Join(dir, "copy.db")}, {"events", "export", "--out", filepath.Join(dir, "events.ndjson")}} {
		mustRun(t, exitDone, "TIDEMARK_DATA_DIR="+dir, args...)
	}
	p.kill()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o007 != 0 {
			t.Errorf("%s is for everybody: %s", f.Name(), info.Mode())
		}
	}
	if len(files) < 5 {
		t.Errorf("only %d files", len(files))
	}
}
