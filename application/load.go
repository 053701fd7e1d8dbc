package application

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Load reads an aggregate up to the end of its stream. One that does not exist is no error: see Exists.
func Load[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], id string) (Loaded[S], error) {
	if !isName(id) {
		return aggregate.empty(id), nil
	}
	loaded, start, err := loadFresh(ctx, e, aggregate, id)
	if err != nil {
		return Loaded[S]{}, err
	}
	e.hooks.Loaded(aggregate.Category, start, loaded.events)
	return remember(e, aggregate, loaded), nil
}

// remember offers a state that is current for a snapshot and to the cache.
func remember[S any](e *Executor, aggregate *Aggregate[S], loaded Loaded[S]) Loaded[S] {
	loaded = offerSnapshot(e, aggregate, loaded)
	loaded.touched = time.Now()
	cachePut(e.cache, aggregate, loaded)
	return loaded
}

// errDoubt is a start that does not fit the stream.
var errDoubt = errors.New("the start does not fit the stream")

// errLong stops reading a stream that turns out to be long.
var errLong = errors.New("the stream is long")

// errPast stops reading behind a point.
var errPast = errors.New("the point is passed")

func loadFresh[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], id string) (Loaded[S], Start, error) {
	empty := aggregate.empty(id)
	if from, ok := cacheGet[S](e.cache, empty.Stream); ok {
		loaded, err := readOn(ctx, e, aggregate, from, newest)
		if !errors.Is(err, errDoubt) {
			return loaded, FromCache, err
		}
		e.cache.drop(empty.Stream)
	}
	if every := e.options.SnapshotEvery; every > 0 && !aggregate.Long {
		loaded, err := readFirst(ctx, e, aggregate, empty, func(loaded Loaded[S], _ domain.Recorded) error {
			if loaded.events == every {
				return errLong
			}
			return nil
		})
		if !errors.Is(err, errLong) {
			return loaded, FromFirst, err
		}
	}
	return loadUpTo(ctx, e, aggregate, empty, newest)
}

// newest is the revision that no stream reaches.
const newest int64 = math.MaxInt64

