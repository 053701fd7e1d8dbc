package storetest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// tail is a running Tail and what it has given.
type tail struct {
	mu         sync.Mutex
	given      []domain.Delivery
	checkpoint uint64
	live       bool
	backwards  bool // a checkpoint or position went back
	stop       context.CancelFunc
	done       chan error
}

func (w *world) tail(from domain.From, prefixes ...string) *tail {
	w.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	t := &tail{stop: stop, done: make(chan error, 1)}
	go func() {
		t.done <- w.Subscriptions.Tail(ctx, from, prefixes, func(_ context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error {
			t.mu.Lock()
			defer t.mu.Unlock()
			last := t.checkpoint
			for _, delivery := range batch {
				t.backwards = t.backwards || delivery.Position <= last
				last = delivery.Position
			}
			t.backwards = t.backwards || checkpoint < last
			t.given = append(t.given, batch...)
			t.checkpoint, t.live = checkpoint, live
			return nil
		})
	}()
	w.Cleanup(func() { w.end(stop, t.done) })
	return t
}

// end stops a subscription and waits for it.
func (w *world) end(stop context.CancelFunc, done chan error) {
	stop()
	select {
	case err := <-done:
		done <- err
	case <-time.After(patience):
		w.Error("a subscription goes on after its context has ended")
	}
}

func (t *tail) operations() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	names := make([]string, len(t.given))
	for i, delivery := range t.given {
		names[i] = operation(delivery.Recorded)
	}
	return names
}

func (t *tail) deliveries() []domain.Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.given)
}

func (t *tail) isLive() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.live
}

func (t *tail) at() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.checkpoint
}

func tailHistory(w *world) {
	one, two := w.stream(), w.stream()
	a := w.write(one, nothing, events(3, 0))
	w.write("other"+two, nothing, events(2, 100))
	w.write(two, nothing, events(2, 3))
	t := w.tail(domain.From{}, w.prefix(), "never-")
	w.eventually("history was read", t.isLive)
	if diff := cmp.Diff(numbers(0, 5), t.operations()); diff != "" {
		w.Errorf("history:\n%s", diff)
	}
	w.write(one, tip(a), events(2, 5))
	w.eventually("what came was delivered", func() bool { return len(t.operations()) >= 7 })
	if diff := cmp.Diff(numbers(0, 7), t.operations()); diff != "" || t.backwards {
		w.Errorf("in order: %v\n%s", !t.backwards, diff)
	}
	for _, delivery := range t.given {
		if delivery.Err != nil || delivery.Type != "KeyClaimed" || delivery.Meta.Actor != "ann" {
			w.Errorf("delivery %+v", delivery)
		}
	}
}

func tailResumes(w *world) {
	stream, after := w.stream(), nothing
	var seen []string
	from := domain.From{}
	for round := range 3 {
		after = tip(w.write(stream, after, events(40, round*40)))
		w.write("other"+stream, domain.Tip{Revision: int64(round*70 - 1)}, events(70, 0))
		t := w.tail(from, w.prefix())
		w.eventually("history was read", t.isLive)
		w.end(t.stop, t.done)
		seen = append(seen, t.operations()...)
		from.Position = t.at()
	}
	if diff := cmp.Diff(numbers(0, 120), seen); diff != "" {
		w.Error(diff)
	}
}

func tailFromEnd(w *world) {
	stream := w.stream()
	after := w.write(stream, nothing, events(3, 0))
	t := w.tail(domain.From{End: true}, w.prefix())
	w.eventually("it is live", t.isLive)
	w.write(stream, tip(after), events(2, 3))
	w.eventually("what came was delivered", func() bool { return len(t.operations()) >= 2 })
	if diff := cmp.Diff(numbers(3, 2), t.operations()); diff != "" {
		w.Error(diff)
	}
}

func tailHandlerError(w *world) {
	w.write(w.stream(), nothing, events(3, 0))
	enough := errors.New("enough")
	err := w.Subscriptions.Tail(w.ctx, domain.From{}, []string{w.prefix()}, func(_ context.Context, batch []domain.Delivery, _ uint64, _ bool) error {
		if len(batch) > 0 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		w.Errorf("tail ended with %v", err)
	}
}

// consumption is a running Consume and what it was given.
type consumption struct {
	mu    sync.Mutex
	given []domain.Delivery
	stop  context.CancelFunc
	done  chan error
}

func (w *world) group() domain.Group {
	return domain.Group{Name: "g-" + w.category, Prefixes: []string{w.prefix()}}
}

// consume runs a consumer that answers with outcome, given a delivery and how often it came before.
func (w *world) consume(group domain.Group, outcome func(domain.Delivery, int) error) *consumption {
	w.Helper()
	ctx, stop := context.WithCancel(w.ctx)
	c := &consumption{stop: stop, done: make(chan error, 1)}
	go func() {
		c.done <- w.Subscriptions.Consume(ctx, group, application.Batching{Size: 20}, func(_ context.Context, batch []domain.Delivery) []error {
			outcomes := make([]error, len(batch))
			for i, delivery := range batch {
				before := c.add(delivery)
				if outcome != nil {
					outcomes[i] = outcome(delivery, before)
				}
			}
			return outcomes
		})
	}()
	w.Cleanup(func() { w.end(stop, c.done) })
	return c
}

// add notes a delivery and says how often its event came before.
func (c *consumption) add(delivery domain.Delivery) (before int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, earlier := range c.given {
		if earlier.ID == delivery.ID {
			before++
		}
	}
	c.given = append(c.given, delivery)
	return before
}

func (c *consumption) deliveries() []domain.Delivery {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.given)
}

// times says how often each event came, by operation.
func (c *consumption) times() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := make(map[string]int)
	for _, delivery := range c.given {
		times[operation(delivery.Recorded)]++
	}
	return times
}

func (c *consumption) seen() []string {
	return slices.SortedFunc(maps.Keys(c.times()), func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
}

func consumeAll(w *world) {
	var streams []string
	for i := range 5 {
		stream := w.stream()
		streams = append(streams, stream)
		w.write(stream, nothing, events(20, i*20))
		w.write("other"+stream, nothing, events(1, 1000))
	}
	c := w.consume(w.group(), nil)
	w.eventually("history was delivered", func() bool { return len(c.times()) >= 100 })
	w.write(streams[0], domain.Tip{Revision: 19, Hash: "x"}, events(3, 100))
	w.eventually("what came was delivered", func() bool { return len(c.times()) >= 103 })
	if diff := cmp.Diff(numbers(0, 103), c.seen()); diff != "" {
		w.Error(diff)
	}
	position := make(map[string]uint64)
	for _, stream := range streams {
		for _, r := range w.read(stream, 0) {
			position[r.ID] = r.Position
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, delivery := range c.given {
		if delivery.Err != nil || delivery.Position != position[delivery.ID] {
			w.Errorf("delivery %+v, in its stream at %d", delivery, position[delivery.ID])
		}
	}
}

func consumersShare(w *world) {
	one, two := w.consume(w.group(), nil), w.consume(w.group(), nil)
	w.eventually("both are connected", func() bool {
		info, err := w.Groups.Info(w.ctx, w.group().Name)
		return err == nil && info.Consumers == 2
	})
	const streams = 200
	for i := range streams {
		w.write(w.stream(), nothing, events(1, i))
	}
	w.eventually("all was delivered", func() bool { return len(one.times())+len(two.times()) >= streams })
	if a, b := len(one.times()), len(two.times()); a == 0 || b == 0 {
		w.Errorf("one consumer got %d events, the other %d", a, b)
	}
}
