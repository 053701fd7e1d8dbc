package sqlitedocs

import (
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// keptStatements bounds the prepared statements of one connection. Screens ask few different
// questions, but generations come and go: once there are that many, all are prepared anew.
const keptStatements = 256

// exec runs a statement without rows and says how many rows it changed.
func exec(conn *sqlite.Conn, text string, args ...any) (int64, error) {
	err := each(conn, text, args, func(*sqlite3.Stmt) error { return nil })
	return conn.Changes(), err
}

// each runs a statement and hands over each row.
func each(conn *sqlite.Conn, text string, args []any, row func(*sqlite3.Stmt) error) (err error) {
	if conn.Statements() >= keptStatements {
		if err := conn.Forget(); err != nil {
			return err
		}
	}
	statement, err := conn.Prepared(text)
	if err != nil {
		return err
	}
	for i, arg := range args {
		if err := bind(statement, i+1, arg); err != nil {
			return err
		}
	}
	defer func() {
		if resetErr := statement.Reset(); err == nil { // it repeats the error of the last step
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
