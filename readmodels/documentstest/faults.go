package documentstest

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Faults says what goes wrong, as shares of calls between 0 and 1.
type Faults struct {
	Seed        uint64        // the same seed gives the same decisions in the same order of calls
	Unavailable float64       // the call fails and nothing is done
	Lost        float64       // writes: done, but the caller is told "unknown"
	Partial     float64       // writes: some of the puts are done, and the caller is told "unknown"
	Hang        float64       // the call ends with its context only; of writes half are done nevertheless
	Delay       time.Duration // calls take up to this much longer, before or after they do their work
}

// Faulty is a document store in front of another that fails and dawdles as told. It is safe for
// concurrent use.
type Faulty struct {
	inner readmodels.Documents

	mu       sync.Mutex
	faults   Faults
	random   *rand.Rand
	injected int
}

var (
	_ readmodels.Documents = (*Faulty)(nil)
	_ readmodels.Watcher   = (*Faulty)(nil)
)

// NewFaulty puts faults in front of inner.
func NewFaulty(inner readmodels.Documents, faults Faults) *Faulty {
	return &Faulty{inner: inner, faults: faults, random: rand.New(rand.NewPCG(faults.Seed, 1))}
}

// Heal ends all faults and delays.
func (f *Faulty) Heal() { f.Set(Faults{}) }

// Set changes what goes wrong; the seed is that of NewFaulty.
func (f *Faulty) Set(faults Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = faults
}

// Injected counts the calls that were made to fail.
func (f *Faulty) Injected() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.injected
}

// fate is what becomes of one call.
type fate struct {
	unavailable, lost, partial bool
	hangs                      bool
	before, after              time.Duration
	keep                       func() bool // of a partial write: whether a put is done
}

func (f *Faulty) decide(write bool) fate {
	f.mu.Lock()
	defer f.mu.Unlock()
	var decided fate
	if f.faults.Delay > 0 {
		delay := time.Duration(f.random.Int64N(int64(f.faults.Delay)))
		if f.random.IntN(2) == 0 {
			decided.before = delay
		} else {
			decided.after = delay
		}
	}
	if f.faults.Hang > 0 && f.random.Float64() < f.faults.Hang {
		decided.hangs, decided.lost = true, write && f.random.IntN(2) == 0
		f.injected++
		return decided
	}
	roll := f.random.Float64()
	switch {
	case roll < f.faults.Unavailable:
		decided.unavailable = true
	case write && roll < f.faults.Unavailable+f.faults.Lost:
		decided.lost = true
	case write && roll < f.faults.Unavailable+f.faults.Lost+f.faults.Partial:
		decided.partial = true
		coins := rand.New(rand.NewPCG(f.random.Uint64(), 2))
		decided.keep = func() bool { return coins.IntN(2) == 0 }
	default:
		return decided
	}
	f.injected++
	return decided
}

var errInjected = errors.New("injected fault")

func injectedUnavailable(cause error) error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The read store can't be reached.", Err: cause}
}

func injectedUnknown() error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "The read store did not answer.", Err: errInjected}
}

// call runs one call with its fate.
func (f *Faulty) call(ctx context.Context, run func() error) error {
	decided := f.decide(false)
	if err := pause(ctx, decided.before); err != nil {
		return err
	}
	if decided.hangs {
		<-ctx.Done()
		return injectedUnavailable(ctx.Err())
	}
	if decided.unavailable {
		return injectedUnavailable(errInjected)
	}
	if err := run(); err != nil {
		return err
	}
	return pause(ctx, decided.after)
}

func pause(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return injectedUnavailable(ctx.Err())
	}
}

// Write implements readmodels.Documents.
func (f *Faulty) Write(ctx context.Context, collection string, puts []readmodels.Put) ([]bool, error) {
	decided := f.decide(true)
	if err := pause(ctx, decided.before); err != nil {
		return nil, err
	}
	switch {
	case decided.hangs && !decided.lost:
		<-ctx.Done()
		return nil, injectedUnavailable(ctx.Err())
	case decided.unavailable:
		return nil, injectedUnavailable(errInjected)
	case decided.partial:
		var some []readmodels.Put
		for _, p := range puts {
			if decided.keep() {
				some = append(some, p)
			}
		}
		puts = some
	}
	applied, err := f.inner.Write(ctx, collection, puts)
	if err != nil {
		return nil, err
	}
	if decided.hangs {
		<-ctx.Done()
	}
	if decided.lost || decided.partial || pause(ctx, decided.after) != nil {
		return nil, injectedUnknown()
	}
	return applied, nil
}

// Ensure implements readmodels.Documents.
func (f *Faulty) Ensure(ctx context.Context, collection readmodels.Collection) error {
	return f.call(ctx, func() error { return f.inner.Ensure(ctx, collection) })
}

// Drop implements readmodels.Documents.
func (f *Faulty) Drop(ctx context.Context, collection string) error {
	return f.call(ctx, func() error { return f.inner.Drop(ctx, collection) })
}

// Collections implements readmodels.Documents.
func (f *Faulty) Collections(ctx context.Context) (names []string, err error) {
	err = f.call(ctx, func() (err error) { names, err = f.inner.Collections(ctx); return err })
	return names, err
}

// Load implements readmodels.Documents.
func (f *Faulty) Load(ctx context.Context, collection string, ids []string) (documents []readmodels.Document, err error) {
	err = f.call(ctx, func() (err error) { documents, err = f.inner.Load(ctx, collection, ids); return err })
	return documents, err
}

// Delete implements readmodels.Documents.
func (f *Faulty) Delete(ctx context.Context, collection string, ids []string) error {
	return f.call(ctx, func() error { return f.inner.Delete(ctx, collection, ids) })
}

// Find implements readmodels.Documents.
func (f *Faulty) Find(ctx context.Context, collection string, find readmodels.Find) (documents []readmodels.Document, err error) {
	err = f.call(ctx, func() (err error) { documents, err = f.inner.Find(ctx, collection, find); return err })
	return documents, err
}

// Group implements readmodels.Documents.
func (f *Faulty) Group(ctx context.Context, collection string, grouping readmodels.Grouping) (totals []readmodels.Total, err error) {
	err = f.call(ctx, func() (err error) { totals, err = f.inner.Group(ctx, collection, grouping); return err })
	return totals, err
}

// Ping implements readmodels.Documents.
func (f *Faulty) Ping(ctx context.Context) error {
	return f.call(ctx, func() error { return f.inner.Ping(ctx) })
}

// Watch implements readmodels.Watcher with that of the inner store; without one it is unsupported.
func (f *Faulty) Watch(ctx context.Context, collection string, changed func(ids []string)) error {
	watcher, ok := f.inner.(readmodels.Watcher)
	if !ok {
		return errors.ErrUnsupported
	}
	return watcher.Watch(ctx, collection, changed)
}
