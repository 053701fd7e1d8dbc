package readmodels

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// follow runs a process: its engine and its follower, until the returned function is called.
func follow(t *testing.T, e *Engine, apply bool) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	e.Start(ctx)
	caughtUp, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if err := e.Follow(ctx, apply, func() { close(caughtUp) }); !errors.Is(err, context.Canceled) {
			t.Errorf("following ended with %v", err)
		}
	}()
	select {
	case <-caughtUp:
	case <-time.After(patience):
		t.Fatal("history is not read")
	}
	stop = func() {
		cancel()
		<-ended
		e.Stop()
	}
	t.Cleanup(stop)
	return stop
}

func stockOf(t *testing.T, e *Engine, sku string) (onHand, revision int64) {
	t.Helper()
	record, err := e.registry.fresh(t.Context(), stockLevels)
	if err != nil {
		t.Fatal(err)
	}
	f, ok, err := loadFound[inventory.Stock](t.Context(), e.Reader(), generation{stockLevels, record.Live}, sku)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return 0, -1
	}
	return f.body.OnHand, f.revision(stockLevels)
}

func TestNewReadModelStartsFromTheBeginningOfHistory(t *testing.T) {
	s := newScript()
	for i := range 100 {
		s.append(fmt.Sprintf("inventory-S%d", i%10), inventory.Received{Quantity: 1})
	}
	old := s.side(newMemory(), func(o *Options) { o.Models = []*Model{orderDetails} })
	stop := follow(t, old, true)
	stop()
	grown := s.side(old.options.Documents, func(o *Options) { o.Models = []*Model{orderDetails, stockLevels} })
	follow(t, grown, true)
	if onHand, _ := stockOf(t, grown, "S3"); onHand != 10 {
		t.Errorf("%d on hand, want 10", onHand)
	}
}

func TestLostDeliveryIsHealed(t *testing.T) {
	s := newScript()
	swept := make(chan string, 100)
	e := s.side(newMemory(), func(o *Options) {
		o.Hooks.Swept = func(model string, _ int) {
			select {
			case swept <- model:
			default:
			}
		}
	})
	s.append("inventory-A", inventory.Received{Quantity: 1})
	follow(t, e, true)
	s.append("inventory-A", inventory.Received{Quantity: 2}) // no delivery brings it
	eventually(t, "the sweep heals it", func() bool { onHand, _ := stockOf(t, e, "A"); return onHand == 3 })
	eventually(t, "nothing is behind", func() bool { return e.lag.now("stock_levels").Events == 0 })
	select {
	case <-swept: // it tells only when all is done
	case <-time.After(patience):
		t.Error("the sweep did not tell")
	}
}

func TestLagIsKnownWhereOthersApply(t *testing.T) {
	s := newScript()
	store := newMemory()
	worker := s.side(store)
	observer := s.side(store)
	follow(t, observer, false)
	r := s.append("inventory-A", inventory.Received{Quantity: 1})
	eventually(t, "the lag shows", func() bool { return observer.lag.now("stock_levels").Events == 1 })
	shown, err := observer.Operations().Show(t.Context(), "stock_levels")
	if err != nil || shown.LagEvents != 1 || shown.State == StatePaused {
		t.Errorf("%+v, %v", shown, err)
	}
	eventually(t, "the stall shows, with its cause", func() bool {
		shown, err := observer.Operations().Show(t.Context(), "stock_levels")
		return err == nil && shown.State == StateStalled && shown.Cause != "" && shown.Command != ""
	})
	deliver(t, worker, []domain.Delivery{{Recorded: r}})
	eventually(t, "the lag is gone", func() bool { return observer.lag.now("stock_levels").Events == 0 })
	if shown, err = observer.Operations().Show(t.Context(), "stock_levels"); err != nil || shown.State != StateLive || shown.LagEvents != 0 {
		t.Errorf("%+v, %v", shown, err)
	}
}

func TestCheckpointSkipsWhatIsApplied(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	for range 50 {
		s.append("inventory-A", inventory.Received{Quantity: 1})
	}
	stop := follow(t, e, true)
	stop()
	note, _, ok, err := readNote[tailNote](t.Context(), store, tailNotes, "stock_levels/1")
	if err != nil || !ok || note.Events != 50 || note.Position != s.events()[49].Position {
		t.Fatalf("%+v %t %v", note, ok, err)
	}
	again := s.side(store)
	follow(t, again, true)
	if at := again.lag.models["stock_levels"]; at.events != 50 {
		t.Errorf("%d events counted after a restart", at.events)
	}
}

