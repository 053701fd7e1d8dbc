package eventlog

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

const (
	// scavengeStreams are looked at between two steps, scavengeEvents removed in one commit.
	scavengeStreams = 500
	scavengeEvents  = 1000
)

// Scavenge removes the events that no reader of their stream can see any more: before "$tb", beyond
// "$maxCount", older than "$maxAge", of tombstoned streams, and all but the latest metadata. They disappear
// from reads of the whole log too. Of each stream the newest event stays, so that its numbering goes on.
// Appends go on meanwhile; the file doesn't shrink, its free pages are used again (Compact gives them back). It may be interrupted by
// ctx at any time and does the rest when called again.
func (l *Log) Scavenge(ctx context.Context) (done ScavengeResult, err error) {
	err = l.db.Long(ctx, func(conn *sqlite.Conn) error {
		r := rows{conn: conn}
		for after := int64(0); ; {
			names, last, err := r.wasteful(after, l.options.Now().UnixNano()/100)
			if err != nil {
				return err
			}
			if last == after {
				return nil
			}
			done.Streams += last - after
			after = last
			for _, name := range names {
				if err := l.trim(ctx, name, &done); err != nil {
					return err
				}
			}
		}
	})
	switch {
	case err == nil:
		return done, nil
	case errors.Is(err, sqlite.ErrClosed):
		err = ErrClosed
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return done, fmt.Errorf("scavenge: %w", err)
}

// trim removes what one stream doesn't need, in bounded commits.
func (l *Log) trim(ctx context.Context, stream string, done *ScavengeResult) error {
	for {
		var events, bytes int64
		more := false
		err := l.do(ctx, 0, func(w *ledger) (err error) {
			events, bytes, more, err = w.trim(stream)
			return err
		})
		if err != nil {
			return err
		}
		l.counts.scavenged.Add(events)
		done.Events += events
		done.Bytes += bytes
		if !more {
			return nil
		}
	}
}

// wasteful looks at the next streams by id and names those from which something can be removed. It also
// returns the id it came to: after itself if there are no more.
func (r *rows) wasteful(after, now int64) (names []string, last int64, err error) {
	var all []string
	last = after
	err = r.each(`SELECT id, name FROM streams WHERE id > ?1 ORDER BY id LIMIT ?2`, func(stmt *sqlite3.Stmt) bool {
		last = stmt.ColumnInt64(0)
		all = append(all, stmt.ColumnText(1))
		return true
	}, after, scavengeStreams)
	if err != nil {
		return nil, after, err
	}
	for _, name := range all {
		h, err := r.head(name)
		if err != nil {
			return nil, after, err
		}
		keep, err := r.keep(h, now)
		if err != nil {
			return nil, after, err
		}
		if h.last >= 0 && keep > h.first {
			names = append(names, name)
		}
	}
	return names, last, nil
}

// keep is the first revision that must stay.
func (r *rows) keep(h head, now int64) (int64, error) {
	if h.tombstone > 0 {
		return h.last + 1, nil
	}
	low, err := searchLow(h, now, func(revision int64) (int64, error) { return r.created(h, revision) })
	return min(low, h.last), err
}

// searchLow is the first revision that a reader sees, "$maxAge" included. Times never go back in the
// log, so the place can be searched for.
func searchLow(h head, now int64, created func(revision int64) (int64, error)) (int64, error) {
	low := h.low()
	if h.meta.MaxAge == 0 || low > h.last {
		return low, nil
	}
	var failed error
	n := sort.Search(int(h.last-low+1), func(i int) bool {
		if failed != nil {
			return true
		}
		at, err := created(low + int64(i))
		failed = err
		return !expired(h, at, now)
	})
	return low + int64(n), failed
}

// trim removes the oldest events that the stream doesn't need, up to a bound.
func (l *ledger) trim(stream string) (events, bytes int64, more bool, err error) {
	h, err := l.headOf(stream)
	if err != nil || h.last < 0 {
		return 0, 0, false, err
	}
	keep, err := l.keep(h, l.now())
	if err != nil || keep <= h.first {
		return 0, 0, false, err
	}
	end := min(keep, h.first+scavengeEvents)
	err = l.each(`SELECT count(*), sum(length(data) + length(metadata)) FROM events WHERE stream = ?1 AND revision < ?2`,
		func(stmt *sqlite3.Stmt) bool {
			events, bytes = stmt.ColumnInt64(0), stmt.ColumnInt64(1)
			return false
		}, h.id, end)
	if err != nil {
		return 0, 0, false, err
	}
	if err := l.exec(`DELETE FROM events WHERE stream = ?1 AND revision < ?2`, h.id, end); err != nil {
		return 0, 0, false, err
	}
	if err := l.count(counterScavenged, events); err != nil {
		return 0, 0, false, err
	}
	l.removed = true
	if h.first = end; end > h.last {
		h.first, h.last = 0, -1
	}
	l.setHead(stream, h)
	return events, bytes, end < keep, nil
}
