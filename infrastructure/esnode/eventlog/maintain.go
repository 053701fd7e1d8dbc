package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// loadNewest finds where the log ends.
func (l *ledger) loadNewest() error {
	err := l.each(sqlNewest, func(stmt *sqlite3.Stmt) bool {
		l.position, l.created = stmt.ColumnInt64(0), stmt.ColumnInt64(1)
		return false
	})
	if err == nil {
		l.streams, _, err = l.conn.Int(sqlStreams)
	}
	return err
}

// counterScavenged counts the events that scavenges removed. Positions have no other gaps.
const counterScavenged = "scavenged"

// counter reads a number that is kept in the file.
func (l *ledger) counter(name string) (n int64, err error) {
	err = l.each(`SELECT value FROM counters WHERE name = ?1`, func(stmt *sqlite3.Stmt) bool {
		n = stmt.ColumnInt64(0)
		return false
	}, name)
	return n, err
}

func (l *ledger) count(name string, n int64) error {
	l.dirty = true
	return l.exec(`INSERT INTO counters(name, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = value + ?2`, name, n)
}

// check is a query that finds nothing in a sound log, and what it means if it does.
type check struct{ query, meaning string }

var checks = []check{
	{`SELECT e.stream, e.position FROM events e LEFT JOIN streams s ON s.id = e.stream WHERE s.id IS NULL OR s.category <> e.category LIMIT 1`,
		"an event is of an unknown stream or in another category than its stream"},
	{`SELECT id, category FROM streams WHERE category NOT IN (SELECT id FROM categories) LIMIT 1`,
		"a stream is in an unknown category"},
	{`SELECT stream, max(revision) FROM events WHERE revision <> 9223372036854775807 GROUP BY stream
		HAVING max(revision) - min(revision) + 1 <> count(*) OR min(revision) < 0 LIMIT 1`,
		"the revisions of a stream have a hole"},
	{`SELECT stream, revision FROM (SELECT stream, revision, position,
			lag(position) OVER (PARTITION BY stream ORDER BY revision) AS before FROM events)
		WHERE position <= before LIMIT 1`,
		"the positions of a stream do not increase"},
	{`SELECT position, length(id) FROM events WHERE length(id) <> 16 OR type = '' OR position <= 0 LIMIT 1`,
		"an event has no id, type or position"},
}

// Check verifies the whole log while everything goes on: SQLite's own integrity, every stream's revisions
// without holes, positions increasing along each stream, every event in a known stream. It takes seconds
// for a million events. ctx interrupts it.
func (l *Log) Check(ctx context.Context) error {
	if err := l.db.Check(ctx); err != nil {
		if errors.Is(err, sqlite.ErrClosed) {
			return ErrClosed
		}
		return fmt.Errorf("check the event log: %w", err)
	}
	err := l.db.Long(ctx, func(conn *sqlite.Conn) error {
		r := rows{conn: conn}
		for _, c := range checks {
			fault := ""
			err := r.each(c.query, func(stmt *sqlite3.Stmt) bool {
				fault = fmt.Sprintf("%s (%d, %d)", c.meaning, stmt.ColumnInt64(0), stmt.ColumnInt64(1))
				return false
			})
			if err != nil {
				return err
			}
			if fault != "" {
				return errors.New(fault)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("check the event log: %w", err)
	}
	return nil
}

// Stats tells how the log is doing; cheap enough to ask every second.
func (l *Log) Stats() Stats {
	c := &l.counts
	s := Stats{Head: l.Head(), Appends: c.appends.Load(), Written: c.written.Load(), Repeats: c.repeats.Load(),
		Conflicts: c.conflicts.Load(), Commits: c.commits.Load(), CommitTime: time.Duration(c.commitTime.Load()),
		Queued: len(l.queue), Readers: l.db.Busy(), TailReads: c.tailReads.Load(), FileReads: c.fileReads.Load()}
	s.Events = s.Head - c.scavenged.Load()
	s.Streams = c.streams.Load()
	s.FileBytes, s.WALBytes = l.db.Sizes()
	s.TailEvents, s.TailBytes = l.tail.size()
	return s
}

// Compact rewrites the log at path, which must not be open, without the space that scavenges have freed, and
// tells its size before and after, in bytes. It needs room for the new file beside the old one; whenever it
// is interrupted, by ctx or by a crash, the log is there, whole. Errors as for Open, and sqlite3.BUSY while
// the log is open.
func Compact(ctx context.Context, path string) (before, after int64, err error) {
	return sqlite.Compact(ctx, path, sqlite.Options{ApplicationID: applicationID, Migrations: migrations})
}
