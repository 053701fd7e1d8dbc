package eventlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"
)

const (
	// maxName bounds names of streams and event types, in bytes.
	maxName = 4096
	// maxEvent bounds data and metadata of one event, in bytes; the node's own limits are lower.
	maxEvent = 64 << 20
	// recentIDs are remembered for appends that expect any revision: about 5 MB.
	recentIDs = 32 << 10
)

// ledger is the writer's view: the state inside its transaction, which after a commit is everybody's.
// Only the writer's goroutine touches it.
type ledger struct {
	rows
	heads      *cache[string, head]
	categories *cache[string, int64]
	ids        map[recentKey]identity
	order      []recentKey // of ids, a ring
	oldest     int

	streams  int64 // names interned
	position int64 // of the newest event
	created  int64 // of the newest event: time never goes back in the log
	now      func() int64
	newID    func() [16]byte

	// Of the transaction at hand.
	touched map[string]head
	written []*Event
	sources []*Event // written by the request at hand, for the projections
	dirty   bool     // something but events was written
	removed bool     // events were removed

	projections []*projection
	chunk       int // events of history that one commit handles
}

type recentKey struct {
	stream int64
	id     [16]byte
}

// randomID is a random UUID; nobody must be unable to guess it.
func randomID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64())
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// refused tells answers to a caller, which leave the log as it was, from trouble with the file.
func refused(err error) bool {
	var wrong *WrongVersion
	var deleted *StreamDeleted
	return errors.As(err, &wrong) || errors.As(err, &deleted) || errors.Is(err, ErrInvalid) ||
		errors.Is(err, ErrNotFound) || errors.Is(err, ErrNoProjection)
}

// begin starts a transaction's bookkeeping.
func (l *ledger) begin() {
	l.touched, l.written, l.sources, l.dirty, l.removed = map[string]head{}, nil, nil, false, false
}

func (l *ledger) headOf(stream string) (head, error) {
	if h, ok := l.heads.get(stream); ok {
		return h, nil
	}
	h, err := l.head(stream)
	if err == nil {
		l.heads.put(stream, h)
	}
	return h, err
}

func (l *ledger) setHead(stream string, h head) {
	l.heads.put(stream, h)
	l.touched[stream] = h
}

// gone reports whether the stream, or that which it describes, has a tombstone.
func (l *ledger) gone(stream string, h head) (bool, error) {
	if h.tombstone > 0 {
		return true, nil
	}
	if of, ok := isMeta(stream); ok {
		base, err := l.headOf(of)
		return base.tombstone > 0, err
	}
	return false, nil
}

// living is the head of a stream that is not tombstoned.
func (l *ledger) living(stream string) (head, error) {
	h, err := l.headOf(stream)
	if err != nil {
		return h, err
	}
	gone, err := l.gone(stream, h)
	if err == nil && gone {
		err = &StreamDeleted{Stream: stream}
	}
	return h, err
}

func checkStream(stream string) error {
	switch {
	case stream == "", stream == "$$", stream == "$all":
		return fmt.Errorf("%w: stream name %q", ErrInvalid, stream)
	case len(stream) > maxName || !utf8.ValidString(stream):
		return fmt.Errorf("%w: stream name is longer than %d bytes or not UTF-8", ErrInvalid, maxName)
	}
	return nil
}

func checkEvents(events []Proposed) error {
	for i, e := range events {
		switch {
		case e.ID == [16]byte{}:
			return fmt.Errorf("%w: event %d has no id", ErrInvalid, i)
		case e.Type == "" || len(e.Type) > maxName || !utf8.ValidString(e.Type):
			return fmt.Errorf("%w: event %d has an empty, too long or unreadable type", ErrInvalid, i)
		case len(e.Data)+len(e.Metadata) > maxEvent:
			return fmt.Errorf("%w: event %d is larger than %d bytes", ErrInvalid, i, maxEvent)
		}
	}
	return nil
}

// append decides and writes one request.
func (l *ledger) append(stream string, expected int64, events []Proposed) (Appended, error) {
	h, err := l.living(stream)
	if err != nil {
		return Appended{}, err
	}
	v, err := decide(stream, h, expected, events, l)
	if err != nil {
		return Appended{}, err
	}
	if v.repeat {
		done := Appended{Revision: v.last.revision, Position: v.last.position, Repeated: true}
		if !l.readable(h, v.last) {
			done.Position = 0
		}
		return done, nil
	}
	if len(events) == 0 {
		return Appended{Revision: h.last, Position: max(l.position, 1)}, nil
	}
	first, before := h.last+1, len(l.written)
	h, err = l.write(stream, h, events)
	if err != nil {
		return Appended{}, err
	}
	newest := l.written[before+len(events)-1] // metadata may have had consequences behind it
	done := Appended{Revision: newest.Revision, Position: newest.Position}
	if h.softDeleted() {
		raw := withTruncateBefore(h.meta.Raw, first)
		return done, l.describe(stream, raw)
	}
	return done, nil
}

