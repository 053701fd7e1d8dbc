package sqlite

import (
	"context"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"
)

// Check runs SQLite's own integrity check over the whole file, indexes included, while readers and the
// writer go on. It takes about a second for each few hundred thousand rows.
func (db *DB) Check(ctx context.Context) error {
	return db.Long(ctx, func(conn *Conn) error {
		return integrity(conn.Conn, `PRAGMA integrity_check(10)`)
	})
}

func integrity(conn *sqlite3.Conn, pragma string) error {
	stmt, _, err := conn.Prepare(pragma)
	if err != nil {
		return fmt.Errorf("check the file: %w", err)
	}
	defer stmt.Close()
	var faults []string
	for stmt.Step() {
		if text := stmt.ColumnText(0); text != "ok" {
			faults = append(faults, text)
		}
	}
	if err := stmt.Err(); err != nil {
		return fmt.Errorf("check the file: %w", err)
	}
	if len(faults) > 0 {
		return fmt.Errorf("the file is damaged: %s", strings.Join(faults, "; "))
	}
	return nil
}
