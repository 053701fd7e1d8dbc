package sqlite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// backupPages are copied between two looks at the context: 4 MiB.
const backupPages = 1000

// quickCheck leaves out whether indexes and tables agree.
const quickCheck = `PRAGMA quick_check(10)`

// Backup copies the database, as it is at one moment, to a new file while readers and the writer go on. The
// copy is checked and on the disk under its name when Backup returns nil; else there is nothing of that
// name. An existing file is not overwritten.
func (db *DB) Backup(ctx context.Context, path string) (err error) {
	if _, err := os.Stat(path); err == nil {
		return fmt.Errorf("back up to %s: %w", path, os.ErrExist)
	}
	partial := path + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("back up to %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up to %s: %w", path, err)
			if e := os.Remove(partial); e != nil && !errors.Is(e, os.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}()
	if err := db.Long(ctx, func(conn *Conn) error { return copyTo(ctx, conn, partial) }); err != nil {
		return err
	}
	return putInPlace(ctx, partial, path)
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

// Check runs SQLite's own integrity check over the whole file, indexes included, while readers and the
// writer go on. It takes about a second for each few hundred thousand rows.
func (db *DB) Check(ctx context.Context) error {
	return db.Long(ctx, func(conn *Conn) error {
		return integrity(conn.Conn, `PRAGMA integrity_check(10)`)
	})
}

func integrity(conn *sqlite3.Conn, pragma string) error {
	stmt, _, err := conn.Prepare(pragma)
	if err != nil {
		return fmt.Errorf("check the file: %w", err)
	}
	defer stmt.Close()
	var faults []string
	for stmt.Step() {
		if text := stmt.ColumnText(0); text != "ok" {
			faults = append(faults, text)
		}
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("check the file: %w", err)
	}
	if len(faults) > 0 {
		return fmt.Errorf("the file is damaged: %s", strings.Join(faults, "; "))
	}
	return nil
}