// write inserts events behind the last revision, and lets metadata take effect.
func (l *ledger) write(stream string, h head, events []Proposed) (head, error) {
	h, err := l.named(stream, h)
	if err != nil {
		return h, err
	}
	for _, p := range events {
		if err := l.insert(stream, &h, h.last+1, p); err != nil {
			return h, err
		}
	}
	l.setHead(stream, h)
	if of, ok := isMeta(stream); ok {
		return h, l.takeEffect(stream, of)
	}
	return h, nil
}

// takeEffect makes the newest metadata event count. Writing metadata to a soft-deleted stream brings it
// back, empty: a second event says so.
func (l *ledger) takeEffect(metaStream, of string) error {
	base, err := l.headOf(of)
	if err != nil {
		return err
	}
	if _, ok := isMeta(of); ok {
		return nil // what describes metadata streams has no effect
	}
	undelete := base.softDeleted()
	newest := l.written[len(l.written)-1]
	base.meta = readMetadata(newest)
	l.setHead(of, base)
	if !undelete || string(newest.Data) == softDeleted {
		return nil
	}
	return l.describe(of, withTruncateBefore(newest.Data, base.last+1))
}

// describe writes a metadata event of the server's own.
func (l *ledger) describe(stream string, metadata []byte) error {
	name := "$$" + stream
	h, err := l.headOf(name)
	if err != nil {
		return err
	}
	// The caller's metadata is not soft-deleted any more at this point, so this ends here.
	if base, err := l.headOf(stream); err != nil {
		return err
	} else if base.softDeleted() {
		base.meta.TruncateBefore = 0
		l.setHead(stream, base)
	}
	_, err = l.write(name, h, []Proposed{{ID: l.newID(), Type: TypeMetadata, JSON: true, Data: metadata}})
	return err
}

// named makes sure that the stream's name is interned.
func (l *ledger) named(stream string, h head) (head, error) {
	if h.id != 0 {
		return h, nil
	}
	name := indexedCategory(stream)
	category, err := l.category(name)
	if err != nil {
		return h, err
	}
	if err := l.exec(sqlInsertStream, stream, category); err != nil {
		return h, err
	}
	h.id, h.category = l.conn.LastInsertRowID(), category
	l.streams++
	return h, nil
}

func (l *ledger) category(name string) (int64, error) {
	if name == "" {
		return noCategory, nil
	}
	if id, ok := l.categories.get(name); ok {
		return id, nil
	}
	var id int64
	err := l.each(sqlCategory, func(stmt *sqlite3.Stmt) bool {
		id = stmt.ColumnInt64(0)
		return false
	}, name)
	if err == nil && id == 0 {
		err = l.exec(sqlInsertCategory, name)
		id = l.conn.LastInsertRowID()
	}
	if err == nil {
		l.categories.put(name, id)
	}
	return id, err
}

// insert writes one event at a revision and moves the head along.
func (l *ledger) insert(stream string, h *head, revision int64, p Proposed) error {
	l.created = max(l.created, l.now())
	e := &Event{Stream: stream, Revision: revision, Position: l.position + 1, ID: p.ID, Type: p.Type, JSON: p.JSON,
		Data: p.Data, Metadata: p.Metadata, Created: l.created}
	if e.Data == nil {
		e.Data = []byte{}
	}
	if e.Metadata == nil {
		e.Metadata = []byte{}
	}
	if err := l.store(e, h); err != nil {
		return err
	}
	l.position++
	if revision == Tombstone {
		h.tombstone = e.Position
	} else {
		if h.last < 0 {
			h.first = revision
		}
		h.last = revision
		l.remember(h.id, e)
	}
	l.written = append(l.written, e)
	if isSource(stream) {
		l.sources = append(l.sources, e)
	}
	return nil
}

// store writes an event's row. It is most of what the writer does, so it goes without exec's boxes.
func (l *ledger) store(e *Event, h *head) error {
	stmt, err := l.conn.Prepared(sqlInsertEvent)
	if err != nil {
		return err
	}
	err = errors.Join(stmt.BindInt64(1, e.Position), stmt.BindInt64(2, h.id), stmt.BindInt64(3, e.Revision), stmt.BindInt64(4, h.category),
		stmt.BindBlob(5, e.ID[:]), stmt.BindText(6, e.Type), stmt.BindBool(7, e.JSON), stmt.BindInt64(8, e.Created),
		stmt.BindBlob(9, e.Metadata), stmt.BindBlob(10, e.Data))
	if err != nil {
		return err
	}
	return stmt.Exec()
}

// isSource reports whether projections look at the stream: users' streams and what describes them.
func isSource(stream string) bool {
	of, meta := isMeta(stream)
	if meta {
		return !strings.HasPrefix(of, "$")
	}
	return !strings.HasPrefix(stream, "$")
}
