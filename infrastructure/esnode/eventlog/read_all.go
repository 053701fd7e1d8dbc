package eventlog

import (
	"context"
	"math"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
)

// pageTime bounds how long a page looks for matches: an expensive filter must not keep a reading connection
// for ever, or a caller that has gone.
const pageTime = 250 * time.Millisecond

// defaultWindow is how many events a page of the whole log examines unless told otherwise.
const defaultWindow = 2000

// Hidden tells the streams that reads of the whole log don't show unless asked to: with the checkpoints of
// groups over the whole log in it, each would move the log on and so cause the next.
func Hidden(stream string) bool {
	if !strings.HasPrefix(stream, "$") {
		return false
	}
	return stream == "$epoch-information" || strings.HasPrefix(stream, "$persistentsubscription-$all::") &&
		(strings.HasSuffix(stream, "-checkpoint") || strings.HasSuffix(stream, "-parked"))
}

// ReadAll reads a page of the whole log, in the order of positions: at most Limit events (0: 500) out of
// at most Window examined ones (0: 2000), both at most 10000, fewer if they are large or the filter is slow.
// Pages may be short; End tells whether there is more. Where a filter names prefixes the events of other categories are passed
// over by an index: Count then counts the positions passed. Events are shared: don't change them.
func (l *Log) ReadAll(ctx context.Context, q AllQuery) (AllPage, error) {
	if err := ctx.Err(); err != nil {
		return AllPage{}, err
	}
	if l.isClosed() {
		return AllPage{}, ErrClosed
	}
	v := l.view(ctx)
	defer v.close()
	s := scan{view: v, q: q, limit: limited(q.Limit), window: defaultWindow, head: l.Head(), until: l.options.Now().Add(pageTime)}
	if q.Window > 0 {
		s.window = min(q.Window, maxLimit)
	}
	if err := s.run(); err != nil {
		return AllPage{}, v.translate(err)
	}
	return s.page, nil
}

// scan is one read of the whole log. low and high are the positions it may look at, both inclusive.
type scan struct {
	*view
	q             AllQuery
	limit, window int
	head          int64
	until         time.Time
	low, high     int64
	bytes         int
	page          AllPage
	err           error
}

func (s *scan) run() error {
	s.page.Next = s.q.From
	s.low, s.high = max(s.q.From, 1), s.head
	if s.q.Backwards {
		s.low, s.high = 1, s.head
		if s.q.From >= 0 && s.q.From <= s.head {
			s.high = s.q.From - 1
		}
	}
	if s.low > s.high {
		s.page.End = true
		return nil
	}
	if !s.q.Backwards {
		s.page.Next = s.low
	}
	if s.fromTail() {
		return s.err
	}
	if err := s.open(); err != nil {
		return err
	}
	categories, usable, err := s.categories()
	if err != nil {
		return err
	}
	if usable {
		return s.merge(categories)
	}
	sql := sqlAllForward
	if s.q.Backwards {
		sql = sqlAllBackward
	}
	more := false
	err = s.rows.each(sql, func(stmt *sqlite3.Stmt) bool {
		if s.full() {
			more = true
			return false
		}
		return s.row(stmt)
	}, s.low, s.high, s.window+1)
	if err == nil && s.err == nil {
		err = s.resolveAll()
		s.page.End = !more
	}
	if s.err != nil {
		return s.err
	}
	return err
}

// full reports whether the page has reached one of its bounds.
func (s *scan) full() bool {
	return s.page.Count >= s.window || len(s.page.Events) >= s.limit || s.bytes >= pageBytes ||
		s.q.Filter != nil && s.page.Count > 0 && s.log.options.Now().After(s.until)
}

// wants applies the filter, to the event itself and never to a link's target.
func (s *scan) wants(stream, eventType string) bool {
	return (s.q.Hidden || !Hidden(stream)) && (s.q.Filter == nil || s.q.Filter.Match(stream, eventType))
}

// examined moves the page on to a position.
func (s *scan) examined(position int64) {
	s.page.Examined = position
	s.page.Count++
	s.page.Next = position + 1
	if s.q.Backwards {
		s.page.Next = position
	}
}

// row examines the current row of a statement; what the filter leaves out is not decoded.
func (s *scan) row(stmt *sqlite3.Stmt) bool {
	position := stmt.ColumnInt64(columnPosition)
	stream, err := s.name(stmt.ColumnInt64(columnStream))
	if err != nil {
		s.err = err
		return false
	}
	s.examined(position)
	if s.wants(stream, s.rows.types.intern(stmt.ColumnRawText(columnType))) {
		e := s.rows.event(stmt, stream)
		s.bytes += e.size()
		s.page.Events = append(s.page.Events, Resolved{Event: e})
	}
	return true
}

// fromTail answers from memory if everything asked for is held there.
func (s *scan) fromTail() bool {
	from := s.low
	if s.q.Backwards {
		from = s.high + 1
	}
	events, ok := s.log.tail.window(from, s.q.Backwards, s.window+1)
	if !ok {
		return false
	}
	s.page.End = !s.q.Backwards || len(events) > 0 && events[len(events)-1].Position == 1
	for _, e := range events {
		if e.Position > s.high {
			break
		}
		if s.full() {
			s.page.End = false
			break
		}
		s.examined(e.Position)
		if s.wants(e.Stream, e.Type) {
			s.bytes += e.size()
			s.page.Events = append(s.page.Events, Resolved{Event: e})
		}
	}
	s.err = s.resolveAll()
	return true
}

func (s *scan) resolveAll() error {
	if !s.q.ResolveLinks {
		return nil
	}
	for i, r := range s.page.Events {
		resolved, err := s.resolve(r.Event)
		if err != nil {
			return err
		}
		s.page.Events[i] = resolved
	}
	return nil
}

// maxMerge bounds the categories that are merged; a filter over more reads everything instead.
const maxMerge = 16

// categories finds those that cover every match of the filter.
func (s *scan) categories() (ids []int64, usable bool, err error) {
	if s.q.Filter == nil {
		return nil, false, nil
	}
	prefixes := s.q.Filter.StreamPrefixes()
	if prefixes == nil {
		return nil, false, nil
	}
	seen := map[int64]bool{}
	add := func(stmt *sqlite3.Stmt) bool {
		if id := stmt.ColumnInt64(0); !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
		return len(ids) <= maxMerge
	}
	for _, prefix := range prefixes {
		switch category := indexedCategory(prefix); {
		case prefix == "":
			return nil, false, nil
		case category != "":
			err = s.rows.each(sqlCategory, add, category)
		default: // within the name of a category, or of streams that have none
			if !seen[noCategory] {
				seen[noCategory] = true
				ids = append(ids, noCategory)
			}
			err = s.rows.each(sqlCategoryRange, add, prefix, prefix+"\xff", maxMerge+1)
		}
		if err != nil || len(ids) > maxMerge {
			return nil, false, err
		}
	}
	return ids, true, nil
}

// upTo is where the scan ends when nothing more is found.
func (s *scan) upTo() int64 {
	if s.q.Backwards {
		return s.low
	}
	return s.high
}

// finish ends a merge that found everything up to the end of the log: what was passed over counts.
func (s *scan) finish() {
	end := s.upTo()
	s.page.Examined, s.page.End = end, true
	s.page.Next = end + 1
	if s.q.Backwards {
		s.page.Next = end
	}
	s.passed(end)
}

// passed counts the positions that the page has passed, examined or skipped.
func (s *scan) passed(position int64) {
	n := position - s.low + 1
	if s.q.Backwards {
		n = s.high - position + 1
	}
	s.page.Count = int(min(n, math.MaxInt32))
}
