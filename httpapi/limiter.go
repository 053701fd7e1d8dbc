package httpapi

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxCallers bounds how many callers are told apart; beyond it those idle longest are forgotten.
const maxCallers = 20_000

// limiter gives each caller a bucket of its own. It remembers callers in two generations: those of now,
// and those of before, who move over when they come again. That forgets the idle without ever looking
// through all of them, so a flood of made-up callers costs nothing either.
type limiter struct {
	limit rate.Limit
	burst int
	now   func() time.Time
	turn  time.Duration // how long a generation lasts: an idle bucket is full again by then

	mu      sync.Mutex
	current map[string]*rate.Limiter
	before  map[string]*rate.Limiter
	turned  time.Time
}

// newLimiter makes a limiter; nil, which lets everything pass, for a negative limit.
func newLimiter(perSecond float64, burst int, now func() time.Time) *limiter {
	if perSecond < 0 {
		return nil
	}
	full := time.Duration(float64(burst) / perSecond * float64(time.Second))
	return &limiter{limit: rate.Limit(perSecond), burst: burst, now: now, turn: max(full, time.Minute), current: map[string]*rate.Limiter{}}
}

// take takes one request from the caller's bucket; retryAfter is in whole seconds when it is empty.
func (l *limiter) take(key string) (retryAfter int, ok bool) {
	if l == nil {
		return 0, true
	}
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket := l.bucket(key, now)
	if bucket.AllowN(now, 1) {
		return 0, true
	}
	return max(1, int(math.Ceil((1-bucket.TokensAt(now))/float64(l.limit)))), false
}

func (l *limiter) bucket(key string, now time.Time) *rate.Limiter {
	if now.Sub(l.turned) >= l.turn || len(l.current) >= maxCallers/2 {
		l.before, l.current, l.turned = l.current, map[string]*rate.Limiter{}, now
	}
	bucket := l.current[key]
	if bucket == nil {
		if bucket = l.before[key]; bucket == nil {
			bucket = rate.NewLimiter(l.limit, l.burst)
		}
		l.current[key] = bucket
	}
	return bucket
}
