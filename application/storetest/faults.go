package storetest

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// Faults says what goes wrong, as shares of calls or deliveries between 0 and 1.
type Faults struct {
	Seed        uint64        // the same seed gives the same decisions in the same order of calls
	Unavailable float64       // the call fails and nothing is done
	Lost        float64       // appends: done, but the caller is told "unknown"
	Undone      float64       // appends: not done, and the caller is told "unknown"
	Broken      float64       // stream reads: break off after some of their events
	Hang        float64       // calls end with their context only; of appends half are done nevertheless
	Delay       time.Duration // calls take up to this much longer, before or after they do their work

	Repeat  float64 // deliveries: handed over once more, in a later batch
	Drop    float64 // deliveries: never handed over, as if the server had lost them
	Shuffle bool    // batches: handed over in another order
}

// Faulty is an event store and subscriptions in front of others that fail, dawdle and deliver as
// badly as told. It is safe for concurrent use.
type Faulty struct {
	store         application.EventStore
	subscriptions application.Subscriptions

	mu       sync.Mutex
	faults   Faults
	random   *rand.Rand
	injected int
}

var (
	_ application.EventStore    = (*Faulty)(nil)
	_ application.Subscriptions = (*Faulty)(nil)
)

// NewFaulty puts faults in front of a store and its subscriptions; either may be nil if it isn't used.
func NewFaulty(store application.EventStore, subscriptions application.Subscriptions, faults Faults) *Faulty {
	return &Faulty{store: store, subscriptions: subscriptions, faults: faults, random: rand.New(rand.NewPCG(faults.Seed, 2))}
}

// Heal ends all faults and delays.
func (f *Faulty) Heal() { f.Set(Faults{}) }

// Set changes what goes wrong; the seed is that of NewFaulty.
func (f *Faulty) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// Injected counts the calls and deliveries that were made to go wrong.
func (f *Faulty) Injected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.injected
}

var errInjected = errors.New("injected")

func notDone() error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "The event store can't be reached.", Err: errInjected}
}

func nobodyKnows() error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "The event store did not say whether the change was stored.", Err: errInjected}
}

// happens decides one fault.
func (f *Faulty) happens(share func(Faults) float64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.Float64() >= share(f.faults) {
		return false
	}
	f.injected++
	return true
}

func (f *Faulty) upTo(n int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.random.IntN(n)
}

// dawdle waits a while; false if ctx ended meanwhile.
func (f *Faulty) dawdle(ctx context.Context) bool {
	f.mu.Lock()
	var pause time.Duration
	if f.faults.Delay > 0 {
		pause = time.Duration(f.random.Int64N(int64(f.faults.Delay)))
	}
	f.mu.Unlock()
	if pause == 0 {
		return true
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (f *Faulty) enter(ctx context.Context) error {
	if !f.dawdle(ctx) || f.happens(func(f Faults) float64 { return f.Unavailable }) {
		return notDone()
	}
	return nil
}

// hangs waits for the end of ctx if the call is one that hangs, of a share.
func (f *Faulty) hangs(ctx context.Context, share float64) bool {
	if !f.happens(func(f Faults) float64 { return f.Hang * share }) {
		return false
	}
	<-ctx.Done()
	return true
}

// Append implements application.EventStore.
func (f *Faulty) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	if err := f.enter(ctx); err != nil {
		return domain.Appended{}, err
	}
	if f.happens(func(f Faults) float64 { return f.Undone }) || f.hangs(ctx, 0.5) {
		return domain.Appended{}, nobodyKnows()
	}
	appended, err := f.store.Append(ctx, stream, after, events)
	if err == nil && (f.hangs(ctx, 0.5) || !f.dawdle(ctx) || f.happens(func(f Faults) float64 { return f.Lost })) {
		return domain.Appended{}, nobodyKnows()
	}
	return appended, err
}

// ReadStream implements application.EventStore.
func (f *Faulty) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		if err := f.enter(ctx); err != nil {
			yield(domain.Recorded{}, err)
			return
		}
		if f.hangs(ctx, 1) {
			yield(domain.Recorded{}, notDone())
			return
		}
		left := -1
		if f.happens(func(f Faults) float64 { return f.Broken }) {
			left = f.upTo(5)
		}
		for recorded, err := range f.store.ReadStream(ctx, stream, from) {
			if left == 0 {
				yield(domain.Recorded{}, notDone())
				return
			}
			left--
			if !yield(recorded, err) {
				return
			}
		}
	}
}

// ReadLast implements application.EventStore.
func (f *Faulty) ReadLast(ctx context.Context, stream string) (domain.Recorded, bool, error) {
	if err := f.enter(ctx); err != nil {
		return domain.Recorded{}, false, err
	}
	if f.hangs(ctx, 1) {
		return domain.Recorded{}, false, notDone()
	}
	return f.store.ReadLast(ctx, stream)
}

// KeepNewest implements application.EventStore.
func (f *Faulty) KeepNewest(ctx context.Context, stream string, events int) error {
	if err := f.enter(ctx); err != nil {
		return err
	}
	return f.store.KeepNewest(ctx, stream, events)
}

// Consume implements application.Subscriptions.
func (f *Faulty) Consume(ctx context.Context, group domain.Group, batching application.Batching, handle application.Handler) error {
	var kept []domain.Delivery // to be handed over again
	return f.subscriptions.Consume(ctx, group, batching, func(ctx context.Context, batch []domain.Delivery) []error {
		if err := f.enter(ctx); err != nil {
			outcomes := make([]error, len(batch))
			for i := range outcomes {
				outcomes[i] = err
			}
			return outcomes
		}
		given, places := f.disturb(batch, &kept)
		outcomes := make([]error, len(batch))
		if len(given) == 0 {
			return outcomes
		}
		for i, err := range handle(ctx, given) {
			if i < len(places) && places[i] >= 0 {
				outcomes[places[i]] = err
			}
		}
		return outcomes
	})
}

// disturb drops, repeats and shuffles. places[i] is the index in batch of given[i], -1 for a repeat.
func (f *Faulty) disturb(batch []domain.Delivery, kept *[]domain.Delivery) (given []domain.Delivery, places []int) {
	for _, again := range *kept {
		given, places = append(given, again), append(places, -1)
	}
	*kept = (*kept)[:0]
	for i, delivery := range batch {
		if f.happens(func(f Faults) float64 { return f.Drop }) {
			continue
		}
		if f.happens(func(f Faults) float64 { return f.Repeat }) {
			*kept = append(*kept, delivery)
		}
		given, places = append(given, delivery), append(places, i)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.faults.Shuffle {
		f.random.Shuffle(len(given), func(i, j int) {
			given[i], given[j] = given[j], given[i]
			places[i], places[j] = places[j], places[i]
		})
	}
	return given, places
}

// Tail implements application.Subscriptions. Its promises are kept: only delays happen.
func (f *Faulty) Tail(ctx context.Context, from domain.From, prefixes []string, handle func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error) error {
	return f.subscriptions.Tail(ctx, from, prefixes, func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error {
		f.dawdle(ctx)
		return handle(ctx, batch, checkpoint, live)
	})
}
