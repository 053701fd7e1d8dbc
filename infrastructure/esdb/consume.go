package esdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// Consume implements application.Subscriptions. A group that exists keeps its own filter and settings.
func (s *Store) Consume(ctx context.Context, group domain.Group, batching application.Batching, handle application.Handler) error {
	if batching.Size <= 0 {
		batching.Size = 100
	}
	if batching.Wait <= 0 {
		batching.Wait = 5 * time.Millisecond
	}
	c := &consumer{store: s, group: group, batching: batching, handle: handle, log: s.log.With("group", group.Name),
		pace: backoff{shortest: 20 * time.Millisecond, longest: s.options.Backoff}}
	pause := backoff{shortest: 50 * time.Millisecond, longest: s.options.Backoff}
	var broke nagging
	for {
		err := c.subscribe(ctx, pause.reset)
		made := false
		if ctx.Err() == nil && codeOf(err) == client.ErrorCodeResourceNotFound {
			made, err = c.create(ctx)
		}
		switch {
		case ctx.Err() != nil: // what broke off did so because of that
			return ctx.Err()
		case s.life.Err() != nil:
			return unavailable(errClosed)
		case made:
			continue
		}
		broke.warn(c.log, "a subscription broke off and starts again", "error", err)
		s.hooks.resubscribed(group.Name, err)
		if !pause.wait(ctx) {
			return ctx.Err()
		}
	}
}

type consumer struct {
	store    *Store
	group    domain.Group
	batching application.Batching
	handle   application.Handler
	log      *slog.Logger
	pace     backoff // between batches of which nothing succeeded
	was      bool    // the group was there before
	lost     bool    // and somebody took it away
	again    nagging // about events that are delivered again
}