// loadUpTo folds the stream from its newest usable snapshot, or its first event, up to a revision.
func loadUpTo[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], empty Loaded[S], revision int64) (Loaded[S], Start, error) {
	from, ok, err := readSnapshot(ctx, e, aggregate, empty, revision)
	if err != nil {
		return Loaded[S]{}, FromSnapshot, err
	}
	if ok {
		loaded, err := readOn(ctx, e, aggregate, from, revision)
		if !errors.Is(err, errDoubt) {
			e.hooks.Snapshot(aggregate.Category, stamp(e.options.Clock).Sub(from.snapshotAt), loaded.Revision-from.Revision)
			return loaded, FromSnapshot, err
		}
		e.hooks.SnapshotIgnored(empty.Stream, "the stream has another event at its revision")
	}
	loaded, err := readFirst(ctx, e, aggregate, empty, func(_ Loaded[S], r domain.Recorded) error {
		if r.Revision > revision {
			return errPast
		}
		return nil
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	return loaded, FromFirst, err
}

// readOn folds what came after from, up to a revision. It reads from's own last event again, to be sure
// that from is a state of this very stream: errDoubt if not.
func readOn[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], from Loaded[S], upTo int64) (Loaded[S], error) {
	loaded, sure := from, false
	loaded.events = 0
	err := e.read(ctx, from.Stream, from.Revision, func(r domain.Recorded) error {
		if r.Revision > upTo {
			return errPast
		}
		if !sure {
			if r.Revision != from.Revision || r.Meta.Hash != from.Meta.Hash {
				return errDoubt
			}
			sure = true
			loaded.Meta, loaded.Position = r.Meta, r.Position
			return nil
		}
		loaded = loaded.with(aggregate, r)
		loaded.events++
		return nil
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	if err == nil && !sure {
		err = errDoubt // the stream ends before
	}
	if loaded.events > 0 && !from.touched.IsZero() {
		loaded.foreign = time.Now()
	}
	return loaded, err
}

// readFirst folds from the first event on, until check of the next one fails.
func readFirst[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], loaded Loaded[S],
	check func(Loaded[S], domain.Recorded) error,
) (Loaded[S], error) {
	err := e.read(ctx, loaded.Stream, 0, func(r domain.Recorded) error {
		if err := check(loaded, r); err != nil {
			return err
		}
		loaded = loaded.with(aggregate, r)
		loaded.events++
		return nil
	})
	return loaded, err
}

// Point is a moment in the life of an aggregate. The zero value is now.
type Point struct {
	Revision *int64    // as of this revision
	AsOf     time.Time // as of this time: before the first event with a later one
}

// StateAt gives an aggregate as it was, computed from its events: at most as many as the stream has.
// KindNotFound if the aggregate did not exist then, has not got to the revision, or is not the
// customer's; an empty customer sees all.
func StateAt[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], customer, id string, point Point) (Loaded[S], error) {
	missing := domain.NotFound(aggregate.Noun, id)
	if !isName(id) {
		return Loaded[S]{}, missing
	}
	loaded, err := stateAt(ctx, e, aggregate, id, point)
	switch {
	case err != nil:
		return Loaded[S]{}, err
	case !loaded.Exists(), !aggregate.shows(loaded.State, customer):
		return Loaded[S]{}, missing
	case point.Revision != nil && *point.Revision != loaded.Revision:
		return Loaded[S]{}, missing
	}
	return loaded, nil
}

// shows tells whether the state is one that customer may know of.
func (a *Aggregate[S]) shows(state S, customer string) bool {
	return customer == "" || a.Owner == nil || a.Owner(state) == customer
}

func stateAt[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], id string, point Point) (Loaded[S], error) {
	if point.Revision == nil && point.AsOf.IsZero() {
		return Load(ctx, e, aggregate, id)
	}
	empty, start := aggregate.empty(id), FromFirst
	var loaded Loaded[S]
	var err error
	if point.AsOf.IsZero() {
		loaded, start, err = loadUpTo(ctx, e, aggregate, empty, *point.Revision)
	} else {
		// No snapshot can help here: clocks of several replicas need not agree, so only the events
		// themselves tell which is the first with a later time.
		loaded, err = readFirst(ctx, e, aggregate, empty, func(_ Loaded[S], r domain.Recorded) error {
			if r.Meta.At.After(point.AsOf) || point.Revision != nil && r.Revision > *point.Revision {
				return errPast
			}
			return nil
		})
		if errors.Is(err, errPast) {
			err = nil
		}
	}
	if err != nil {
		return Loaded[S]{}, err
	}
	e.hooks.Loaded(aggregate.Category, start, loaded.events)
	return loaded, nil
}

// errSilent is the cause where the store stayed silent for too long. To adapters it is a deadline like any
// other: a connection on which it passes is worth a second look.
var errSilent = fmt.Errorf("the event store stayed silent for too long: %w", context.DeadlineExceeded)

// read calls take for each event of stream from a revision on, 0 or later, in order, and makes sure that none is
// missing. It gives up once the store has been silent for as long as the caller bears, StoreWait at most;
// a long stream may take longer than that. Errors of take are returned as they are.
func (e *Executor) read(ctx context.Context, stream string, from int64, take func(domain.Recorded) error) error {
	bounded, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := e.patienceOf(ctx)
	bears, heard := patience.bears(), time.Now()
	silence := time.AfterFunc(bears, func() { cancel(errSilent) })
	defer silence.Stop()

	next := from
	for r, err := range e.store.ReadStream(bounded, stream, next) {
		if err != nil {
			patience.spend(time.Since(heard))
			return e.readFailed(bounded, stream, err)
		}
		if r.Revision != next {
			return defect(fmt.Sprintf("Stream %q goes on at revision %d instead of %d.", stream, r.Revision, next))
		}
		silence.Reset(bears)
		if err := take(r); err != nil {
			return err
		}
		next, heard = next+1, time.Now()
	}
	// An adapter that merely stopped must not make a part of the stream look like all of it.
	if bounded.Err() != nil {
		patience.spend(time.Since(heard))
		return storeSilent(context.Cause(bounded))
	}
	return nil
}

func (e *Executor) readFailed(bounded context.Context, stream string, err error) error {
	if bounded.Err() != nil {
		return storeSilent(context.Cause(bounded))
	}
	if domain.KindOf(err) == domain.KindUnknown {
		return storeSilent(err) // nothing is unknown about a read that failed
	}
	return fmt.Errorf("read %s: %w", stream, err)
}