func TestPauseHoldsAndResumeHeals(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("inventory-A", inventory.Received{Quantity: 1})
	follow(t, e, true)
	done(t, e, must(e.Operations().Pause(t.Context(), "stock_levels", "olga")))
	s.append("inventory-A", inventory.Received{Quantity: 2})
	eventually(t, "it is behind", func() bool { return e.lag.now("stock_levels").Events == 1 })
	shown, err := e.Operations().Show(t.Context(), "stock_levels")
	if err != nil || shown.State != StatePaused || shown.LagEvents != 1 {
		t.Errorf("%+v, %v", shown, err)
	}
	rest(t.Context(), 3*e.options.Grace)
	if onHand, _ := stockOf(t, e, "A"); onHand != 1 {
		t.Errorf("a paused read model moved: %d", onHand)
	}
	if err := e.Reader().Wait(t.Context(), stockLevels, Tidemark{{"inventory-A", 1}}, time.Millisecond); stateOf(err) != "lagging" {
		t.Errorf("a query for what a paused read model doesn't have: %v", err)
	}
	done(t, e, must(e.Operations().Resume(t.Context(), "stock_levels", "olga")))
	eventually(t, "it catches up", func() bool { onHand, _ := stockOf(t, e, "A"); return onHand == 3 })
}

func TestRepairedReleaseHealsByItself(t *testing.T) {
	s := newScript()
	store := newMemory()
	s.append("inventory-A", inventory.Received{Quantity: 1})
	s.append("inventory-A", inventory.Received{Quantity: 2})
	s.poison("inventory-A", 1, true)
	stop := follow(t, s.side(store), true)
	stop()
	s.poison("inventory-A", 1, false)
	e := s.side(store)
	follow(t, e, true)
	if onHand, _ := stockOf(t, e, "A"); onHand != 3 {
		t.Errorf("%d on hand, want 3", onHand)
	}
	if blocked, err := e.Operations().Blocked(t.Context(), "stock_levels", 0); err != nil || len(blocked) != 0 {
		t.Errorf("still blocked: %+v, %v", blocked, err)
	}
}

func TestAnswersTellTheAgeWhenTheEventStoreIsGone(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("inventory-A", inventory.Received{Quantity: 1})
	follow(t, e, true)
	s.fail(errors.New("gone"))
	eventually(t, "it is told", func() bool {
		e.lag.mu.Lock()
		e.lag.heard = time.Now().Add(-time.Minute) // again and again: a sign of life may have been on its way
		e.lag.mu.Unlock()
		answer, err := answerStock(t.Context(), e.Reader(), Ask{Params: map[string]string{"sku": "A"}})
		if err != nil {
			t.Fatal(err)
		}
		shown, err := e.Operations().Show(t.Context(), "stock_levels")
		if err != nil {
			t.Fatal(err)
		}
		return answer.Lag >= time.Minute && shown.State == StateStalled
	})
}

// must is a value that had better come without an error.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// done waits for a job's good end.
func done(t *testing.T, e *Engine, job Job) Job {
	t.Helper()
	eventually(t, fmt.Sprintf("job %s ends", job.Kind), func() bool {
		var err error
		if job, err = e.Operations().Job(t.Context(), job.ID); err != nil {
			t.Fatal(err)
		}
		return job.State != JobRunning
	})
	if job.State != JobDone {
		t.Fatalf("%s of %s %s: %s", job.Kind, job.Target, job.State, job.Error)
	}
	return job
}

// sameStock compares the stock levels of an engine's live generation with an orderly fold.
func sameStock(t *testing.T, s *script, e *Engine) {
	t.Helper()
	record := must(e.registry.fresh(t.Context(), stockLevels))
	if diff := cmp.Diff(orderlyOf(t, s, e), dump(t, e.options.Documents, generation{stockLevels, record.Live})); diff != "" {
		t.Errorf("documents differ (-orderly +live):\n%s", diff)
	}
}
