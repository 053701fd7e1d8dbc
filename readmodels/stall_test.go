package readmodels

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// away is a document store that can be taken away.
type away struct {
	*memory
	gone atomic.Bool
}

func (a *away) err() error {
	if a.gone.Load() {
		return readStoreSilent(errors.New("gone"))
	}
	return nil
}

func (a *away) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.memory.Load(ctx, collection, ids)
}

func (a *away) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.memory.Find(ctx, collection, find)
}

func (a *away) Group(ctx context.Context, collection string, grouping Grouping) ([]Total, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.memory.Group(ctx, collection, grouping)
}

func (a *away) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	if err := a.err(); err != nil {
		return nil, err
	}
	return a.memory.Write(ctx, collection, puts)
}

func (a *away) Ping(ctx context.Context) error {
	if err := a.err(); err != nil {
		return err
	}
	return a.memory.Ping(ctx)
}

// A read model that has work and makes no progress says so, with what it looks like and the command that
// mends it, whatever the reason; and it is live again, without a cause, once it goes on.
func TestAStallNamesItsCauseAndTheCommandThatMendsIt(t *testing.T) {
	t.Parallel()
	var group atomic.Pointer[GroupState]
	const model = "stock_levels"
	cases := map[string]struct {
		make           func(t *testing.T, e *Engine, store *away)
		group          *GroupState
		state          string
		cause, command string
	}{
		"nobody told how the group is": {state: StateStalled, cause: "no worker takes them, or its consumer group is stuck", command: "tidemark worker"},
		"the group is missing":         {group: &GroupState{Name: "g", Missing: true}, state: StateStalled, cause: "its consumer group g does not exist", command: "tidemark worker"},
		"there is no worker":           {group: &GroupState{Name: "g"}, state: StateStalled, cause: "nobody consumes its group g", command: "tidemark worker"},
		"its group is stuck": {group: &GroupState{Name: "g", Consumers: 2, InFlight: 3, Parked: 4}, state: StateStalled,
			cause: "2 consumers, 3 events in flight and 4 parked", command: "tidemark subscriptions reset g --to start --yes"},
		"the read store is away": {make: func(_ *testing.T, _ *Engine, store *away) { store.gone.Store(true) }, state: StateStalled,
			cause: "the read store does not answer", command: "start the document store that TIDEMARK_DOCUMENTS names"},
		"the event store is away": {make: func(_ *testing.T, e *Engine, _ *away) {
			e.lag.mu.Lock()
			defer e.lag.mu.Unlock()
			e.lag.heard = time.Now().Add(-time.Hour)
		}, state: StateStalled, cause: "the event store has not answered for", command: "start the event store that TIDEMARK_EVENTSTORE names"},
		"its documents are another release's": {make: func(t *testing.T, e *Engine, _ *away) {
			must(e.registry.change(t.Context(), stockLevels, func(g *generations) error { g.Folds["1"]++; return nil }))
		}, state: StateStalled, cause: "made by the fold of another release", command: "tidemark readmodels rebuild " + model + " --switch"},
		"somebody paused it": {make: func(t *testing.T, e *Engine, _ *away) {
			must(e.registry.change(t.Context(), stockLevels, func(g *generations) error { g.Paused = true; return nil }))
		}, state: StatePaused, cause: "an operator paused it", command: "tidemark readmodels resume " + model},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, store := newScript(), &away{memory: newMemory()}
			worker := s.side(store.memory)
			e := s.side(store, func(o *Options) {
				if c.group != nil {
					group.Store(c.group)
					o.Group = func(context.Context, string) (GroupState, error) { return *group.Load(), nil }
				}
			})
			follow(t, e, false)
			r := s.append("inventory-A", inventory.Received{Quantity: 1})
			eventually(t, "the lag shows", func() bool { return e.lag.now(model).Events == 1 })
			if c.make != nil {
				c.make(t, e, store)
			}
			var shown ReadModel
			eventually(t, "the stall shows", func() bool {
				shown = must(e.Operations().Show(t.Context(), model))
				return shown.State == c.state
			})
			if !strings.Contains(shown.Cause, c.cause) || shown.Command != c.command {
				t.Errorf("cause %q, command %q, want %q and %q", shown.Cause, shown.Command, c.cause, c.command)
			}
			if c.make != nil {
				return
			}
			deliver(t, worker, []domain.Delivery{{Recorded: r}})
			eventually(t, "it is live again", func() bool {
				shown = must(e.Operations().Show(t.Context(), model))
				return shown.State == StateLive && shown.Cause == "" && shown.LagEvents == 0
			})
		})
	}
}

// With the read store away operators still see every read model, as it is remembered, and no metric goes missing.
func TestReadModelsAreShownWithoutTheReadStore(t *testing.T) {
	s, store := newScript(), &away{memory: newMemory()}
	e := s.side(store)
	s.append("inventory-A", alien{})
	follow(t, e, true)
	eventually(t, "the poison blocks its stream", func() bool { return must(e.Operations().Show(t.Context(), "stock_levels")).Blocked == 1 })
	store.gone.Store(true)
	all, err := e.Operations().List(t.Context())
	if err != nil || len(all) != len(All()) {
		t.Fatalf("%d read models, %v", len(all), err)
	}
	for _, m := range all {
		if !strings.Contains(m.Cause, "the read store does not answer") || m.Generation != 1 {
			t.Errorf("%+v", m)
		}
		if m.Name == "stock_levels" && m.Blocked != 1 {
			t.Errorf("its blocked stream is forgotten: %+v", m)
		}
	}
	store.gone.Store(false)
	if m := must(e.Operations().Show(t.Context(), "stock_levels")); strings.Contains(m.Cause, "read store") {
		t.Errorf("back, but: %+v", m)
	}
}
