package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// BackupFile copies a database that another process may be writing, as it is at one moment, to a new file.
// The source's schema is not looked at; the copy is checked and on the disk under its name when BackupFile
// returns nil, else there is nothing of that name. An existing file is not overwritten.
func BackupFile(ctx context.Context, from, to string) (err error) {
	if _, err := os.Stat(to); err == nil {
		return fmt.Errorf("back up to %s: %w", to, os.ErrExist)
	}
	absolute, err := filepath.Abs(from)
	if err != nil {
		return err
	}
	if _, err := os.Stat(absolute); err != nil { // SQLite would make an empty one
		return fmt.Errorf("back up %s: %w", from, err)
	}
	conn, err := sqlite3.OpenContext(ctx, "file:"+(&url.URL{Path: absolute}).EscapedPath()+"?_pragma=busy_timeout(5000)&_pragma=query_only(ON)")
	if err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	source := &Conn{Conn: conn, statements: map[string]*sqlite3.Stmt{}}
	defer func() { err = errors.Join(err, source.Close()) }()
	partial := to + ".partial"
	defer func() {
		if err != nil {
			_ = os.Remove(partial) // the error that matters is on its way
		}
	}()
	if err := ignoreAbsent(os.Remove(partial)); err != nil {
		return err
	}
	if err := copyTo(ctx, source, partial); err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	return putInPlace(ctx, partial, to)
}

// putInPlace gives a copy its name once it is known to be sound and on the disk.
func putInPlace(ctx context.Context, partial, to string) error {
	if err := checkCopy(ctx, partial, quickCheck); err != nil {
		return err
	}
	if err := syncFile(partial); err != nil {
		return err
	}
	if err := os.Rename(partial, to); err != nil {
		return err
	}
	return syncFile(filepath.Dir(to))
}

func ignoreAbsent(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
