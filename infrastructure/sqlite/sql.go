package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3/driver"
)

// OpenSQL prepares the database at path and opens it through database/sql: a writer of one connection whose
// transactions take the write lock when they begin, and a reader of Options.Readers connections that cannot
// write. The caller closes both, the reader first. Errors are *NewerError and *ForeignError for refused
// files.
func OpenSQL(path string, options Options) (writer, reader *sql.DB, err error) {
	options = options.withDefaults()
	if err := prepare(path, options); err != nil {
		return nil, nil, err
	}
	writer, err = openPool(path, options, false, 1)
	if err != nil {
		return nil, nil, err
	}
	reader, err = openPool(path, options, true, options.Readers)
	if err != nil {
		return nil, nil, errors.Join(err, writer.Close())
	}
	return writer, reader, nil
}

func openPool(path string, options Options, readOnly bool, size int) (*sql.DB, error) {
	dsn, err := options.dsn(path, readOnly)
	if err != nil {
		return nil, err
	}
	pool, err := driver.Open(dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	ctx, cancel := context.WithTimeout(context.Background(), options.BusyTimeout)
	defer cancel()
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), pool.Close())
	}
	return pool, nil
}
