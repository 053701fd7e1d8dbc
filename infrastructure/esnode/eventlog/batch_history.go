package eventlog

import (
	"time"

	"github.com/ncruces/go-sqlite3"
)

// remember keeps an event's identity for appends that expect any revision, and forgets the oldest.
func (l *ledger) remember(stream int64, e *Event) {
	key := recentKey{stream: stream, id: e.ID}
	if _, ok := l.ids[key]; !ok {
		if len(l.order) < recentIDs {
			l.order = append(l.order, key)
		} else {
			delete(l.ids, l.order[l.oldest])
			l.order[l.oldest] = key
			l.oldest = (l.oldest + 1) % recentIDs
		}
	}
	l.ids[key] = identity{id: e.ID, revision: e.Revision, position: e.Position, created: e.Created}
}

// recently implements history.
func (l *ledger) recently(h head, id [16]byte) (identity, bool) {
	found, ok := l.ids[recentKey{stream: h.id, id: id}]
	return found, ok
}

// stored implements history.
func (l *ledger) stored(h head, revision int64) (found identity, ok bool, err error) {
	if revision > h.last {
		return found, false, nil
	}
	err = l.each(sqlIdentity, func(stmt *sqlite3.Stmt) bool {
		copy(found.id[:], stmt.ColumnRawBlob(0))
		found.revision, found.position, found.created = revision, stmt.ColumnInt64(1), stmt.ColumnInt64(2)
		ok = true
		return false
	}, h.id, revision)
	return found, ok, err
}

// readable reports whether a reader of the stream would see the event.
func (l *ledger) readable(h head, e identity) bool {
	return e.revision >= h.low() && !expired(h, e.created, l.now())
}

// expired applies "$maxAge"; times are in 100 ns.
func expired(h head, created, now int64) bool {
	return h.meta.MaxAge > 0 && created < now-int64(h.meta.MaxAge/(100*time.Nanosecond))
}

// delete soft-deletes: the stream's metadata is replaced by a "$tb" beyond everything.
func (l *ledger) delete(stream string, expected int64) (position int64, err error) {
	h, err := l.deletable(stream, expected)
	if err != nil {
		return 0, err
	}
	if h.last < 0 && !h.described() {
		return 0, &WrongVersion{Stream: stream, Expected: expected, Current: NoStream}
	}
	name := "$$" + stream
	m, err := l.headOf(name)
	if err != nil {
		return 0, err
	}
	_, err = l.write(name, m, []Proposed{{ID: l.newID(), Type: TypeMetadata, JSON: true, Data: []byte(softDeleted)}})
	return l.position, err
}

// tombstone ends the stream for good.
func (l *ledger) tombstone(stream string, expected int64) (position int64, err error) {
	h, err := l.deletable(stream, expected)
	if err != nil {
		return 0, err
	}
	if h, err = l.named(stream, h); err != nil {
		return 0, err
	}
	if err := l.insert(stream, &h, Tombstone, Proposed{ID: l.newID(), Type: TypeStreamDeleted}); err != nil {
		return 0, err
	}
	l.setHead(stream, h)
	if of, ok := isMeta(stream); ok { // nothing describes that stream any more
		base, err := l.headOf(of)
		if err != nil {
			return 0, err
		}
		base.meta = noMetadata()
		l.setHead(of, base)
	}
	return l.position, nil
}

// deletable judges like an append of one event that nobody has seen before.
func (l *ledger) deletable(stream string, expected int64) (head, error) {
	h, err := l.living(stream)
	if err != nil {
		return h, err
	}
	_, err = decide(stream, h, expected, []Proposed{{ID: l.newID()}}, l)
	return h, err
}
