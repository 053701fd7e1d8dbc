package sqlitedocs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// pool lends reading connections. They are used natively: for point lookups that is twice as fast as
// database/sql, which only opens and configures them here.
type pool struct {
	idle    chan *session
	size    int
	closing chan struct{}
}

// connect opens the file with one writing and options.Readers reading connections; release closes it all.
func connect(path string, options sqlite.Options) (writer *session, readers *pool, release func() error, err error) {
	writeDB, readDB, err := sqlite.OpenSQL(path, options)
	if err != nil {
		return nil, nil, nil, err
	}
	release = func() error { return errors.Join(readDB.Close(), writeDB.Close()) }
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	writer, err = native(writeDB)
	if err != nil {
		return nil, nil, nil, err
	}
	readers = &pool{idle: make(chan *session, options.Readers), size: options.Readers, closing: make(chan struct{})}
	for range options.Readers {
		reader, err := native(readDB)
		if err != nil {
			return nil, nil, nil, err
		}
		readers.idle <- reader
	}
	return writer, readers, release, nil
}

// native takes a connection out of a database/sql pool for good.
func native(db *sql.DB) (*session, error) {
	held, err := db.Conn(context.Background())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	var s *session
	err = held.Raw(func(raw any) error {
		conn, ok := raw.(driver.Conn)
		if !ok {
			return fmt.Errorf("connect: the driver gave a %T", raw)
		}
		s = newSession(conn.Raw())
		s.held = held
		return nil
	})
	return s, err
}

// take lends a connection until give.
func (p *pool) take(ctx context.Context) (*session, error) {
	select {
	case r := <-p.idle:
		return r, nil
	default:
	}
	select {
	case r := <-p.idle:
		return r, nil
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	case <-p.closing:
		return nil, unavailable(errClosed)
	}
}

func (p *pool) give(r *session) { p.idle <- r }

// close waits for all connections to come back.
func (p *pool) close() error {
	close(p.closing)
	var failed []error
	for range p.size {
		failed = append(failed, (<-p.idle).close())
	}
	return errors.Join(failed...)
}
