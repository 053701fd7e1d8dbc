package eventlog

import (
	"context"

	"github.com/ncruces/go-sqlite3"
)

const (
	// defaultLimit and maxLimit bound the events of a page.
	defaultLimit = 500
	maxLimit     = 10000
)

func limited(n int) int {
	if n <= 0 {
		return defaultLimit
	}
	return min(n, maxLimit)
}

// ReadStream reads a page of a stream: at most Limit events (0: 500; at most 10000), fewer if they
// are large. Pages may be short; End tells whether there is more. Events are shared: don't change them.
// Errors: ErrNotFound if the stream was never written to or is soft-deleted, *StreamDeleted if it is
// tombstoned, ErrInvalid. A stream of which nothing is readable gives an empty page.
func (l *Log) ReadStream(ctx context.Context, q StreamQuery) (StreamPage, error) {
	if err := checkStream(q.Stream); err != nil {
		return StreamPage{}, err
	}
	if err := ctx.Err(); err != nil {
		return StreamPage{}, err
	}
	if l.isClosed() {
		return StreamPage{}, ErrClosed
	}
	v := l.view(ctx)
	defer v.close()
	page, err := v.readStream(q)
	if err != nil {
		return StreamPage{}, v.translate(err)
	}
	return page, nil
}

func (v *view) readStream(q StreamQuery) (StreamPage, error) {
	h, err := v.found(q.Stream)
	if err != nil {
		return StreamPage{}, err
	}
	low, err := v.low(q.Stream, h)
	if err != nil {
		return StreamPage{}, err
	}
	page := StreamPage{First: min(low, h.last+1), Last: h.last, Next: q.From, End: true}
	from := max(q.From, low)
	if q.Backwards {
		if from = q.From; from < 0 || from > h.last {
			from = h.last
		}
	}
	if from > h.last || from < low {
		if !q.Backwards {
			page.Next = from
		}
		return page, nil
	}
	events, err := v.revisions(q.Stream, h, low, from, q.Backwards, limited(q.Limit))
	if err != nil {
		return page, err
	}
	if len(events) == 0 { // scavenged between the look at the head and the file
		return page, nil
	}
	page.Events = make([]Resolved, len(events))
	for i, e := range events {
		page.Events[i].Event = e
		if !q.ResolveLinks {
			continue
		}
		if page.Events[i], err = v.resolve(e); err != nil {
			return page, err
		}
	}
	last := events[len(events)-1].Revision
	if q.Backwards {
		page.Next, page.End = last-1, last <= low
	} else {
		page.Next, page.End = last+1, last >= h.last
	}
	return page, nil
}

// revisions reads up to n events of a stream from a revision on, up to the last, or down to low.
func (v *view) revisions(stream string, h head, low, from int64, backwards bool, n int) ([]*Event, error) {
	if events, ok := v.log.tail.revisions(stream, from, h.last, backwards, n); ok {
		return cut(events, low, backwards), nil
	}
	if err := v.open(); err != nil {
		return nil, err
	}
	events := make([]*Event, 0, min(int64(n), h.last-low+1))
	bytes := 0
	add := func(stmt *sqlite3.Stmt) bool {
		e := v.rows.event(stmt, stream)
		events = append(events, e)
		bytes += e.size()
		return bytes < pageBytes
	}
	sql, least, most := sqlStreamForward, from, h.last
	if backwards {
		sql, least, most = sqlStreamBackward, low, from
	}
	err := v.rows.each(sql, add, h.id, least, most, n)
	return events, err
}

// cut ends a page from memory at its bound in bytes, and at low.
func cut(events []*Event, low int64, backwards bool) []*Event {
	bytes := 0
	for i, e := range events {
		if backwards && e.Revision < low || i > 0 && bytes >= pageBytes {
			return events[:i]
		}
		bytes += e.size()
	}
	return events
}
