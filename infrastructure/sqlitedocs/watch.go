package sqlitedocs

import (
	"context"
	"sync"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// heldIDs bounds what a watcher that doesn't keep up has waiting; beyond it, it is told to look at everything.
const heldIDs = 8192

// hub tells watchers of this process what was written; there is no other process, the file is ours alone.
type hub struct {
	mu       sync.Mutex
	watchers map[string]map[*watcher]struct{} // by collection
}

// watcher holds what it has not handed over yet.
type watcher struct {
	wake chan struct{} // holds one signal

	mu       sync.Mutex
	ids      map[string]struct{}
	overflow bool
}

func (h *hub) add(collection string) *watcher {
	w := &watcher{wake: make(chan struct{}, 1), ids: map[string]struct{}{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.watchers == nil {
		h.watchers = map[string]map[*watcher]struct{}{}
	}
	if h.watchers[collection] == nil {
		h.watchers[collection] = map[*watcher]struct{}{}
	}
	h.watchers[collection][w] = struct{}{}
	return w
}

func (h *hub) remove(collection string, w *watcher) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers[collection], w)
	if len(h.watchers[collection]) == 0 {
		delete(h.watchers, collection)
	}
}

// tell never waits for a watcher.
func (h *hub) tell(collection string, ids []string) {
	if len(ids) == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers[collection] {
		w.hold(ids)
	}
}

func (w *watcher) hold(ids []string) {
	w.mu.Lock()
	for _, id := range ids {
		w.ids[id] = struct{}{}
	}
	if len(w.ids) > heldIDs {
		w.overflow = true
		clear(w.ids)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take gives what is held; nil after an overflow.
func (w *watcher) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.overflow {
		w.overflow = false
		clear(w.ids)
		return nil
	}
	ids := make([]string, 0, len(w.ids))
	for id := range w.ids {
		ids = append(ids, id)
	}
	clear(w.ids)
	return ids
}

// Watch implements readmodels.Watcher for writes of this process. The first call of changed has no ids: it
// says that the watch has begun; a later one without ids says that there was too much to name.
func (s *Store) Watch(ctx context.Context, collection string, changed func(ids []string)) error {
	w := s.hub.add(collection)
	defer s.hub.remove(collection, w)
	changed(nil)
	for {
		select {
		case <-w.wake:
			changed(w.take())
		case <-ctx.Done():
			return ctx.Err()
		case <-s.closing:
			return readmodels.StoreUnavailable(errClosed)
		}
	}
}
