package sqlitedocs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// keptStatements bounds the prepared statements of one connection. Screens ask few different
// questions; a store with so many collections that they don't fit only loses the preparation.
const keptStatements = 256

// session is a connection with its prepared statements; one goroutine uses it at a time.
type session struct {
	conn       *sqlite3.Conn
	held       *sql.Conn // what keeps conn
	statements map[string]*sqlite3.Stmt
}

func newSession(conn *sqlite3.Conn) *session {
	return &session{conn: conn, statements: map[string]*sqlite3.Stmt{}}
}

// prepare gives the statement for a text, ready to bind.
func (s *session) prepare(text string) (*sqlite3.Stmt, error) {
	if statement := s.statements[text]; statement != nil {
		return statement, nil
	}
	if len(s.statements) >= keptStatements {
		if err := s.forget(); err != nil {
			return nil, err
		}
	}
	statement, _, err := s.conn.PrepareFlags(text, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", text, err)
	}
	s.statements[text] = statement
	return statement, nil
}

// close gives the connection back.
func (s *session) close() error { return errors.Join(s.forget(), s.held.Close()) }

// forget closes all statements.
func (s *session) forget() error {
	var failed []error
	for text, statement := range s.statements {
		failed = append(failed, statement.Close())
		delete(s.statements, text)
	}
	return errors.Join(failed...)
}

// exec runs a statement without rows and says how many rows it changed.
func (s *session) exec(text string, args ...any) (int64, error) {
	err := s.each(text, args, func(*sqlite3.Stmt) error { return nil })
	return s.conn.Changes(), err
}

// each runs a statement and hands over each row.
func (s *session) each(text string, args []any, row func(*sqlite3.Stmt) error) (err error) {
	statement, err := s.prepare(text)
	if err != nil {
		return err
	}
	for i, arg := range args {
		if err := bind(statement, i+1, arg); err != nil {
			return err
		}
	}
	defer func() {
		// Reset repeats the error of the last step.
		if resetErr := statement.Reset(); err == nil {
			err = resetErr
		}
	}()
	for statement.Step() {
		if err := row(statement); err != nil {
			return err
		}
	}
	return statement.Err()
}

func bind(statement *sqlite3.Stmt, i int, arg any) error {
	switch arg := arg.(type) {
	case nil:
		return statement.BindNull(i)
	case string:
		return statement.BindText(i, arg)
	case []byte:
		if len(arg) == 0 {
			return statement.BindNull(i)
		}
		return statement.BindRawText(i, arg)
	case int64:
		return statement.BindInt64(i, arg)
	case bool:
		return statement.BindBool(i, arg)
	}
	return fmt.Errorf("bind parameter %d: unexpected %T", i, arg)
}

// under runs work that is interrupted at the end of ctx.
func (s *session) under(ctx context.Context, work func() error) error {
	before := s.conn.SetInterrupt(ctx)
	defer s.conn.SetInterrupt(before)
	return work()
}
