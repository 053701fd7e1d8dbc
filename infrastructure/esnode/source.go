package esnode

import (
	"context"
	"errors"
	"math"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// source reads one stream, or the whole log through a filter, forwards and for ever: from the log
// while behind, from the feed near the head. It never loses or repeats an event.
type source struct {
	node    *Node
	stream  string // "" is the whole log
	filter  *filter
	resolve bool

	next     int64 // the next revision of the stream, or the next position of the log
	live     bool
	position int64 // when live: everything up to here was looked at
	changed  <-chan struct{}
}

// found is what one read found. Of the whole log, examined and count tell how far it looked, with the
// events that the filter left out; end says that there is nothing behind it now.
type found struct {
	events   []eventlog.Resolved
	examined int64
	count    int
	end      bool
	history  bool // read from the log, not from the feed
}

// from starts at a revision or position, which is included. It fails on a tombstoned stream.
func (s *source) from(ctx context.Context, at int64) error {
	s.next = at
	if s.stream == "" {
		return nil
	}
	_, err := s.node.lastOf(ctx, s.stream)
	return err
}

// fromEnd starts behind everything that there is now. It fails on a tombstoned stream.
func (s *source) fromEnd(ctx context.Context) error {
	head := s.node.store.Head()
	s.next = head + 1
	if s.stream == "" {
		return nil
	}
	last, err := s.node.lastOf(ctx, s.stream)
	s.next = last + 1
	if last < 0 {
		// The stream does not exist or is deleted: whatever is written to it from now on is news.
		s.live, s.position, s.changed = true, head, s.node.feed.more()
	}
	return err
}

// lastOf is the last revision of a stream, -1 if it does not exist or is deleted.
func (n *Node) lastOf(ctx context.Context, stream string) (int64, error) {
	state, err := n.store.StreamState(ctx, stream)
	switch {
	case err != nil:
		return -1, err
	case state.Tombstoned:
		return -1, &eventlog.StreamDeleted{Stream: stream}
	case !state.Exists():
		return -1, nil
	}
	return state.Last, nil
}

// read returns the next events: at most limit, after looking at no more than window. When found.end,
// wait tells of more.
func (s *source) read(ctx context.Context, limit, window int) (found, error) {
	if err := ctx.Err(); err != nil {
		return found{}, err
	}
	if s.live {
		got, ok, err := s.readFeed(ctx, limit, window)
		if ok || err != nil {
			return got, err
		}
		s.live = false
	}
	if s.stream == "" {
		return s.readAll(ctx, limit, window)
	}
	return s.readStream(ctx, limit)
}

// wait is closed when there may be more to read.
func (s *source) wait() <-chan struct{} { return s.changed }

func (s *source) readAll(ctx context.Context, limit, window int) (found, error) {
	// Whatever is in the log before the read is found by it: the feed is needed from there on.
	head, changed := s.node.store.Head(), s.node.feed.more()
	page, err := s.node.store.ReadAll(ctx, eventlog.AllQuery{From: s.next, Window: window, Limit: limit, ResolveLinks: s.resolve, Filter: s.filter})
	if err != nil {
		return found{}, err
	}
	if err := s.filter.err(); err != nil {
		return found{}, err
	}
	if page.Count > 0 {
		s.next = page.Examined + 1
	}
	examined := s.next - 1
	if page.End {
		examined = max(examined, head)
		s.live, s.position, s.changed, s.next = true, examined, changed, examined+1
	}
	return found{events: page.Events, examined: examined, count: page.Count, end: page.End, history: true}, nil
}

func (s *source) readStream(ctx context.Context, limit int) (found, error) {
	head, changed := s.node.store.Head(), s.node.feed.more()
	page, err := s.node.store.ReadStream(ctx, eventlog.StreamQuery{Stream: s.stream, From: s.next, Limit: limit, ResolveLinks: s.resolve})
	if errors.Is(err, eventlog.ErrNotFound) {
		page, err = eventlog.StreamPage{End: true, Next: s.next}, nil
	}
	if err != nil {
		return found{}, err
	}
	if len(page.Events) > 0 {
		s.next = page.Events[len(page.Events)-1].Original().Revision + 1
	}
	if !page.End {
		s.next = max(s.next, page.Next)
	} else {
		s.live, s.position, s.changed = true, head, changed
	}
	return found{events: page.Events, examined: head, end: page.End, history: true}, nil
}

// readFeed is not ok when the feed has moved on past the source.
func (s *source) readFeed(ctx context.Context, limit, window int) (found, bool, error) {
	events, head, changed, ok := s.node.feed.after(s.position)
	if !ok {
		return found{}, false, nil
	}
	s.changed = changed
	before := *s
	got := found{examined: s.position}
	until := s.node.now().Add(feedTime)
	for _, e := range events {
		if len(got.events) >= limit || got.count >= window || s.filter != nil && got.count > 0 && s.node.now().After(until) {
			return got, true, s.filter.err()
		}
		got.examined, s.position = e.Position, e.Position
		if s.stream == "" {
			s.next = e.Position + 1
			if eventlog.Hidden(e.Stream) {
				continue // not even counted
			}
		}
		got.count++
		if !s.wants(e) {
			continue
		}
		r, err := s.resolved(ctx, e)
		if err != nil {
			*s = before // nothing is handed over, so the next read begins where this one did
			return found{}, true, err
		}
		got.events = append(got.events, r)
		if s.stream != "" {
			s.next = nextRevision(e.Revision)
		}
	}
	s.position = max(s.position, head)
	if s.stream == "" {
		s.next = s.position + 1
	}
	got.examined, got.end = s.position, true
	return got, true, s.filter.err()
}

func nextRevision(r int64) int64 {
	if r == math.MaxInt64 {
		return r
	}
	return r + 1
}

func (s *source) wants(e *eventlog.Event) bool {
	if s.stream == "" {
		return s.filter.Match(e.Stream, e.Type)
	}
	return e.Stream == s.stream && e.Revision >= s.next
}

// resolved looks up a link's target as the log does for readers.
func (s *source) resolved(ctx context.Context, e *eventlog.Event) (eventlog.Resolved, error) {
	if !s.resolve || e.Type != eventlog.TypeLink {
		return eventlog.Resolved{Event: e}, nil
	}
	return s.node.store.Resolve(ctx, e)
}
