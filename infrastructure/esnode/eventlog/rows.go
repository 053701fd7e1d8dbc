package eventlog

import (
	"errors"
	"fmt"
	"math"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// rows reads the tables over one connection, inside its transaction. The writer has one, and so has
// each view of a reader.
type rows struct {
	conn  *sqlite.Conn
	types recent
}

// recent spares an allocation for each of the few event types that a page repeats.
type recent struct {
	types [8]string
	next  int
}

func (r *recent) intern(raw []byte) string {
	for _, t := range r.types {
		if string(raw) == t {
			return t
		}
	}
	t := string(raw)
	r.types[r.next] = t
	r.next = (r.next + 1) % len(r.types)
	return t
}

// bind binds integers and strings from the first parameter on.
func bind(stmt *sqlite3.Stmt, args ...any) error {
	for i, arg := range args {
		var err error
		switch v := arg.(type) {
		case int64:
			err = stmt.BindInt64(i+1, v)
		case int:
			err = stmt.BindInt64(i+1, int64(v))
		case string:
			err = stmt.BindText(i+1, v)
		case []byte:
			if v == nil {
				v = []byte{}
			}
			err = stmt.BindBlob(i+1, v)
		default:
			err = fmt.Errorf("can't bind a %T", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// each runs a query and calls f for every row until it returns false or the rows end.
func (r *rows) each(sql string, f func(*sqlite3.Stmt) bool, args ...any) error {
	stmt, err := r.conn.Prepared(sql)
	if err != nil {
		return err
	}
	if err := bind(stmt, args...); err != nil {
		return err
	}
	for stmt.Step() && f(stmt) {
	}
	return errors.Join(stmt.Err(), stmt.Reset())
}

// exec runs a statement that yields nothing.
func (r *rows) exec(sql string, args ...any) error {
	stmt, err := r.conn.Prepared(sql)
	if err != nil {
		return err
	}
	if err := bind(stmt, args...); err != nil {
		return err
	}
	return stmt.Exec()
}

// Columns of selectEvent.
const (
	columnPosition = iota
	columnStream
	columnType
	columnRevision
	columnID
	columnJSON
	columnCreated
	columnMetadata
	columnData
	columnName // of sqlHistory only
)

// event decodes the current row of a selectEvent.
func (r *rows) event(stmt *sqlite3.Stmt, stream string) *Event {
	e := &Event{
		Stream:   stream,
		Position: stmt.ColumnInt64(columnPosition),
		Type:     r.types.intern(stmt.ColumnRawText(columnType)),
		Revision: stmt.ColumnInt64(columnRevision),
		JSON:     stmt.ColumnInt64(columnJSON) != 0,
		Created:  stmt.ColumnInt64(columnCreated),
	}
	copy(e.ID[:], stmt.ColumnRawBlob(columnID))
	// Each is copied before the next column is asked for, which may move SQLite's memory.
	e.Metadata = append([]byte{}, stmt.ColumnRawBlob(columnMetadata)...)
	e.Data = append([]byte{}, stmt.ColumnRawBlob(columnData)...)
	return e
}

func (e *Event) size() int {
	return len(e.Data) + len(e.Metadata) + len(e.Type) + len(e.Stream) + 128
}

// eventAt reads one event by its place; nil if it is not there.
func (r *rows) eventAt(h head, stream string, revision int64) (found *Event, err error) {
	err = r.each(sqlEventAt, func(stmt *sqlite3.Stmt) bool {
		found = r.event(stmt, stream)
		return false
	}, h.id, revision)
	return found, err
}

// streamName finds a name by its id.
func (r *rows) streamName(id int64) (name string, err error) {
	err = r.each(sqlStreamName, func(stmt *sqlite3.Stmt) bool {
		name = stmt.ColumnText(0)
		return false
	}, id)
	if err == nil && name == "" {
		err = fmt.Errorf("stream %d has no name", id)
	}
	return name, err
}

// created is when the event was written; long ago if it was removed meanwhile.
func (r *rows) created(h head, revision int64) (int64, error) {
	n, _, err := r.conn.Int(sqlCreated, h.id, revision)
	return n, err
}

// head is how a stream stands. The zero id means that its name was never used.
type head struct {
	id        int64
	category  int64
	first     int64 // oldest revision still stored; 0 if there is none
	last      int64 // newest revision but for a tombstone; -1: none
	tombstone int64 // position of the tombstone; 0: none
	meta      StreamMetadata
}

func (h head) softDeleted() bool { return h.meta.SoftDeleted() }

// described reports whether a metadata event was ever written for the stream.
func (h head) described() bool { return h.meta.Revision >= 0 }

// low is the first revision that "$tb" and "$maxCount" let through. It may lie beyond last+1.
func (h head) low() int64 {
	low := max(h.first, h.meta.TruncateBefore)
	if n := h.meta.MaxCount; n > 0 && n <= h.last {
		low = max(low, h.last-n+1)
	}
	return low
}

// isMeta tells metadata streams, and of which stream they are.
func isMeta(stream string) (of string, ok bool) {
	if len(stream) > 2 && stream[:2] == "$$" {
		return stream[2:], true
	}
	return "", false
}

// head reads how a stream stands, with its metadata.
func (r *rows) head(stream string) (head, error) {
	h, meta := head{last: -1, meta: noMetadata()}, head{last: -1}
	err := r.each(sqlStreamPair, func(stmt *sqlite3.Stmt) bool {
		found := &h
		if stmt.ColumnInt64(0) == 1 {
			found = &meta
		}
		found.id, found.category = stmt.ColumnInt64(1), stmt.ColumnInt64(2)
		return true
	}, stream, "$$"+stream)
	if err == nil {
		err = r.extent(&h)
	}
	if err != nil {
		return h, err
	}
	if _, ok := isMeta(stream); ok { // what describes it has no effect
		h.meta = metaOfMeta()
		return h, nil
	}
	if err := r.extent(&meta); err != nil || meta.last < 0 || meta.tombstone > 0 {
		return h, err
	}
	e, err := r.eventAt(meta, "$$"+stream, meta.last)
	if err != nil || e == nil {
		return h, err
	}
	h.meta = readMetadata(e)
	return h, nil
}

// extent reads from where to where a stream goes.
func (r *rows) extent(h *head) error {
	if h.id == 0 {
		return nil
	}
	err := r.each(sqlNewestTwo, func(stmt *sqlite3.Stmt) bool {
		revision := stmt.ColumnInt64(0)
		if revision == math.MaxInt64 {
			h.tombstone = stmt.ColumnInt64(1)
			return true
		}
		h.last = revision
		return false
	}, h.id)
	if err != nil || h.last < 0 {
		return err
	}
	h.first, _, err = r.conn.Int(sqlFirstRevision, h.id)
	return err
}
