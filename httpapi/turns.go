package httpapi

import (
	"context"
	"sync"
)

// turns is a gate whose slots callers keep for as long as they like: a wait for a tidemark that never rises takes
// one for its whole half minute, questions about the past wait for each other, and an import lasts as long as its
// sender goes on. So that no one keeps the others out, whoever has a share of the slots gets no more of them once
// half are taken.
type turns struct {
	*gate
	share int

	mu   sync.Mutex
	held map[string]int // slots and places in the queue, by caller
}

// fewTurns is the part of all slots that one caller may have when many are taken.
const fewTurns = 8

func newTurns(g *gate) *turns {
	return &turns{gate: g, share: max(1, cap(g.slots)/fewTurns), held: map[string]int{}}
}

// enterAs is enter for a caller; an empty one is nobody in particular, and not held to a share.
func (t *turns) enterAs(ctx context.Context, caller string) (leave func(), err error) {
	if caller == "" {
		return t.enter(ctx)
	}
	if !t.take(caller) {
		t.hooks.Shed(t.class, "rate")
		return nil, fail("rate_limited", "The caller has %d such requests under way, and others want their turn.", t.share)
	}
	end, err := t.enter(ctx)
	if err != nil {
		t.giveBack(caller)
		return nil, err
	}
	return func() {
		end()
		t.giveBack(caller)
	}, nil
}

func (t *turns) take(caller string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[caller] >= t.share && len(t.slots) >= cap(t.slots)/2 {
		return false
	}
	t.held[caller]++
	return true
}

func (t *turns) giveBack(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held[caller]--; t.held[caller] == 0 {
		delete(t.held, caller)
	}
}
