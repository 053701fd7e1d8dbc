package esnode

import (
	"context"
	"errors"
	"log/slog"
	"sort"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

const (
	feedEvents = 8192
	feedBytes  = 8 << 20
	feedPage   = 512
	// feedTime bounds how long a source looks through the feed at once, like a page of the log.
	feedTime = 250 * time.Millisecond
)

// feed holds the newest events of the log in memory, read once for all subscriptions and groups that
// are near the head. Who falls out of it goes back to reading the log, so it drops nobody and waits
// for nobody.
type feed struct {
	log *eventlog.Log

	mu      sync.RWMutex
	events  []*eventlog.Event // never written once published: readers keep parts of it
	bytes   int
	low     int64 // all events behind this position are in events
	head    int64 // everything up to here was read
	changed chan struct{}
}

func newFeed(log *eventlog.Log) *feed {
	head := log.Head()
	return &feed{log: log, low: head, head: head, changed: make(chan struct{})}
}

// run follows the log until ctx ends.
func (f *feed) run(ctx context.Context, log *slog.Logger) {
	for {
		changed := f.log.Changed()
		more, err := f.pull(ctx)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, eventlog.ErrClosed) {
				return
			}
			log.Error("the node can't follow its log; trying again in a second", "error", err)
			more = false
			changed = after(ctx, time.Second)
		}
		if more {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// after is a channel that is closed after d, or when ctx ends.
func after(ctx context.Context, d time.Duration) <-chan struct{} {
	ctx, cancel := context.WithTimeout(ctx, d)
	context.AfterFunc(ctx, cancel)
	return ctx.Done()
}

// pull reads one page of what is new.
func (f *feed) pull(ctx context.Context) (more bool, err error) {
	f.mu.RLock()
	from := f.head + 1
	f.mu.RUnlock()
	page, err := f.log.ReadAll(ctx, eventlog.AllQuery{From: from, Window: feedPage, Limit: feedPage, Hidden: true})
	if err != nil {
		return false, err
	}
	if page.Count == 0 {
		return false, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range page.Events {
		f.events = append(f.events, r.Event)
		f.bytes += weight(r.Event)
	}
	f.head = page.Examined
	f.trim()
	close(f.changed)
	f.changed = make(chan struct{})
	return !page.End, nil
}

// trim forgets the oldest half when there is too much. It copies, because readers hold parts.
func (f *feed) trim() {
	if len(f.events) <= feedEvents && f.bytes <= feedBytes {
		return
	}
	drop := 0
	for left := f.bytes; drop < len(f.events) && (len(f.events)-drop > feedEvents/2 || left > feedBytes/2); drop++ {
		left -= weight(f.events[drop])
		f.bytes = left
	}
	f.low = f.events[drop-1].Position
	f.events = append([]*eventlog.Event(nil), f.events[drop:]...)
}

func weight(e *eventlog.Event) int {
	return len(e.Data) + len(e.Metadata) + len(e.Stream) + len(e.Type) + 128
}

// after returns the events behind a position, the position up to which these are all, and a channel
// that is closed when there is more. It is not ok when the feed does not reach back that far.
func (f *feed) after(pos int64) (events []*eventlog.Event, head int64, changed <-chan struct{}, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if pos < f.low {
		return nil, 0, f.changed, false
	}
	i := sort.Search(len(f.events), func(i int) bool { return f.events[i].Position > pos })
	return f.events[i:len(f.events):len(f.events)], max(f.head, pos), f.changed, true
}

// more is closed when the feed has read more.
func (f *feed) more() <-chan struct{} {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.changed
}
