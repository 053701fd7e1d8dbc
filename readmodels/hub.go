package readmodels

import "sync"

// committed says that a document has been written.
type committed struct {
	model      string
	generation int
	document   string
	sources    map[string]int64 // the document's, afterwards; shared, not to be changed
	events     []placed         // what the write added; empty when another process wrote it
}

// placed is an event with its position in the log, 0 where that isn't known.
type placed struct {
	Mark
	position uint64
}

// hub tells this process's waiting queries what has just been written.
type hub struct {
	mu       sync.Mutex
	waiting  map[docPlace]map[chan struct{}]struct{}
	hearing  map[int]func(committed)
	nextHear int
	closed   bool
}

type docPlace struct{ model, document string }

func newHub() *hub {
	return &hub{waiting: map[docPlace]map[chan struct{}]struct{}{}, hearing: map[int]func(committed){}}
}

// publish wakes those who wait for the document. It never blocks.
func (h *hub) publish(c committed) {
	h.publishIf(func() (committed, bool) { return c, true })
}

// publishIf does so if there is something to tell, decided while nothing else can be told.
func (h *hub) publishIf(decide func() (committed, bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, ok := decide()
	if !ok {
		return
	}
	for wake := range h.waiting[docPlace{c.model, c.document}] {
		select {
		case wake <- struct{}{}:
		default: // it has been told already
		}
	}
	for _, hear := range h.hearing {
		hear(c)
	}
}

// await registers wake for documents; leave must be called.
func (h *hub) await(wake chan struct{}, model string, documents []string) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, d := range documents {
		place := docPlace{model, d}
		if h.waiting[place] == nil {
			h.waiting[place] = map[chan struct{}]struct{}{}
		}
		h.waiting[place][wake] = struct{}{}
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, d := range documents {
			place := docPlace{model, d}
			delete(h.waiting[place], wake)
			if len(h.waiting[place]) == 0 {
				delete(h.waiting, place)
			}
		}
	}
}

// wakeAll wakes everybody who waits for a document of the model: they look for themselves.
func (h *hub) wakeAll(model string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for place, waiting := range h.waiting {
		if place.model != model {
			continue
		}
		for wake := range waiting {
			select {
			case wake <- struct{}{}:
			default: // it has been told already
			}
		}
	}
}

// hear calls heard, which must not block, for everything published, until the returned function is called.
func (h *hub) hear(heard func(committed)) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id := h.nextHear
	h.nextHear++
	h.hearing[id] = heard
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.hearing, id)
	}
}

// locked runs do while nothing can be published.
func (h *hub) locked(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	do()
}

// waiters counts those who wait, for tests that look for leaks.
func (h *hub) waiters() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.waiting)
}

func (h *hub) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
}
