package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ncruces/go-sqlite3"
)

// Compact rewrites a database that nobody else has open, so that the pages that deletes left free go back to
// the file system, and returns the file's size before and after, in bytes. It needs room for the new file
// beside the old one, under its name with ".compact" behind. The new file takes the old one's name when it
// is complete, checked and on the disk; whenever the process or the machine stops, one of them is there
// under that name, whole. Errors: *NewerError and *ForeignError for files that are refused, untouched;
// sqlite3.BUSY if somebody has the file open.
func Compact(ctx context.Context, path string, options Options) (before, after int64, err error) {
	before, after, err = compact(ctx, path, options.withDefaults(), func(string) {})
	if err != nil {
		return 0, 0, fmt.Errorf("compact %s: %w", path, err)
	}
	return before, after, nil
}

// compact tells reached of each step behind it: tests look at what the disk has there.
func compact(ctx context.Context, path string, options Options, reached func(step string)) (before, after int64, err error) {
	partial := path + ".compact"
	if err := errors.Join(inspect(path, options), ignoreAbsent(os.Remove(partial))); err != nil {
		return 0, 0, err
	}
	if _, err := os.Stat(path); err != nil { // SQLite would make an empty one
		return 0, 0, err
	}
	conn, err := own(ctx, path, options)
	if err != nil {
		return 0, 0, err
	}
	// It is closed last: until then nobody can open the old file, not even by a name looked up before.
	defer func() { err = errors.Join(err, conn.Close()) }()
	reached("owned")
	old, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(partial) // the error that matters is on its way
		}
	}()
	if err := vacuumInto(conn, partial); err != nil {
		return 0, 0, err
	}
	reached("written")
	if err := errors.Join(os.Chmod(partial, old.Mode()), checkCopy(ctx, partial, `PRAGMA integrity_check(10)`), syncFile(partial)); err != nil {
		return 0, 0, err
	}
	reached("synced")
	compacted, err := os.Stat(partial)
	if err != nil {
		return 0, 0, err
	}
	if err := os.Rename(partial, path); err != nil {
		return 0, 0, err
	}
	reached("renamed")
	return old.Size(), compacted.Size(), syncFile(filepath.Dir(path))
}

// own opens a database of ours for this connection alone. The write-ahead log is folded in and removed: one
// that stayed beside the new file would be taken for its own.
func own(ctx context.Context, path string, options Options) (conn *sqlite3.Conn, err error) {
	conn, err = openPlain(path, options)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, conn.Close())
		}
	}()
	conn.SetInterrupt(ctx)
	if _, err := conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return nil, err
	}
	if _, err := judgeOpen(conn, path, options); err != nil {
		return nil, err
	}
	// Leaving the write-ahead log fails while anybody else is there; behind it, nobody else gets in.
	return conn, conn.Exec(`PRAGMA synchronous = FULL; PRAGMA journal_mode = DELETE;
		PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT`)
}

func vacuumInto(conn *sqlite3.Conn, path string) error {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	stmt, _, err := conn.Prepare(`VACUUM INTO ?1`)
	if err != nil {
		return err
	}
	defer stmt.Close()
	if err := stmt.BindText(1, absolute); err != nil {
		return err
	}
	return stmt.Exec()
}
