package esdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

const (
	tailBatch      = 256              // events handed over at once
	tailWindow     = 256              // events between two checkpoints where none matches
	confirmTimeout = 10 * time.Second // for the server's first answer to a subscription
)

// Tail implements application.Subscriptions. After an outage live is false again until the history
// missed meanwhile has been read. handle is also called without events when checkpoint or live move.
func (s *Store) Tail(ctx context.Context, from domain.From, prefixes []string, handle func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error) error {
	return s.tail(ctx, from, prefixes, func(ctx context.Context, events []*client.RecordedEvent, checkpoint uint64, live bool) error {
		batch := make([]domain.Delivery, len(events))
		for i, event := range events {
			batch[i].Recorded, batch[i].Err = codec.Decode(rawOf(event))
		}
		return handle(ctx, batch, checkpoint, live)
	})
}

type tailHandler func(ctx context.Context, events []*client.RecordedEvent, checkpoint uint64, live bool) error

// handlerError is the end of a tail that its handler wants.
type handlerError struct{ cause error }

func (e *handlerError) Error() string { return e.cause.Error() }
func (e *handlerError) Unwrap() error { return e.cause }

func (s *Store) tail(ctx context.Context, from domain.From, prefixes []string, handle tailHandler) error {
	t := &follower{store: s, prefixes: prefixes, handle: handle, position: from.Position}
	located := !from.End
	pause := backoff{shortest: 50 * time.Millisecond, longest: s.options.Backoff}
	var broke nagging
	for {
		var err error
		if !located {
			// The end is looked up once, so that nothing is missed if the first subscription breaks.
			t.position, err = s.endOfLog(ctx)
			located = err == nil
		}
		if located {
			err = t.follow(ctx, pause.reset)
		}
		if stop, ok := errors.AsType[*handlerError](err); ok {
			return stop.cause
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if s.life.Err() != nil {
			return unavailable(errClosed)
		}
		broke.warn(s.log, "the tail of the log broke off and starts again", "position", t.position, "error", err)
		s.hooks.resubscribed("tail", err)
		if !pause.wait(ctx) {
			return ctx.Err()
		}
	}
}

// endOfLog is the position of the newest event of the whole log, 0 for an empty one.
func (s *Store) endOfLog(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	position, err := call(ctx, s, "read_end", func(ctx context.Context, c *client.Client) (uint64, error) {
		read, err := c.ReadAll(ctx, client.ReadAllOptions{Direction: client.Backwards, From: client.End{}}, 1)
		if err != nil {
			return 0, err
		}
		defer read.Close()
		event, err := read.Recv()
		if endOfRead(err) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		return event.OriginalEvent().Position.Commit, nil
	})
	return position, failure("read end", err)
}

// follower is one tail: what it has handed over survives the subscriptions it is made of.
type follower struct {
	store    *Store
	prefixes []string
	handle   tailHandler
	position uint64 // nothing undelivered at or before it
	live     bool
}

// follow subscribes behind position and hands over until the subscription breaks.
func (t *follower) follow(ctx context.Context, confirmed func()) error {
	s := t.store
	used, err := s.sessions.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.sessions.release(used)
	inner, cancel := s.within(ctx)
	defer cancel()
	t.live = false
	subscription, err := subscribe(inner, s, used, func(ctx context.Context, c *client.Client) (*client.Subscription, error) {
		return c.SubscribeToAll(ctx, t.options())
	})
	if err != nil {
		s.sessions.report(inner, used, err)
		return err
	}
	defer func() { _ = subscription.Close() }()
	confirmed()

	signals := make(chan *client.SubscriptionEvent, tailBatch)
	broken := make(chan error, 1)
	if !s.launch(func() { broken <- pump(inner, subscription.Recv, dropOf, signals) }) {
		return errClosed
	}
	for {
		select {
		case signal := <-signals:
			if err := t.take(ctx, signal, signals); err != nil {
				return &handlerError{err}
			}
		case err := <-broken:
			for len(signals) > 0 {
				if err := t.take(ctx, <-signals, signals); err != nil {
					return &handlerError{err}
				}
			}
			s.sessions.report(inner, used, err)
			return err
		case <-inner.Done():
			return context.Cause(inner)
		}
	}
}

func (t *follower) options() client.SubscribeToAllOptions {
	options := client.SubscribeToAllOptions{From: client.Start{}}
	if t.position > 0 {
		options.From = client.Position{Commit: t.position, Prepare: t.position}
	}
	if len(t.prefixes) > 0 {
		options.Filter = &client.SubscriptionFilter{Type: client.StreamFilterType, Prefixes: t.prefixes}
		options.MaxSearchWindow = tailWindow
		options.CheckpointInterval = 1
	}
	return options
}

// take hands over first and whatever else is there already, in one batch, but never waits for more.
func (t *follower) take(ctx context.Context, first *client.SubscriptionEvent, more <-chan *client.SubscriptionEvent) error {
	var batch []*client.RecordedEvent
	position, live := t.position, t.live
	for signal := first; signal != nil; {
		switch {
		case signal.EventAppeared != nil:
			event := signal.EventAppeared.OriginalEvent()
			if event == nil || event.Position.Commit <= position {
				break // a repeat
			}
			position = event.Position.Commit
			if wanted(event.StreamID, t.prefixes) {
				batch = append(batch, event)
			}
		case signal.CheckPointReached != nil:
			position = max(position, signal.CheckPointReached.Commit)
		case signal.CaughtUp != nil:
			live = true
		case signal.FellBehind != nil:
			live = false
		}
		signal = nil
		if len(batch) < tailBatch {
			select {
			case signal = <-more:
			default:
			}
		}
	}
	if len(batch) == 0 && position == t.position && live == t.live {
		return nil
	}
	if err := t.handle(ctx, batch, position, live); err != nil {
		return err
	}
	t.position, t.live = position, live
	return nil
}

// subscribe opens a subscription with the context that it will live in, and waits a bounded time for
// the server's confirmation. Whoever calls it cancels ctx, whatever comes out.
func subscribe[T any](ctx context.Context, s *Store, used *session, open func(context.Context, *client.Client) (T, error)) (T, error) {
	confirmation, cancel := context.WithTimeoutCause(ctx, confirmTimeout, fmt.Errorf("%w: %w", errNoAnswer, context.DeadlineExceeded))
	defer cancel()
	return detach(confirmation, s, func() {}, inside(ctx, s, used, open))
}

// pump passes on what a subscription receives until it drops, and says why it did.
func pump[T any](ctx context.Context, receive func() T, dropOf func(T) *client.SubscriptionDropped, out chan<- T) error {
	return recovered(func() error {
		for {
			signal := receive()
			if dropped := dropOf(signal); dropped != nil {
				return dropped.Error
			}
			select {
			case out <- signal:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

func dropOf(event *client.SubscriptionEvent) *client.SubscriptionDropped {
	return event.SubscriptionDropped
}