// create makes the missing group. If it was there before, somebody is probably resetting it: a pause
// gives them the chance to make it anew where they want it.
func (c *consumer) create(ctx context.Context) (made bool, err error) {
	if c.was {
		c.was, c.lost = false, true
		return false, errors.New("the group has gone")
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	if err := c.store.Create(ctx, c.group, domain.From{}); err != nil {
		return false, err // group_exists too: another replica was quicker
	}
	level := slog.LevelDebug // at a first start every group is missing, which is nothing to tell of
	if c.lost {
		level = slog.LevelInfo
	}
	c.log.Log(ctx, level, "made a group that follows the log from its start", "prefixes", c.group.Prefixes)
	return true, nil
}

type appearance = client.PersistentSubscriptionEvent

// subscribe connects and works until the subscription breaks.
func (c *consumer) subscribe(ctx context.Context, confirmed func()) error {
	s := c.store
	used, err := s.sessions.acquire(ctx)
	if err != nil {
		return err
	}
	defer s.sessions.release(used)
	inner, cancel := s.within(ctx)
	defer cancel()
	subscription, err := subscribe(inner, s, used, func(ctx context.Context, vendor *client.Client) (*client.PersistentSubscription, error) {
		return vendor.SubscribeToPersistentSubscriptionToAll(ctx, c.group.Name,
			client.SubscribeToPersistentSubscriptionOptions{BufferSize: uint32(2 * c.batching.Size)})
	})
	if err != nil {
		s.sessions.report(inner, used, err)
		return err
	}
	defer func() { _ = subscription.Close() }()
	confirmed()
	c.was = true
	s.hooks.subscribed(c.group.Name)

	arrivals := make(chan *appearance, 2*c.batching.Size)
	broken := make(chan error, 1)
	pumped := s.launch(func() {
		broken <- pump(inner, subscription.Recv, func(a *appearance) *client.SubscriptionDropped { return a.SubscriptionDropped }, arrivals)
	})
	if !pumped {
		return errClosed
	}
	for {
		select {
		case first := <-arrivals:
			batch := c.gather(inner, first, arrivals)
			// A panic in the client's Send is as fatal to the subscription as an error of it.
			if err := recovered(func() error { return c.work(inner, subscription, batch) }); err != nil {
				s.sessions.report(inner, used, err)
				return err
			}
		case err := <-broken: // what has arrived but is unanswered comes again
			if grpcCode(err) != codes.Canceled { // canceled is the server's way to say that the group changed
				s.sessions.report(inner, used, err)
			}
			return err
		case <-inner.Done():
			return context.Cause(inner)
		}
	}
}

// gather fills a batch until it is full or has waited long enough.
func (c *consumer) gather(ctx context.Context, first *appearance, more <-chan *appearance) []*client.EventAppeared {
	batch := []*client.EventAppeared{first.EventAppeared}
	timer := time.NewTimer(c.batching.Wait)
	defer timer.Stop()
	for len(batch) < c.batching.Size {
		select {
		case next := <-more:
			batch = append(batch, next.EventAppeared)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

// work hands a batch to the handler and answers the server for each of its events.
func (c *consumer) work(ctx context.Context, subscription *client.PersistentSubscription, arrived []*client.EventAppeared) error {
	var answers answers
	var events []*client.EventAppeared
	var batch []domain.Delivery
	for _, event := range arrived {
		delivery, ok, err := c.delivery(ctx, event)
		switch {
		case err != nil:
			answers.add(event.Event, err)
		case !ok:
			answers.add(event.Event, nil)
		default:
			events, batch = append(events, event), append(batch, delivery)
		}
	}
	c.store.hooks.delivered(c.group.Name, len(batch))
	if len(batch) > 0 {
		for i, err := range c.handled(ctx, batch) {
			answers.add(events[i].Event, err)
		}
	}
	return c.answer(ctx, subscription, &answers)
}

// delivery is an arrived event in our words; ok is false for a link whose target is gone, of which
// there is nothing left to handle. A replayed event comes with the position of the server's note that
// it was parked, so it is read again from its own stream.
func (c *consumer) delivery(ctx context.Context, arrived *client.EventAppeared) (delivery domain.Delivery, ok bool, err error) {
	event := arrived.Event.Event
	if event == nil {
		c.log.Warn("a link leads to an event that is gone", "event_id", arrived.Event.OriginalEvent().EventID)
		return domain.Delivery{}, false, nil
	}
	raw := rawOf(event)
	if arrived.Event.Link != nil {
		ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
		defer cancel()
		for again, err := range c.store.ReadStreamRaw(ctx, raw.Stream, raw.Revision) {
			if err != nil {
				return domain.Delivery{}, false, err
			}
			if again.Revision == raw.Revision {
				raw = again
			}
			break
		}
	}
	delivery.Recorded, delivery.Err = codec.Decode(raw)
	delivery.Retry = arrived.RetryCount
	return delivery, true, nil
}

// handled calls the handler, bounded to end before the server loses patience. After a panic each event
// gets a call of its own, so that only the one that causes it goes without.
func (c *consumer) handled(ctx context.Context, batch []domain.Delivery) []error {
	inner, cancel := context.WithTimeout(ctx, c.store.options.Timeout*2/3)
	defer cancel()
	var outcomes []error
	err := recovered(func() error {
		outcomes = c.handle(inner, batch)
		if len(outcomes) != len(batch) {
			return fmt.Errorf("%d outcomes for %d deliveries", len(outcomes), len(batch))
		}
		return nil
	})
	if err == nil {
		return outcomes
	}
	if len(batch) > 1 {
		outcomes = make([]error, 0, len(batch))
		for i := range batch {
			outcomes = append(outcomes, c.handled(ctx, batch[i:i+1])...)
		}
		return outcomes
	}
	first := batch[0]
	attrs := []any{"stream", first.Stream, "revision", first.Revision, "event_id", first.ID, "error", err}
	if panicked, ok := errors.AsType[*panicError](err); ok {
		c.store.hooks.panicked()
		attrs = append(attrs, "stack", string(panicked.stack))
	}
	c.log.Error("the handler of an event failed without an outcome; it is delivered again", attrs...)
	return []error{unavailable(err)}
}

// answers are the outcomes of a batch, sorted by what the server is told.
type answers struct {
	ack   []*client.ResolvedEvent
	retry []*client.ResolvedEvent
	park  []*client.ResolvedEvent
	why   []string // for each of park
	cause error    // first reason for a retry
}

func (a *answers) add(event *client.ResolvedEvent, err error) {
	switch {
	case err == nil:
		a.ack = append(a.ack, event)
	case transient(err):
		a.retry = append(a.retry, event)
		if a.cause == nil {
			a.cause = err
		}
	default:
		a.park = append(a.park, event)
		a.why = append(a.why, reason(err))
	}
}

// transient says that the same delivery may succeed later.
func transient(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict, domain.KindStale:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// reason is what a parked event says to operators.
func reason(err error) string {
	text := err.Error()
	if len(text) > 500 {
		text = text[:500]
	}
	return strings.ToValidUTF8(text, "?")
}

// answer tells the server. Events to be delivered again are held back first, the longer the less works,
// because the server would send them at once.
func (c *consumer) answer(ctx context.Context, subscription *client.PersistentSubscription, a *answers) error {
	hooks := c.store.hooks
	if err := subscription.Ack(a.ack...); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	hooks.outcome(c.group.Name, "ack", len(a.ack))
	for i, event := range a.park {
		c.log.Error("an event is parked", "stream", event.Event.StreamID, "revision", event.Event.EventNumber,
			"event_id", event.Event.EventID, "reason", a.why[i])
		if err := subscription.Nack(a.why[i], client.NackActionPark, event); err != nil {
			return fmt.Errorf("park: %w", err)
		}
	}
	hooks.outcome(c.group.Name, "park", len(a.park))
	if len(a.ack)+len(a.park) > 0 {
		c.pace.reset()
	}
	if len(a.retry) == 0 {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx) // stopping: whoever subscribes next gets them
	}
	c.again.warn(c.log, "events are delivered again", "events", len(a.retry), "error", a.cause)
	if !c.pace.wait(ctx) {
		return context.Cause(ctx)
	}
	if err := subscription.Nack("retry", client.NackActionRetry, a.retry...); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	hooks.outcome(c.group.Name, "retry", len(a.retry))
	return nil
}
