package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

const (
	// ahead is how many events the writer may be ahead of the slowest subscriber, which then stays live
	// instead of reading history.
	ahead = 4000
	// look is how often the writer looks where the subscribers are.
	look = 100 * time.Microsecond
	// silence is how long a subscriber may get nothing that is there before the run fails.
	silence = 30 * time.Second
)

// fanOut measures live subscriptions while one writer appends. An operation is an append of a hundred
// events; the events per second are deliveries, of each event to each subscriber.
func (b *nodeBench) fanOut(ctx context.Context, node *esdb.Store) error {
	for _, consumers := range []int{1, 8, 32} {
		m, err := b.fanOutTo(ctx, node, consumers)
		if err != nil {
			return err
		}
		m.print(b.p.out)
	}
	return nil
}

func (b *nodeBench) fanOutTo(ctx context.Context, node *esdb.Store, consumers int) (measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	audience := audience{counts: make([]atomic.Int64, consumers), heard: make([]atomic.Bool, consumers)}
	prefix := livePrefix + uuid.NewString()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel(nil)
	for i := range consumers {
		group.Go(func() {
			cancel(node.TailRaw(ctx, domain.From{End: true}, []string{prefix}, func(raw codec.Raw, _ bool) error {
				audience.hear(i, raw.Type)
				return nil
			}))
		})
	}
	if err := audience.assemble(ctx, func() error {
		_, err := node.AppendRaw(ctx, prefix+"-first-"+uuid.NewString(), domain.NoStream, []codec.Raw{{ID: uuid.NewString(), Type: typeCall, Data: []byte(`{}`)}})
		return err
	}); err != nil {
		return measurement{}, err
	}
	began := time.Now()
	sent, revision := int64(0), domain.NoStream
	m, err := measure(ctx, fmt.Sprintf("NodeFanOut/consumers=%d", consumers), b.options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		done, err := node.AppendRaw(ctx, prefix+"-1", revision, benchEvents(fillBatch))
		if err != nil {
			return 0, err
		}
		revision = done.Revision
		sent += fillBatch
		return fillBatch * consumers, audience.reach(ctx, sent-ahead)
	})
	if err == nil {
		err = audience.reach(ctx, sent)
	}
	m.took = time.Since(began)
	return m, err
}

// typeCall is the type of the events by which subscribers are found to be live.
const typeCall = "Called"

// audience is where the subscribers are.
type audience struct {
	counts []atomic.Int64
	heard  []atomic.Bool
}

func (a *audience) hear(i int, eventType string) {
	if eventType == typeCall {
		a.heard[i].Store(true)
		return
	}
	a.counts[i].Add(1)
}

// assemble calls until every subscriber has heard it.
func (a *audience) assemble(ctx context.Context, call func() error) error {
	deadline := time.Now().Add(silence)
	for time.Now().Before(deadline) {
		if err := call(); err != nil {
			return err
		}
		if err := rest(ctx, 10*time.Millisecond); err != nil {
			return err
		}
		all := true
		for i := range a.heard {
			all = all && a.heard[i].Load()
		}
		if all {
			return nil
		}
	}
	return errors.New("not every subscription became live")
}

// reach waits until every subscriber has n events.
func (a *audience) reach(ctx context.Context, n int64) error {
	slowest := func() int64 {
		least := a.counts[0].Load()
		for i := range a.counts {
			least = min(least, a.counts[i].Load())
		}
		return least
	}
	at, since := slowest(), time.Now()
	for at < n {
		if err := rest(ctx, look); err != nil {
			return err
		}
		if now := slowest(); now > at {
			at, since = now, time.Now()
		} else if time.Since(since) > silence {
			return fmt.Errorf("a subscriber has %d of %d events", at, n)
		}
	}
	return nil
}

func rest(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// groups measures persistent subscriptions over the whole log, each group with a consumer that
// acknowledges every event. An operation is one group or ten, made anew, until each has had the whole
// log or the time is up.
func (b *nodeBench) groups(ctx context.Context, node *esdb.Store) error {
	for _, groups := range []int{1, 10} {
		began := time.Now()
		m, err := measure(ctx, fmt.Sprintf("NodePersistentAcked/groups=%d", groups), b.options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
			return b.acknowledged(ctx, node, groups, b.options.duration-time.Since(began))
		})
		if err != nil {
			return err
		}
		m.print(b.p.out)
	}
	return nil
}

// acknowledged lets groups take the log for at most so long and counts deliveries. The batch that was
// being handled at the end is counted, though its acknowledgement may be lost.
func (b *nodeBench) acknowledged(ctx context.Context, node *esdb.Store, groups int, atMost time.Duration) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := time.AfterFunc(atMost, func() { cancel(errAtEnd) })
	defer ended.Stop()
	var total atomic.Int64
	var taking sync.WaitGroup
	for range groups {
		taking.Go(func() {
			n, err := b.take(ctx, node)
			total.Add(int64(n))
			if err != nil {
				cancel(err)
			}
		})
	}
	taking.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, errAtEnd) {
		return 0, err
	}
	return int(total.Load()), nil
}

// take makes a group, consumes until it has had the whole log or ctx ends, and removes it.
func (b *nodeBench) take(ctx context.Context, node *esdb.Store) (n int, err error) {
	group := domain.Group{Name: "bench-" + uuid.NewString(), Prefixes: []string{fillPrefix}}
	if err := node.Create(ctx, group, domain.From{}); err != nil {
		return 0, ignoreEnd(ctx, err)
	}
	consuming, enough := context.WithCancel(ctx)
	defer enough()
	err = node.Consume(consuming, group, application.Batching{Size: 256}, func(_ context.Context, batch []domain.Delivery) []error {
		if n += len(batch); n >= b.options.events {
			enough()
		}
		return make([]error, len(batch))
	})
	if consuming.Err() != nil {
		err = nil
	}
	removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return n, errors.Join(err, node.Delete(removing, group.Name))
}

// ignoreEnd drops the failure of a call that the end of the time cut.
func ignoreEnd(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errAtEnd) {
		return nil
	}
	return err
}
