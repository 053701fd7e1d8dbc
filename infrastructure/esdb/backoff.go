package esdb

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff doubles its pauses from shortest to longest, each shortened by up to a half at random so
// that many clients of a restarted server don't come back at once.
type backoff struct {
	shortest, longest time.Duration
	failures          int
}

func (b *backoff) reset() { b.failures = 0 }

func (b *backoff) next() time.Duration {
	pause := b.longest
	if b.failures < 20 {
		pause = min(b.longest, b.shortest<<b.failures)
	}
	b.failures++
	return pause/2 + rand.N(pause/2+1)
}

// wait pauses; false if ctx ended.
func (b *backoff) wait(ctx context.Context) bool {
	timer := time.NewTimer(b.next())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
