package eventlog

import (
	"errors"
	"strconv"

	"github.com/ncruces/go-sqlite3"
)

// merge reads the events of a few categories in the order of positions, by one cursor each over the
// index. Rows are fetched only when they are next.
func (s *scan) merge(categories []int64) (err error) {
	sql := sqlCategoryForward
	if s.q.Backwards {
		sql = sqlCategoryBackward
	}
	var open []*sqlite3.Stmt
	defer func() {
		for _, stmt := range open {
			err = errors.Join(err, stmt.Reset())
		}
	}()
	var cursors []cursor
	for i, category := range categories {
		stmt, err := s.rows.conn.Prepared(sql + " -- " + strconv.Itoa(i))
		if err != nil {
			return err
		}
		open = append(open, stmt)
		if err := bind(stmt, category, s.low, s.high); err != nil {
			return err
		}
		c := cursor{stmt: stmt}
		if more, err := c.step(); err != nil {
			return err
		} else if more {
			cursors = append(cursors, c)
		}
	}
	if err := s.drain(cursors); err != nil {
		return err
	}
	return s.resolveAll()
}

// cursor is a statement on a row.
type cursor struct {
	stmt     *sqlite3.Stmt
	position int64
}

func (c *cursor) step() (bool, error) {
	if !c.stmt.Step() {
		return false, c.stmt.Err()
	}
	c.position = c.stmt.ColumnInt64(columnPosition)
	return true, nil
}

// drain takes the next row of all cursors until the page is full or they end.
func (s *scan) drain(cursors []cursor) error {
	for len(cursors) > 0 {
		if s.full() {
			s.passed(s.page.Examined)
			return nil
		}
		next := 0
		for i := range cursors {
			if (cursors[i].position < cursors[next].position) != s.q.Backwards {
				next = i
			}
		}
		if !s.row(cursors[next].stmt) {
			return s.err
		}
		more, err := cursors[next].step()
		if err != nil {
			return err
		}
		if !more {
			cursors = append(cursors[:next], cursors[next+1:]...)
		}
	}
	if s.full() { // the last row was the last of the page too
		s.passed(s.page.Examined)
		return nil
	}
	s.finish()
	return nil
}
