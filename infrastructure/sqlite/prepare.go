package sqlite

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// minimumVersion is the first SQLite without the write-ahead-log corruption bug, as 3*1000000+51*1000+3.
const minimumVersion = 3_051_003

// prepare judges the file, switches it to the write-ahead log and migrates it. It leaves a file that it
// refuses as it was.
func prepare(path string, options Options) (err error) {
	if options.VFS == "" {
		if err := inspect(path, options); err != nil {
			return err
		}
	}
	conn, err := openPlain(path, options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := assertVersion(conn); err != nil {
		return err
	}
	// Closing the last connection would fold the log into the file: not into one that is refused.
	if _, err := conn.Config(sqlite3.DBCONFIG_NO_CKPT_ON_CLOSE, true); err != nil {
		return fmt.Errorf("configure %s: %w", path, err)
	}
	version, err := judgeOpen(conn, path, options)
	if err != nil {
		return err
	}
	if err := conn.Exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`); err != nil {
		return fmt.Errorf("switch %s to the write-ahead log: %w", path, err)
	}
	return migrate(conn, path, version, options)
}

// openPlain opens without any pragma that writes.
func openPlain(path string, options Options) (*sqlite3.Conn, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find the absolute path of %s: %w", path, err)
	}
	uri := "file:" + (&url.URL{Path: absolute}).EscapedPath()
	if options.VFS != "" {
		uri += "?vfs=" + url.QueryEscape(options.VFS)
	}
	conn, err := sqlite3.Open(uri)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if err := conn.BusyTimeout(options.BusyTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("configure %s: %w", path, err), conn.Close())
	}
	return conn, nil
}

// migrate runs the scripts that the file lacks, each with its version in one transaction. Two processes
// may try at once: the loser of the lock finds the work done.
func migrate(conn *sqlite3.Conn, path string, version int, options Options) error {
	for version < len(options.Migrations) {
		tx, err := conn.BeginImmediate()
		if err != nil {
			return fmt.Errorf("begin the migration of %s: %w", path, err)
		}
		version, err = migrateOne(conn, options)
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			if !conn.GetAutocommit() {
				err = errors.Join(err, tx.Rollback())
			}
			return fmt.Errorf("migrate %s: %w", path, err)
		}
	}
	return nil
}

func migrateOne(conn *sqlite3.Conn, options Options) (version int, err error) {
	found, err := queryInt(conn, `PRAGMA user_version`)
	if err != nil || int(found) >= len(options.Migrations) {
		return int(found), err
	}
	if err := conn.Exec(options.Migrations[found]); err != nil {
		return 0, fmt.Errorf("to version %d: %w", found+1, err)
	}
	version = int(found) + 1
	pragmas := `PRAGMA user_version = ` + strconv.Itoa(version) +
		`; PRAGMA application_id = ` + strconv.FormatInt(int64(options.ApplicationID), 10)
	return version, conn.Exec(pragmas)
}

func assertVersion(conn *sqlite3.Conn) error {
	stmt, _, err := conn.Prepare(`SELECT sqlite_version()`)
	if err != nil {
		return fmt.Errorf("ask for SQLite's version: %w", err)
	}
	defer stmt.Close()
	if !stmt.Step() {
		return fmt.Errorf("ask for SQLite's version: %w", stmt.Err())
	}
	return checkVersion(stmt.ColumnText(0))
}

func checkVersion(text string) error {
	number := 0
	parts := strings.Split(text, ".")
	for i := range 3 {
		n := 0
		if i < len(parts) {
			var err error
			if n, err = strconv.Atoi(parts[i]); err != nil {
				return fmt.Errorf("SQLite's version %q is unreadable: %w", text, err)
			}
		}
		number = number*1000 + n
	}
	if number < minimumVersion {
		return fmt.Errorf("SQLite %s can corrupt its write-ahead log; 3.51.3 or newer is needed", text)
	}
	return nil
}
