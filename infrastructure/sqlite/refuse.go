package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ncruces/go-sqlite3"
)

// NewerError refuses a file that a newer release wrote. The file was not touched.
type NewerError struct {
	Path         string
	Found, Known int // schema versions
}

// Error implements error.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has schema version %d, written by a newer release; this one knows versions up to %d",
		e.Path, e.Found, e.Known)
}

// ForeignError refuses a file that is no database of ours. The file was not touched.
type ForeignError struct {
	Path   string
	Reason string
}

// Error implements error.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s is not a database of this program: %s", e.Path, e.Reason)
}

// Fixed places in the 100-byte header of an SQLite file, numbers big endian.
const (
	headerSize      = 100
	headerMagic     = "SQLite format 3\x00"
	headerVersionAt = 60
	headerAppIDAt   = 68
)

// inspect reads the header without opening the file as a database, because even a read-only open may
// create or recover the files beside it. A missing or empty file is fine: it will be created.
func inspect(path string, options Options) error {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer file.Close()
	header := make([]byte, headerSize)
	n, err := io.ReadFull(file, header)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &ForeignError{Path: path, Reason: "it is too short"}
	case err != nil:
		return fmt.Errorf("read the header of %s: %w", path, err)
	case string(header[:len(headerMagic)]) != headerMagic:
		return &ForeignError{Path: path, Reason: "it is not an SQLite file"}
	}
	version := int(int32(binary.BigEndian.Uint32(header[headerVersionAt:])))
	appID := int32(binary.BigEndian.Uint32(header[headerAppIDAt:]))
	return options.judge(path, version, appID)
}

// judge decides on a file by its schema version and application id. Id 0 passes here: the header may be
// older than the write-ahead log beside it, so only the opened database can tell an unmarked file.
func (o Options) judge(path string, version int, appID int32) error {
	if o.ApplicationID != 0 && appID != 0 && appID != o.ApplicationID {
		return &ForeignError{Path: path, Reason: fmt.Sprintf("its application id is %#x, not %#x", uint32(appID), uint32(o.ApplicationID))}
	}
	if version > len(o.Migrations) {
		return &NewerError{Path: path, Found: version, Known: len(o.Migrations)}
	}
	return nil
}

// judgeOpen repeats the judgement inside the database, where the write-ahead log counts too, and finds
// unmarked files of others.
func judgeOpen(conn *sqlite3.Conn, path string, options Options) (version int, err error) {
	read := func(sql string) int64 {
		if err != nil {
			return 0
		}
		var n int64
		n, err = queryInt(conn, sql)
		return n
	}
	version = int(read(`PRAGMA user_version`))
	appID := int32(read(`PRAGMA application_id`))
	tables := read(`SELECT count(*) FROM sqlite_schema`)
	if errors.Is(err, sqlite3.NOTADB) {
		return 0, &ForeignError{Path: path, Reason: "it is not an SQLite file"}
	}
	if err != nil {
		return 0, fmt.Errorf("read the version of %s: %w", path, err)
	}
	if err := options.judge(path, version, appID); err != nil {
		return 0, err
	}
	if options.ApplicationID != 0 && appID == 0 && tables > 0 {
		return 0, &ForeignError{Path: path, Reason: "it has tables but no application id"}
	}
	return version, nil
}

// queryInt runs a statement that yields one number.
func queryInt(conn *sqlite3.Conn, sql string) (int64, error) {
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	var n int64
	if stmt.Step() {
		n = stmt.ColumnInt64(0)
	}
	return n, stmt.Err()
}
