package eventlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// pageBytes bounds a page beside its count: a page ends early, with at least one event, when its events
// are larger together.
const pageBytes = 4 << 20

// view is one read. It answers from memory what it can and takes a reading connection, with one moment of
// the file, when it first needs one. Heads are looked up in memory before that, so the file is never
// older than they are.
type view struct {
	ctx  context.Context
	log  *Log
	rows rows
}

func (l *Log) view(ctx context.Context) *view { return &view{ctx: ctx, log: l} }

// open makes sure of the connection.
func (v *view) open() error {
	if v.rows.conn != nil {
		return nil
	}
	conn, err := v.log.db.Acquire(v.ctx)
	if err != nil {
		return err
	}
	v.rows.conn = conn
	v.log.counts.fileReads.Add(1)
	return nil
}

func (v *view) close() {
	if v.rows.conn != nil {
		v.log.db.Release(v.rows.conn)
		return
	}
	v.log.counts.tailReads.Add(1)
}

// translate gives errors of reading their place in the log's contract.
func (v *view) translate(err error) error {
	switch {
	case err == nil:
		return nil
	case v.ctx.Err() != nil:
		return v.ctx.Err()
	case errors.Is(err, sqlite.ErrClosed):
		return ErrClosed
	}
	return err
}

// head is how a stream stands.
func (v *view) head(stream string) (head, error) {
	h, generation, ok := v.log.tail.headOf(stream)
	if ok {
		return h, nil
	}
	if err := v.open(); err != nil {
		return h, err
	}
	h, err := v.rows.head(stream)
	if err != nil {
		return h, fmt.Errorf("read the head of a stream: %w", err)
	}
	v.log.tail.fill(stream, h, generation)
	return h, nil
}

// living is the head of a stream without a tombstone.
func (v *view) living(stream string) (head, error) {
	h, err := v.head(stream)
	if err != nil {
		return h, err
	}
	if of, ok := isMeta(stream); ok && h.tombstone == 0 {
		base, err := v.head(of)
		if err != nil {
			return h, err
		}
		h.tombstone = base.tombstone
	}
	if h.tombstone > 0 {
		return h, &StreamDeleted{Stream: stream}
	}
	return h, nil
}

// found is the head of a stream that a reader finds.
func (v *view) found(stream string) (head, error) {
	h, err := v.living(stream)
	if err == nil && (h.last < 0 || h.softDeleted()) {
		err = ErrNotFound
	}
	return h, err
}

// low is the first revision that a reader sees.
func (v *view) low(stream string, h head) (int64, error) {
	return searchLow(h, v.log.options.Now().UnixNano()/100, func(revision int64) (int64, error) {
		return v.created(stream, h, revision)
	})
}

func (v *view) created(stream string, h head, revision int64) (int64, error) {
	if e, ok := v.log.tail.lookup(stream, revision); ok {
		return e.Created, nil
	}
	if err := v.open(); err != nil {
		return 0, err
	}
	return v.rows.created(h, revision)
}

// event reads one event that is there unless it was removed meanwhile; nil then.
func (v *view) event(stream string, h head, revision int64) (*Event, error) {
	if e, ok := v.log.tail.lookup(stream, revision); ok {
		return e, nil
	}
	if err := v.open(); err != nil {
		return nil, err
	}
	return v.rows.eventAt(h, stream, revision)
}

// visible reads one event as a reader of its stream would; nil if that reader doesn't see it.
func (v *view) visible(stream string, revision int64) (*Event, error) {
	h, err := v.found(stream)
	if err != nil {
		return nil, err
	}
	if revision < h.low() || revision > h.last {
		return nil, nil
	}
	e, err := v.event(stream, h, revision)
	if err != nil || e == nil || expired(h, e.Created, v.log.options.Now().UnixNano()/100) {
		return nil, err
	}
	return e, nil
}

// name finds the name of a stream by its id.
func (v *view) name(id int64) (string, error) {
	if name, ok := v.log.names.get(id); ok {
		return name, nil
	}
	name, err := v.rows.streamName(id)
	if err == nil {
		v.log.names.put(id, name)
	}
	return name, err
}

// StreamState tells how a stream stands. An unknown stream is no error: its Last is -1.
func (l *Log) StreamState(ctx context.Context, stream string) (State, error) {
	if err := checkStream(stream); err != nil {
		return State{}, err
	}
	v := l.view(ctx)
	defer v.close()
	h, err := v.living(stream)
	if deleted := (*StreamDeleted)(nil); err != nil && !errors.As(err, &deleted) {
		return State{}, v.translate(err)
	}
	return State{Stream: stream, First: min(h.low(), h.last+1), Last: h.last, SoftDeleted: h.softDeleted(),
		Tombstoned: h.tombstone > 0, Metadata: h.meta}, nil
}

// ReadEvent reads one event as a reader of the stream sees it; revision -1 is the last. Errors:
// ErrNotFound for the stream or the event, *StreamDeleted.
func (l *Log) ReadEvent(ctx context.Context, stream string, revision int64) (Event, error) {
	if err := checkStream(stream); err != nil {
		return Event{}, err
	}
	v := l.view(ctx)
	defer v.close()
	if revision == -1 {
		h, err := v.found(stream)
		if err != nil {
			return Event{}, v.translate(err)
		}
		revision = h.last
	}
	e, err := v.visible(stream, revision)
	if err == nil && e == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Event{}, v.translate(err)
	}
	return *e, nil
}

// TombstoneEvent reads the event that ended a stream, which no other read of the stream shows.
// Errors: ErrNotFound if the stream has none.
func (l *Log) TombstoneEvent(ctx context.Context, stream string) (Event, error) {
	v := l.view(ctx)
	defer v.close()
	h, err := v.head(stream)
	if err != nil {
		return Event{}, v.translate(err)
	}
	e, err := v.event(stream, h, Tombstone)
	if err == nil && e == nil {
		err = ErrNotFound
	}
	if err != nil {
		return Event{}, v.translate(err)
	}
	return *e, nil
}
