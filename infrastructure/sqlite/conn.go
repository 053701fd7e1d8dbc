package sqlite

import (
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// Conn is a native connection that keeps its prepared statements. One goroutine at a time may use it.
type Conn struct {
	*sqlite3.Conn
	statements map[string]*sqlite3.Stmt
}

// Prepared returns the connection's one statement for the text, prepared at its first use and kept until
// the connection closes. The caller resets it after use. The number of different texts must be bounded.
func (c *Conn) Prepared(sql string) (*sqlite3.Stmt, error) {
	if stmt, ok := c.statements[sql]; ok {
		return stmt, nil
	}
	stmt, tail, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", sql, err)
	}
	if tail != "" {
		return nil, errors.Join(fmt.Errorf("prepare %q: more than one statement", sql), stmt.Close())
	}
	c.statements[sql] = stmt
	return stmt, nil
}

// Run executes a statement that takes no arguments and yields nothing.
func (c *Conn) Run(sql string) error {
	stmt, err := c.Prepared(sql)
	if err != nil {
		return err
	}
	return stmt.Exec()
}

// Int runs a statement that takes integers and yields one: 0 and false if it yields no row or NULL.
func (c *Conn) Int(sql string, args ...int64) (n int64, found bool, err error) {
	stmt, err := c.Prepared(sql)
	if err != nil {
		return 0, false, err
	}
	for i, arg := range args {
		if err := stmt.BindInt64(i+1, arg); err != nil {
			return 0, false, err
		}
	}
	if stmt.Step() && stmt.ColumnType(0) != sqlite3.NULL {
		n, found = stmt.ColumnInt64(0), true
	}
	return n, found, errors.Join(stmt.Err(), stmt.Reset())
}

// Close closes the statements and the connection.
func (c *Conn) Close() error {
	var errs []error
	for _, stmt := range c.statements {
		errs = append(errs, stmt.Close())
	}
	clear(c.statements)
	return errors.Join(append(errs, c.Conn.Close())...)
}

func openConn(path string, options Options, readOnly bool) (*Conn, error) {
	dsn, err := options.dsn(path, readOnly)
	if err != nil {
		return nil, err
	}
	conn, err := sqlite3.Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &Conn{Conn: conn, statements: map[string]*sqlite3.Stmt{}}, nil
}
