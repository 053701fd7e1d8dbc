package application

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// scripted is an event store that fails where a test wants it to. It exists for what no real store does
// on demand: a lost answer, or a twin that writes between two given calls. What a store is in earnest is
// tested with the embedded node, beside the program that wires it.
type scripted struct {
	mu      sync.Mutex
	streams map[string][]domain.Recorded
	kept    map[string]int
	calls   []call

	before func(call) error // runs before a call; an error is the call's and nothing is done
	after  func(call) error // runs after an append was done; an error is its answer
}

type call struct {
	number int // from 0
	name   string
	stream string
}

func newScripted() *scripted {
	return &scripted{streams: map[string][]domain.Recorded{}, kept: map[string]int{}}
}

func (s *scripted) begin(name, stream string) (call, error) {
	s.mu.Lock()
	c := call{number: len(s.calls), name: name, stream: stream}
	s.calls = append(s.calls, c)
	before := s.before
	s.mu.Unlock()
	if before != nil {
		return c, before(c)
	}
	return c, nil
}

func (s *scripted) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	if err := ctx.Err(); err != nil {
		return domain.Appended{}, unavailable()
	}
	c, err := s.begin("append", stream)
	if err != nil {
		return domain.Appended{}, err
	}
	appended, err := s.write(stream, after, events)
	if err == nil && s.after != nil {
		err = s.after(c)
	}
	return appended, err
}

func (s *scripted) write(stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.streams[stream]
	made := make([]domain.Recorded, len(events))
	prev := after.Hash
	for i, p := range events {
		r := recorded(p, stream, after.Revision+1+int64(i))
		r.Position = uint64(len(s.streams)*1000 + len(have) + i)
		r.Meta.SchemaVersion, r.Meta.PrevHash = 2, prev
		r.Meta.Hash = hashOf(r)
		prev = r.Meta.Hash
		made[i] = r
	}
	last := made[len(made)-1]
	appended := domain.Appended{Revision: last.Revision, Position: last.Position, Hash: last.Meta.Hash}
	current := int64(len(have)) - 1
	if current == after.Revision {
		if current >= 0 && have[current].Meta.Hash != after.Hash {
			panic(fmt.Sprintf("append to %s behind revision %d with a foreign hash", stream, current))
		}
		s.streams[stream] = append(have[:len(have):len(have)], made...)
		return appended, nil
	}
	for _, r := range made {
		if r.Revision > current || have[r.Revision].ID != r.ID {
			return domain.Appended{}, &domain.Error{Kind: domain.KindConflict, Code: "wrong_revision", Revision: &current}
		}
	}
	return appended, nil // a repeat, by its ids
}

func hashOf(r domain.Recorded) string {
	data, err := json.Marshal([]any{r.Meta, r.Event, r.ID, r.Stream, r.Revision})
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func (s *scripted) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		if ctx.Err() != nil {
			yield(domain.Recorded{}, unavailable())
			return
		}
		if _, err := s.begin("read", stream); err != nil {
			yield(domain.Recorded{}, err)
			return
		}
		for _, r := range s.events(stream) {
			if r.Revision >= from && !yield(r, nil) {
				return
			}
		}
	}
}

func (s *scripted) ReadLast(_ context.Context, stream string) (domain.Recorded, bool, error) {
	if _, err := s.begin("last", stream); err != nil {
		return domain.Recorded{}, false, err
	}
	events := s.events(stream)
	if len(events) == 0 {
		return domain.Recorded{}, false, nil
	}
	return events[len(events)-1], true, nil
}

func (s *scripted) KeepNewest(_ context.Context, stream string, events int) error {
	if _, err := s.begin("keep", stream); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept[stream] = events
	return nil
}

// events are those of a stream, as far as they are kept.
func (s *scripted) events(stream string) []domain.Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	events := s.streams[stream]
	if n, bounded := s.kept[stream]; bounded {
		events = events[max(0, len(events)-n):]
	}
	return events
}

// count is how many calls there were.
func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// total is how many events there are, in all streams but those of claims and snapshots.
func (s *scripted) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for stream, events := range s.streams {
		if c := domain.Category(stream); c != "idempotency" && c != "snapshot" {
			n += len(events)
		}
	}
	return n
}

func unavailable() error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "The event store can't be reached."}
}

func unknown() error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "The answer was lost."}
}

// ticking is a clock that goes on by a second with each look.
type ticking struct {
	mu  sync.Mutex
	now time.Time
}

func newTicking() *ticking {
	return &ticking{now: time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)}
}

func (c *ticking) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

// quick are options whose pauses a test does not notice. The store may take long: its silence is for bubbles,
// where a minute takes no time; elsewhere a busy machine must not look like it.
func quick() Options {
	return Options{
		Clock: newTicking(), StoreWait: time.Minute, Backoff: time.Microsecond,
	}
}

// silentStore takes reads and never answers them.
type silentStore struct{ *scripted }

func (silentStore) ReadStream(ctx context.Context, _ string, _ int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		<-ctx.Done()
		yield(domain.Recorded{}, unavailable())
	}
}
