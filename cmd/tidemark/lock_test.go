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
