package readmodels

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// attended is a document store that says which collection it is about to write.
type attended struct {
	*memory
	writes func(collection string)
}

func (a *attended) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	if a.writes != nil {
		a.writes(collection)
	}
	return a.memory.Write(ctx, collection, puts)
}

// A watch tells of an event once the generation that serves has it: neither when one that is built, or
// kept, gets it a moment before, nor of what a rebuild repeats, nor twice.
func TestWatchTellsWhatTheServingGenerationHas(t *testing.T) {
	s := newScript()
	store := &attended{memory: newMemory()}
	e := s.side(store)
	follow(t, e, true)
	receive := func() {
		deliver(t, e, []domain.Delivery{{Recorded: s.append("inventory-A", inventory.Received{Quantity: 1})}})
	}
	for range 3 {
		receive()
	}
	w := must(e.Reader().Watch(t.Context(), "stock_levels", "", ""))
	defer w.Close()
	silent, nobody := context.WithCancel(t.Context())
	nobody()
	for round, switched := range []bool{false, true} { // the new generation beside the serving one; the old one beside it
		done(t, e, must(e.Operations().Rebuild(t.Context(), "stock_levels", "olga", switched)))
		if changes, err := w.Next(silent); !errors.Is(err, context.Canceled) {
			t.Fatalf("a rebuild changes nothing: %+v, %v", changes, err)
		}
		record := must(e.registry.fresh(t.Context(), stockLevels))
		serving, others := generation{stockLevels, record.Live}.documents(), 0
		store.writes = func(collection string) {
			if collection != serving {
				others++
			} else if changes, err := w.Next(silent); !errors.Is(err, context.Canceled) {
				t.Errorf("round %d: told before it shows: %+v, %v", round, changes, err)
			}
		}
		receive()
		store.writes = nil
		if changes := next(t, w); len(changes) != 1 || changes[0].Revision != int64(3+round) {
			t.Errorf("round %d: %+v", round, changes)
		}
		if changes, err := w.Next(silent); !errors.Is(err, context.Canceled) {
			t.Errorf("round %d: told twice: %+v, %v", round, changes, err)
		}
		if others == 0 {
			t.Errorf("round %d: no other generation was written", round)
		}
	}
}

func TestWhatWasAheadIsToldWhenItServes(t *testing.T) {
	at := func(stream string, revision int64) placed { return placed{Mark{stream, revision}, 0} }
	var a ahead
	a.serves(1)
	a.note(2, "A", at("s-A", 7))
	a.note(2, "A", at("s-A", 8))
	a.note(2, "B", at("s-B", 1))
	a.note(3, "C", at("s-C", 1))
	a.caughtUp(Mark{"s-A", 7})
	if changes, missed := a.serves(1); len(changes) > 0 || missed {
		t.Errorf("the same generation brings %v", changes)
	}
	changes, missed := a.serves(2)
	if diff := cmp.Diff("[{2 A {{s-A 8} 0}} {2 B {{s-B 1} 0}}]", fmt.Sprint(changes)); diff != "" || missed {
		t.Error(diff)
	}
	if changes, _ := a.serves(3); len(changes) > 0 {
		t.Errorf("of before: %v", changes)
	}
	for n := range int64(aheadQueue + 1) {
		a.note(4, "A", at("s-A", n))
	}
	if _, missed := a.serves(4); !missed || len(a.noted) > 0 {
		t.Error("it says nothing of what it could not hold")
	}
}
