package httpapi

import "sync"

// budget bounds, in bytes, the bodies of requests that are held at once: those that are arriving, those that
// wait at a gate and those that are worked on. The gates count requests, which a hundred times a MiB gets past,
// and count them only once they are read.
//
// A body is charged as its buffer grows with what arrives, not for what its sender announces: else whoever
// announces a MiB and sends nothing would hold a MiB for as long as a body may take. An announced length
// is only used to refuse at once, unread, what would not fit now.
//
// Besides, so that no one keeps the others out, however slowly they send:
//   - all large bodies together leave a quarter of the budget to small ones, which hardly any request exceeds;
//   - the bodies of one caller may have a quarter of the budget.
//
// Large answers that are being sent are charged, too, so that they need not keep the slot of the work behind them
// for as long as their readers take. Where there is no room for one it keeps its slot.
//
// Nothing waits for bytes: what waited would have to be fair in sizes too, and its sender could as well
// wait at home.
type budget struct {
	total int64

	mu      sync.Mutex
	held    int64            // by all
	large   int64            // of that by bodies above smallBody
	callers map[string]int64 // of that by each caller, where there is any
}

const (
	smallBody = 64 << 10 // bytes; an order of 200 lines has about half of it
	firstRead = 4 << 10  // bytes that are made room for at first, whatever is announced

	largeAtOnce = 4 // bodies above smallBody that are checked at once
)

func newBudget(total int64) *budget {
	return &budget{total: total, callers: map[string]int64{}}
}

// share is what one request holds of a budget. It belongs to one goroutine at a time.
type share struct {
	budget *budget
	caller string // whose part it counts to; empty: nobody's
	bytes  int64
}

// fits says whether the share could now be as large as bytes.
func (s *share) fits(bytes int64) bool {
	s.budget.mu.Lock()
	defer s.budget.mu.Unlock()
	return s.mayHold(bytes)
}

// hold makes the share larger, to bytes in all, unless that would be too much.
func (s *share) hold(bytes int64) bool {
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !s.mayHold(bytes) {
		return false
	}
	if bytes == s.bytes {
		return true
	}
	b.large += ofLarge(bytes) - ofLarge(s.bytes)
	b.held += bytes - s.bytes
	if s.caller != "" {
		b.callers[s.caller] += bytes - s.bytes
	}
	s.bytes = bytes
	return true
}

func (s *share) mayHold(bytes int64) bool {
	b, more := s.budget, bytes-s.bytes
	if s.caller != "" && b.callers[s.caller]+more > b.total/4 {
		return false
	}
	if large := ofLarge(bytes); large > 0 && b.large+large-ofLarge(s.bytes) > b.total-b.total/4 {
		return false
	}
	return b.held+more <= b.total
}

// ofLarge is what a body counts among the large ones.
func ofLarge(bytes int64) int64 {
	if bytes > smallBody {
		return bytes
	}
	return 0
}

// giveBack ends the share.
func (s *share) giveBack() {
	if s.bytes == 0 {
		return
	}
	b := s.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= s.bytes
	b.large -= ofLarge(s.bytes)
	if s.caller != "" {
		if b.callers[s.caller] -= s.bytes; b.callers[s.caller] == 0 {
			delete(b.callers, s.caller)
		}
	}
	s.bytes = 0
}
