package httpapi

import (
	"log/slog"
	"sync"
	"time"
)

// refusedLines is how many requests refused before work get a line of their own in the log each second.
const refusedLines = 10

// refusals bounds what the log spends on requests refused before any work: under overload there are tens of
// thousands a second, and their lines would take the time that is left for the others. What has no line
// of its own is counted in one a second; metrics count all.
type refusals struct {
	log *slog.Logger

	mu     sync.Mutex
	second time.Time
	told   int
	silent int
}

// tell says whether a refusal gets its own line.
func (r *refusals) tell(now time.Time) bool {
	second := now.Truncate(time.Second)
	r.mu.Lock()
	var silent int
	if !second.Equal(r.second) {
		silent = r.silent
		r.second, r.told, r.silent = second, 0, 0
	}
	own := r.told < refusedLines
	if own {
		r.told++
	} else {
		r.silent++
	}
	r.mu.Unlock()
	if silent > 0 {
		r.log.Warn("requests were refused before work, without a line of their own", "requests", silent)
	}
	return own
}

// beforeWork says whether a code stands for a refusal that cost nothing.
func beforeWork(code string) bool { return code == "overloaded" || code == "rate_limited" }
