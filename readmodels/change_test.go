package readmodels

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// next gives what a watch tells within a moment.
func next(t interface {
	Fatalf(string, ...any)
	Context() context.Context
}, w *Watch) []Change {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	changes, err := w.Next(ctx)
	if err != nil {
		t.Fatalf("no change: %v", err)
	}
	return changes
}

func TestWatchTellsWhatChanges(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	follow(t, e, true)
	w := must(e.Reader().Watch(t.Context(), "stock_levels", "", ""))
	defer w.Close()
	one := must(e.Reader().Watch(t.Context(), "stock_levels", "B", ""))
	defer one.Close()
	for _, sku := range []string{"A", "B"} {
		r := s.append("inventory-"+sku, inventory.Received{Quantity: 1})
		deliver(t, e, []domain.Delivery{{Recorded: r}})
	}
	var heard []string
	for len(heard) < 2 {
		for _, c := range next(t, w) {
			heard = append(heard, fmt.Sprintf("%s %s@%d", c.Document, c.Stream, c.Revision))
		}
	}
	if diff := cmp.Diff([]string{"A inventory-A@0", "B inventory-B@0"}, heard); diff != "" {
		t.Error(diff)
	}
	if changes := next(t, one); len(changes) != 1 || changes[0].Document != "B" {
		t.Errorf("%+v", changes)
	}
	item, found, err := screenOf(t, "listStock").Item(t.Context(), e.Reader(), Ask{}, Change{Document: "B", Stream: "inventory-B", Revision: 0})
	if err != nil || !found || item.(Stock).SKU != "B" {
		t.Errorf("%+v %t %v", item, found, err)
	}
	if _, found, err = screenOf(t, "listStock").Item(t.Context(), e.Reader(), Ask{Params: map[string]string{"lowStock": "false"}}, Change{Document: "B"}); err != nil || found {
		t.Errorf("an item that the filter leaves out: %t %v", found, err)
	}
	item, found, err = screenOf(t, "listStockMovements").Item(t.Context(), e.Reader(), Ask{Params: map[string]string{"sku": "A"}}, Change{Document: "A", Stream: "inventory-A"})
	if err != nil || !found || item.(Movement).Type != "received" {
		t.Errorf("%+v %t %v", item, found, err)
	}
}

// What an answer showed that was read after the watch began is not told again: neither what the watch
// had heard before it, nor what it hears late, nor to one who resumes at the answer.
func TestWatchLeavesOutWhatWasShown(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	follow(t, e, true)
	w := must(e.Reader().Watch(t.Context(), "stock_levels", "", ""))
	defer w.Close()
	receive := func(sku string) domain.Recorded { return s.append("inventory-"+sku, inventory.Received{Quantity: 1}) }
	early, late, unseen := receive("A"), receive("A"), receive("B")
	deliver(t, e, []domain.Delivery{{Recorded: early}})
	resume := w.Shown(Tidemark{{Stream: "inventory-A", Revision: 1}})
	deliver(t, e, []domain.Delivery{{Recorded: late}, {Recorded: unseen}})
	later := receive("A")
	deliver(t, e, []domain.Delivery{{Recorded: later}})
	want := []string{"inventory-B@0", "inventory-A@2"}
	resumed := must(e.Reader().Watch(t.Context(), "stock_levels", "", resume))
	defer resumed.Close()
	for name, watch := range map[string]*Watch{"the watch": w, "who resumes": resumed} {
		var heard []string
		for len(heard) < len(want) {
			for _, c := range next(t, watch) {
				heard = append(heard, fmt.Sprintf("%s@%d", c.Stream, c.Revision))
			}
		}
		if diff := cmp.Diff(want, heard); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestSlowWatcherIsToldToReset(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	w := must(e.Reader().Watch(t.Context(), "stock_levels", "", ""))
	defer w.Close()
	for i := range watchQueue + 1 {
		s.append(fmt.Sprintf("inventory-S%d", i), inventory.Received{Quantity: 1})
	}
	deliver(t, e, s.deliveries())
	if _, err := w.Next(t.Context()); !errors.Is(err, ErrReset) {
		t.Fatalf("a slow watcher hears %v", err)
	}
	r := s.append("inventory-S0", inventory.Received{Quantity: 1})
	deliver(t, e, []domain.Delivery{{Recorded: r}})
	if changes := next(t, w); len(changes) != 1 || changes[0].Revision != 1 {
		t.Errorf("%+v", changes)
	}
}

func TestForeignResumePointResets(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	for _, token := range []string{"nonsense", resumeToken("order_details", 7, nil)} {
		w := must(e.Reader().Watch(t.Context(), "stock_levels", "", token))
		if _, err := w.Next(t.Context()); !errors.Is(err, ErrReset) {
			t.Errorf("%s: %v", token, err)
		}
		w.Close()
	}
}

// A watcher that goes away and comes back, to a restarted process too, hears of each event once.
func TestResumeLosesAndRepeatsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, store := newScript(), newMemory()
		e, stop := startFollowing(t, s, store)
		defer func() { stop() }()
		w := must(e.Reader().Watch(t.Context(), "audit_log", "", ""))
		resume, total, heard := w.Start(), 0, map[string]int{}
		take := func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
			defer cancel()
			changes, err := w.Next(ctx)
			if errors.Is(err, ErrReset) {
				t.Fatalf("reset")
			}
			for _, c := range changes {
				heard[fmt.Sprintf("%s@%d", c.Stream, c.Revision)]++
				if c.Resume != "" {
					resume = c.Resume
				}
			}
		}
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				r := s.append(fmt.Sprintf("inventory-S%d", rapid.IntRange(0, 2).Draw(t, "sku")), inventory.Received{Quantity: 1})
				total++
				if rapid.Bool().Draw(t, "delivered") {
					deliver(t, e, []domain.Delivery{{Recorded: r}})
				}
			case 2:
				take()
			case 3:
				w.Close()
				w = must(e.Reader().Watch(t.Context(), "audit_log", "", resume))
			case 4:
				w.Close()
				stop()
				e, stop = startFollowing(t, s, store)
				w = must(e.Reader().Watch(t.Context(), "audit_log", "", resume))
			}
		}
		deliver(t, e, s.deliveries())
		for deadline := time.Now().Add(patience); len(heard) < total && time.Now().Before(deadline); {
			take()
		}
		w.Close()
		if len(heard) != total {
			t.Fatalf("heard of %d of %d events", len(heard), total)
		}
		for event, times := range heard {
			if times != 1 {
				t.Fatalf("heard %d times of %s", times, event)
			}
		}
	})
}

func startFollowing(t *rapid.T, s *script, store Documents) (*Engine, func()) {
	e := s.side(store, func(o *Options) { o.Models = []*Model{auditLog} })
	ctx, cancel := context.WithCancel(t.Context())
	e.Start(ctx)
	ended, caughtUp := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Follow(ctx, true, func() { close(caughtUp) })
	}()
	<-caughtUp
	return e, func() {
		cancel()
		<-ended
		e.Stop()
	}
}
