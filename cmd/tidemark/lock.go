package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// errLocked says that another process works on the data directory.
var errLocked = errors.New("is in use by another tidemark process")

// dataDir is the directory of the embedded files, held by this process alone.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the directory if it is missing, proves that it can be written and locks it.
// The lock is the kernel's: it goes with the process, however that ends.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o750); err != nil {
		return nil, fmt.Errorf("data directory %s can't be made: %w", path, cause(err))
	}
	file, err := os.OpenFile(filepath.Join(path, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data directory %s can't be written: %w", path, cause(err))
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		closeErr := file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s %w", path, errLocked)
		}
		return nil, fmt.Errorf("data directory %s can't be locked: %w", path, errors.Join(err, closeErr))
	}
	return &dataDir{path: path, lock: file}, nil
}

// file is the path of a file in the directory.
func (d *dataDir) file(name string) string { return filepath.Join(d.path, name) }

// Close lets the directory go.
func (d *dataDir) Close() error {
	return errors.Join(ignoreMissing(os.Remove(d.file(addressesFile))), d.lock.Close())
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// cause is the innermost sentence of a path error: the path is in ours already.
func cause(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

// addressesFile tells operator commands where the process that holds the directory can be asked.
const addressesFile = "addresses.json"

// addresses is where a running process listens.
type addresses struct {
	API  string `json:"api,omitempty"`  // base URL
	Node string `json:"node,omitempty"` // connection string
}

// publish writes the addresses, whole or not at all.
func (d *dataDir) publish(a addresses) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	temporary := d.file(addressesFile + ".new")
	if err := os.WriteFile(temporary, text, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, d.file(addressesFile))
}

// publishedAddresses reads what the process that holds the directory has published.
func publishedAddresses(path string) (addresses, error) {
	text, err := os.ReadFile(filepath.Join(path, addressesFile))
	if err != nil {
		return addresses{}, err
	}
	var a addresses
	return a, json.Unmarshal(text, &a)
}
