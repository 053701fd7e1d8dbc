package esdb

import (
	"context"
	"iter"
	"strings"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// ReadStreamRaw yields the events of stream with revision >= from as they are stored, in order. A
// stream that does not exist yields nothing. Failures are those of ReadStream and end the sequence.
func (s *Store) ReadStreamRaw(ctx context.Context, stream string, from int64) iter.Seq2[codec.Raw, error] {
	next := max(from, 0)
	return raws(s.paged(ctx, cursor{
		operation: "read_stream",
		open: func(ctx context.Context, c *client.Client, count uint64) (*client.ReadStream, error) {
			return c.ReadStream(ctx, stream, client.ReadStreamOptions{From: client.Revision(uint64(next))}, count)
		},
		moved: func(event *client.ResolvedEvent) bool {
			next = int64(event.OriginalEvent().EventNumber) + 1
			return true
		},
	}))
}

// ReadAllRaw yields the events of the whole log behind from, as they are stored, in order: those of
// streams with one of the prefixes, or without prefixes those of all but system streams. It ends at
// the end of the log as it is then. From.End yields nothing.
func (s *Store) ReadAllRaw(ctx context.Context, from domain.From, prefixes []string) iter.Seq2[codec.Raw, error] {
	if from.End {
		return func(func(codec.Raw, error) bool) {}
	}
	last := from.Position
	all := raws(s.paged(ctx, cursor{
		operation: "read_all",
		overlap:   1, // a position is where the event begins, so a page repeats the event at it
		open: func(ctx context.Context, c *client.Client, count uint64) (*client.ReadStream, error) {
			options := client.ReadAllOptions{From: client.Start{}}
			if last > 0 {
				options.From = client.Position{Commit: last, Prepare: last}
			}
			return c.ReadAll(ctx, options, count)
		},
		moved: func(event *client.ResolvedEvent) bool {
			position := event.OriginalEvent().Position.Commit
			if position <= last {
				return false
			}
			last = position
			return true
		},
	}))
	return func(yield func(codec.Raw, error) bool) {
		for raw, err := range all {
			if err == nil && !wanted(raw.Stream, prefixes) {
				continue
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// AppendRaw appends events as they are to stream, expecting it to end at revision after (NoStream:
// not to exist); their Stream, Revision and Position are ignored. Repeating an append that succeeded
// succeeds again. Failures are those of Append. Hashes are not made anew: they stay true if stream and
// revisions are the ones that the events were read from.
func (s *Store) AppendRaw(ctx context.Context, stream string, after int64, events []codec.Raw) (domain.Appended, error) {
	data := make([]client.EventData, len(events))
	for i, event := range events {
		id, err := uuid.Parse(event.ID)
		if err != nil || id == uuid.Nil {
			return domain.Appended{}, domain.Invalid(domain.Field{Pointer: "/id", Code: "not_a_uuid", Detail: "An event id must be a UUID."})
		}
		data[i] = client.EventData{EventID: id, EventType: event.Type, ContentType: client.ContentTypeJson, Data: event.Data, Metadata: event.Metadata}
	}
	return s.appendAt(ctx, stream, after, data)
}

// TailRaw calls handle for each event behind from as it is stored, first history, then what comes, in
// order, without gaps or repeats, resubscribing for ever. It returns when ctx ends or handle fails.
func (s *Store) TailRaw(ctx context.Context, from domain.From, prefixes []string, handle func(raw codec.Raw, live bool) error) error {
	return s.tail(ctx, from, prefixes, func(_ context.Context, batch []*client.RecordedEvent, _ uint64, live bool) error {
		for _, event := range batch {
			if err := handle(rawOf(event), live); err != nil {
				return err
			}
		}
		return nil
	})
}

func raws(events iter.Seq2[*client.ResolvedEvent, error]) iter.Seq2[codec.Raw, error] {
	return func(yield func(codec.Raw, error) bool) {
		for event, err := range events {
			var raw codec.Raw
			if err == nil {
				raw = rawOf(event.OriginalEvent())
			}
			if !yield(raw, err) {
				return
			}
		}
	}
}

// wanted says whether a stream has one of the prefixes; without prefixes all but system streams do.
func wanted(stream string, prefixes []string) bool {
	if len(prefixes) == 0 {
		return !strings.HasPrefix(stream, "$")
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(stream, prefix) {
			return true
		}
	}
	return false
}
