package readmodels

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// partlyHanging hangs with one collection only.
type partlyHanging struct {
	*hanging
	collection string
}

func (h partlyHanging) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if collection != h.collection {
		return h.Documents.Load(ctx, collection, ids)
	}
	return h.hanging.Load(ctx, collection, ids)
}

// A store that hung, and then answers again, has held nobody for good: what others applied meanwhile is noticed,
// and what nobody delivered is swept up.
func TestAStoreThatHungHoldsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		store := partlyHanging{&hanging{Documents: newMemory()}, generation{stockLevels, 1}.documents()}
		worker, observer := s.side(store), s.side(store)
		stopped := []func(){follow(t, worker, true), follow(t, observer, false)}
		asked := store.asked.Load()
		store.hangs.Store(true)
		r := s.append("inventory-A", inventory.Received{Quantity: 1})
		eventually(t, "both look for it", func() bool { return store.asked.Load() >= asked+2 })
		store.hangs.Store(false)
		deliver(t, worker, []domain.Delivery{{Recorded: r}})
		s.append("inventory-B", inventory.Received{Quantity: 1}) // no delivery brings it
		for name, e := range map[string]*Engine{"the worker": worker, "the observer": observer} {
			eventually(t, name+" is not behind", func() bool { return e.lag.now("stock_levels").Events == 0 })
		}
		for _, stop := range stopped {
			stop()
		}
	})
}
