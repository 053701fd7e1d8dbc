package esdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// ReadStream implements application.EventStore.
func (s *Store) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		for raw, err := range s.ReadStreamRaw(ctx, stream, from) {
			var recorded domain.Recorded
			if err == nil {
				recorded, err = codec.Decode(raw)
			}
			if !yield(recorded, err) {
				return
			}
		}
	}
}

// ReadLast implements application.EventStore. A newest event that can't be decoded comes with ok and
// a KindUndecodable error.
func (s *Store) ReadLast(ctx context.Context, stream string) (last domain.Recorded, ok bool, err error) {
	raw, ok, err := s.lastRaw(ctx, stream)
	if err != nil || !ok {
		return domain.Recorded{}, false, err
	}
	last, err = codec.Decode(raw)
	return last, true, err
}

// KeepNewest implements application.EventStore. Other metadata of the stream stays as it is.
func (s *Store) KeepNewest(ctx context.Context, stream string, events int) error {
	if events < 1 {
		return defect("keep %d events of stream %q", events, stream)
	}
	for attempt := 1; ; attempt++ {
		raw, exists, err := s.lastRaw(ctx, "$$"+stream)
		if err != nil {
			return err
		}
		metadata, after := map[string]json.RawMessage{}, domain.NoStream
		if exists {
			after = raw.Revision
			if json.Unmarshal(raw.Data, &metadata) != nil || metadata == nil {
				metadata = map[string]json.RawMessage{}
			}
		}
		want := fmt.Sprint(events)
		if string(metadata["$maxCount"]) == want {
			return nil
		}
		metadata["$maxCount"] = json.RawMessage(want)
		data, err := json.Marshal(metadata)
		if err != nil {
			return defect("metadata of stream %q: %w", stream, err)
		}
		_, err = s.appendAt(ctx, "$$"+stream, after, []client.EventData{{
			EventID: uuid.New(), EventType: "$metadata", ContentType: client.ContentTypeJson, Data: data,
		}})
		if domain.KindOf(err) != domain.KindConflict || attempt == appendAttempts {
			return err
		}
	}
}

// lastRaw reads the newest event of a stream.
func (s *Store) lastRaw(ctx context.Context, stream string) (raw codec.Raw, ok bool, err error) {
	options := client.ReadStreamOptions{Direction: client.Backwards, From: client.End{}}
	event, err := call(ctx, s, "read_last", func(ctx context.Context, c *client.Client) (*client.ResolvedEvent, error) {
		read, err := c.ReadStream(ctx, stream, options, 1)
		if err != nil {
			return nil, err
		}
		defer read.Close()
		event, err := read.Recv()
		if endOfRead(err) || codeOf(err) == client.ErrorCodeResourceNotFound {
			return nil, nil
		}
		return event, err
	})
	if err != nil {
		return codec.Raw{}, false, failure("read last", err)
	}
	if event == nil || event.Event == nil {
		return codec.Raw{}, false, nil
	}
	return rawOf(event.Event), true, nil
}

// readAttempts bounds how often a read goes on after a failure without having got anything new.
const readAttempts = 3

// cursor says how to go on with a read: open asks for count events behind those that moved took.
type cursor struct {
	operation string
	open      func(ctx context.Context, c *client.Client, count uint64) (*client.ReadStream, error)
	moved     func(event *client.ResolvedEvent) (fresh bool) // false: seen before
	overlap   int                                            // events that every page but the first repeats
}

// paged reads page after page until one comes back short, and goes on behind the last event after a
// failure that may pass.
func (s *Store) paged(ctx context.Context, at cursor) iter.Seq2[*client.ResolvedEvent, error] {
	return func(yield func(*client.ResolvedEvent, error) bool) {
		pause := backoff{shortest: 10 * time.Millisecond, longest: 200 * time.Millisecond}
		count := s.options.Page + at.overlap
		for failures := 0; ; {
			got := 0
			var failed error
			for event, err := range s.page(ctx, at, uint64(count)) {
				if err != nil {
					failed = err
					break
				}
				got++
				if !at.moved(event) {
					continue
				}
				failures = 0
				if !yield(event, nil) {
					return
				}
			}
			switch {
			case failed == nil && got < count:
				return
			case failed == nil:
				continue
			}
			failures++
			if failures == readAttempts || !retryable(ctx, failed) || !pause.wait(ctx) {
				yield(nil, failure(at.operation, failed))
				return
			}
		}
	}
}

// page is one read call. Its goroutine hands over event by event, so that an answer of any size needs
// room for a few only, and ends with ctx, with the read, or when the caller stops early.
func (s *Store) page(ctx context.Context, at cursor, count uint64) iter.Seq2[*client.ResolvedEvent, error] {
	return func(yield func(*client.ResolvedEvent, error) bool) {
		begun := time.Now()
		err := s.streamed(ctx, at, count, yield)
		s.hooks.called(at.operation, time.Since(begun), err)
		if err != nil && !errors.Is(err, errStopped) {
			yield(nil, err)
		}
	}
}

// errStopped is a reader that has had enough.
var errStopped = errors.New("the reader stopped")

func (s *Store) streamed(ctx context.Context, at cursor, count uint64, yield func(*client.ResolvedEvent, error) bool) error {
	used, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer s.sessions.release(used)
	inner, cancel := s.within(ctx)
	defer cancel()
	events, ended := make(chan *client.ResolvedEvent, 32), make(chan error, 1)
	receiving := inside(inner, s, used, func(ctx context.Context, c *client.Client) (struct{}, error) {
		return struct{}{}, receive(ctx, c, at, count, events)
	})
	started := s.launch(func() {
		defer func() { <-s.slots }()
		ended <- recovered(func() error {
			_, err := receiving()
			return err
		})
	})
	if !started {
		<-s.slots
		return &notStarted{errClosed}
	}
	for {
		select {
		case event := <-events:
			if !yield(event, nil) {
				return errStopped
			}
		case err := <-ended:
			for len(events) > 0 {
				if !yield(<-events, nil) {
					return errStopped
				}
			}
			s.sessions.report(inner, used, err)
			return err
		case <-inner.Done():
			err := fmt.Errorf("%w: %w", errAbandoned, context.Cause(inner))
			s.hooks.abandoned(at.operation)
			s.sessions.report(inner, used, err)
			return err
		}
	}
}

// receive opens a read and passes its events on until its end; a missing stream is an empty one.
func receive(ctx context.Context, c *client.Client, at cursor, count uint64, events chan<- *client.ResolvedEvent) error {
	read, err := at.open(ctx, c, count)
	if err != nil {
		return err
	}
	defer read.Close()
	for {
		event, err := read.Recv()
		if endOfRead(err) || codeOf(err) == client.ErrorCodeResourceNotFound {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case events <- event:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// rawOf is a stored event in our words.
func rawOf(event *client.RecordedEvent) codec.Raw {
	revision := int64(math.MaxInt64)
	if event.EventNumber <= math.MaxInt64 {
		revision = int64(event.EventNumber)
	}
	return codec.Raw{
		Stream: event.StreamID, Revision: revision, Position: event.Position.Commit,
		ID: event.EventID.String(), Type: event.EventType, Stored: event.CreatedDate.UTC(),
		Data: event.Data, Metadata: event.UserMetadata,
	}
}
