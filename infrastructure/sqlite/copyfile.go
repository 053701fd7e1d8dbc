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

// backupPages are copied between two looks at the context: 4 MiB.
const backupPages = 1000

// quickCheck leaves out whether indexes and tables agree.
const quickCheck = `PRAGMA quick_check(10)`

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
	partial := to + ".partial"
	defer func() {
		if err != nil {
			_ = os.Remove(partial) // the error that matters is on its way
		}
	}()
	if err := ignoreAbsent(os.Remove(partial)); err != nil {
		return err
	}
	if err := copyFrom(ctx, absolute, partial); err != nil {
		return fmt.Errorf("back up %s: %w", from, err)
	}
	return putInPlace(ctx, partial, to)
}

// copyFrom opens the source beside whoever has it open. Where nothing can be written, as on a mounted backup,
// SQLite can't coordinate with anybody; but then nobody is there who writes, unless there is a write-ahead log.
func copyFrom(ctx context.Context, from, to string) error {
	err := copyOpened(ctx, from, "_pragma=busy_timeout(5000)&_pragma=query_only(ON)", to)
	if !errors.Is(err, sqlite3.CANTOPEN) && !errors.Is(err, sqlite3.READONLY) {
		return err
	}
	if _, statErr := os.Stat(from + "-wal"); !errors.Is(statErr, os.ErrNotExist) {
		return err
	}
	if removeErr := ignoreAbsent(os.Remove(to)); removeErr != nil {
		return errors.Join(err, removeErr)
	}
	return copyOpened(ctx, from, "immutable=1&mode=ro", to)
}

func copyOpened(ctx context.Context, from, query, to string) (err error) {
	conn, err := sqlite3.OpenContext(ctx, "file:"+(&url.URL{Path: from}).EscapedPath()+"?"+query)
	if err != nil {
		return err
	}
	source := &Conn{Conn: conn, statements: map[string]*sqlite3.Stmt{}}
	defer func() { err = errors.Join(err, source.Close()) }()
	return copyTo(ctx, source, to)
}

// copyTo holds one read transaction over the whole copy: without it the writer's next commit would make
// SQLite start over, again and again.
func copyTo(ctx context.Context, conn *Conn, path string) (err error) {
	if err := conn.Run(`BEGIN`); err != nil {
		return err
	}
	defer func() {
		conn.SetInterrupt(context.Background())
		err = errors.Join(err, conn.Run(`ROLLBACK`))
	}()
	if _, err := queryInt(conn.Conn, `SELECT count(*) FROM sqlite_schema`); err != nil {
		return err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// Nobody relies on the copy before it is complete and synced as a whole.
	backup, err := conn.BackupInit("main", "file:"+(&url.URL{Path: absolute}).EscapedPath()+"?_pragma=synchronous(OFF)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backup.Close()) }()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if done, err := backup.Step(backupPages); done || err != nil {
			return err
		}
	}
}

func checkCopy(ctx context.Context, path, pragma string) (err error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	// Immutable: no log and no shared memory come into being beside the copy.
	conn, err := sqlite3.OpenContext(ctx, "file:"+(&url.URL{Path: absolute}).EscapedPath()+"?immutable=1&mode=ro")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	conn.SetInterrupt(ctx)
	return integrity(conn, pragma)
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
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
