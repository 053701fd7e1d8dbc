package esdb

import (
	"context"
	"fmt"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// appendLimit is what EventStoreDB takes in one append by default, in bytes.
const appendLimit = 1 << 20

// appendAttempts bounds how often one Append asks. Asking again is safe: the expected revision is
// exact, so a batch that was written after all is recognised by its ids and answered with success.
const appendAttempts = 3

// Append implements application.EventStore.
func (s *Store) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	canonical := make([]domain.Proposed, len(events))
	data := make([]client.EventData, len(events))
	for i, event := range events {
		id, err := uuid.Parse(event.ID)
		if err != nil || id == uuid.Nil {
			return domain.Appended{}, defect("event id %q is no UUID", event.ID)
		}
		canonical[i], data[i].EventID = event, id
		canonical[i].ID = id.String() // as it will be read back: the hash covers it
	}
	encoded, hash, err := codec.Encode(stream, after, canonical)
	if err != nil {
		return domain.Appended{}, err
	}
	size := 0
	for i, e := range encoded {
		data[i].EventType, data[i].ContentType, data[i].Data, data[i].Metadata = e.Type, client.ContentTypeJson, e.Data, e.Metadata
		size += e.Size()
	}
	if size > appendLimit {
		return domain.Appended{}, &domain.Error{Kind: domain.KindInvalid, Code: "invalid_request",
			Message: fmt.Sprintf("The change is too large to be stored: %d bytes of at most %d.", size, appendLimit)}
	}
	appended, err := s.appendAt(ctx, stream, after.Revision, data)
	appended.Hash = hash
	if err != nil {
		return domain.Appended{}, err
	}
	return appended, nil
}

// appendAt appends at exactly this revision and ends done, certainly not done, or unknown.
func (s *Store) appendAt(ctx context.Context, stream string, after int64, events []client.EventData) (domain.Appended, error) {
	if stream == "" || len(events) == 0 || after < domain.NoStream {
		return domain.Appended{}, defect("append of %d events to stream %q after %d", len(events), stream, after)
	}
	inDoubt := false
	pause := backoff{shortest: 10 * time.Millisecond, longest: 200 * time.Millisecond}
	for attempt := 1; ; attempt++ {
		result, err := call(ctx, s, "append", func(ctx context.Context, c *client.Client) (*client.WriteResult, error) {
			return c.AppendToStream(ctx, stream, client.AppendToStreamOptions{ExpectedRevision: expectation(after)}, events...)
		})
		if err == nil {
			return s.appended(stream, after+int64(len(events)), result)
		}
		switch judge(err) {
		case conflict:
			return domain.Appended{}, s.conflict(ctx, stream, err)
		case refused:
			return domain.Appended{}, failure("append", err)
		case doubtful:
			inDoubt = true
		}
		if attempt == appendAttempts || s.life.Err() != nil || !retryable(ctx, err) || !pause.wait(ctx) {
			if inDoubt {
				s.log.Warn("nobody knows whether an append was stored", "stream", stream, "revision", after+1,
					"event_id", events[0].EventID, "error", err)
				return domain.Appended{}, unknown(fmt.Errorf("append: %w", err))
			}
			return domain.Appended{}, unavailable(fmt.Errorf("append: %w", err))
		}
	}
}

func expectation(after int64) client.ExpectedRevision {
	if after == domain.NoStream {
		return client.NoStream{}
	}
	return client.Revision(uint64(after))
}

// appended checks that the server's success is the one that was asked for. Anything else would mean
// that the log is not what the caller read.
func (s *Store) appended(stream string, want int64, result *client.WriteResult) (domain.Appended, error) {
	if result.NextExpectedVersion != uint64(want) {
		s.log.Error("the event store answered an append with another revision", "stream", stream,
			"revision", result.NextExpectedVersion, "expected", want)
		return domain.Appended{}, unknown(fmt.Errorf("append to %s answered with revision %d instead of %d", stream, result.NextExpectedVersion, want))
	}
	return domain.Appended{Revision: want, Position: result.CommitPosition}, nil
}

// conflict finds out where the stream is. If even that fails, what is certain is that nothing was done.
func (s *Store) conflict(ctx context.Context, stream string, cause error) error {
	raw, ok, err := s.lastRaw(ctx, stream)
	if err != nil {
		return unavailable(fmt.Errorf("append: %w, then its revision: %w", cause, err))
	}
	revision := domain.NoStream
	if ok {
		revision = raw.Revision
	}
	return &domain.Error{Kind: domain.KindConflict, Code: "revision_conflict",
		Message: "Somebody else changed it first.", Revision: &revision, Err: cause}
}

func defect(format string, args ...any) *domain.Error {
	return &domain.Error{Kind: domain.KindInternal, Code: "internal", Message: "The request can't be put to the event store.",
		Err: fmt.Errorf(format, args...)}
}
