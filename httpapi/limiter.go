package httpapi

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxCallers bounds how many callers are told apart; beyond it those idle longest are forgotten.
const maxCallers = 20_000

// limiter gives each caller a bucket of its own.
type limiter struct {
	limit rate.Limit
	burst int
	now   func() time.Time

	mu      sync.Mutex
	callers map[string]*caller
	swept   time.Time
}

type caller struct {
	bucket *rate.Limiter
	seen   time.Time
}

// newLimiter makes a limiter; nil, which lets everything pass, for a negative limit.
func newLimiter(perSecond float64, burst int, now func() time.Time) *limiter {
	if perSecond < 0 {
		return nil
	}
	return &limiter{limit: rate.Limit(perSecond), burst: burst, now: now, callers: map[string]*caller{}}
}

// take takes one request from the caller's bucket; retryAfter is in whole seconds when it is empty.
func (l *limiter) take(key string) (retryAfter int, ok bool) {
	if l == nil {
		return 0, true
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sweep(now)
	c := l.callers[key]
	if c == nil {
		c = &caller{bucket: rate.NewLimiter(l.limit, l.burst)}
		l.callers[key] = c
	}
	c.seen = now
	if c.bucket.AllowN(now, 1) {
		return 0, true
	}
	return max(1, int(math.Ceil((1-c.bucket.TokensAt(now))/float64(l.limit)))), false
}

// sweep forgets callers whose buckets are full again, once a minute, or when there are too many.
func (l *limiter) sweep(now time.Time) {
	if now.Sub(l.swept) < time.Minute && len(l.callers) < maxCallers {
		return
	}
	l.swept = now
	full := time.Duration(float64(l.burst) / float64(l.limit) * float64(time.Second))
	for key, c := range l.callers {
		if now.Sub(c.seen) >= full {
			delete(l.callers, key)
		}
	}
	for key := range l.callers { // a flood of made-up callers: any of them will do
		if len(l.callers) < maxCallers {
			break
		}
		delete(l.callers, key)
	}
}
