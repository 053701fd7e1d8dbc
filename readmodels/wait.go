package readmodels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Bounds of a wait. Other processes' writes are looked for at growing intervals where the document
// store can't tell them.
const (
	firstPoll = 2 * time.Millisecond
	lastPoll  = 200 * time.Millisecond
	watchPoll = time.Second // where it can
)

// Wait returns once the model's live documents include all of the marks that feed it, or KindStale with
// code stale_read_model and state "blocked" or "lagging" when that does not come true within wait.
// Marks of streams that don't feed the model are ignored.
func (r *Reader) Wait(ctx context.Context, m *Model, marks Tidemark, wait time.Duration) error {
	needed := feeding(m, marks)
	if len(needed) == 0 || r.past { // the past is folded from the log itself
		return nil
	}
	missing, err := r.missing(ctx, m, needed)
	if err != nil || len(missing) == 0 {
		return err
	}
	bounded, cancel := context.WithTimeout(ctx, max(wait, 0))
	defer cancel()
	wake := make(chan struct{}, 1)
	leave := r.engine.hub.await(wake, m.Name, documentsOf(m, missing))
	defer leave()
	poll := firstPoll
	if r.engine.watchLive(ctx, m) {
		poll = watchPoll
	}
	for first := true; ; first = false {
		now, err := r.missing(bounded, m, missing)
		switch {
		case err == nil && len(now) == 0:
			return nil
		case err == nil:
			missing = now
		case bounded.Err() == nil || ctx.Err() != nil:
			return err
		}
		if bounded.Err() != nil {
			return r.stale(ctx, m, missing)
		}
		if !first {
			if err := r.blockedAmong(ctx, m, missing); err != nil {
				return err
			}
		}
		if pause(bounded, wake, poll) {
			poll = min(poll*2, max(poll, lastPoll))
		}
	}
}

// pause waits to be woken, true if the time was up first.
func pause(ctx context.Context, wake chan struct{}, poll time.Duration) bool {
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-wake:
		return false
	case <-timer.C:
		return true
	case <-ctx.Done():
		return true
	}
}

// feeding are the marks whose streams feed the model.
func feeding(m *Model, marks Tidemark) Tidemark {
	var all Tidemark
	for _, mark := range marks {
		if m.Feeds(mark.Stream) {
			all = append(all, mark)
		}
	}
	return all.Merged()
}

func documentsOf(m *Model, marks Tidemark) []string {
	ids := make([]string, len(marks))
	for i, mark := range marks {
		ids[i] = m.Document(mark.Stream)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// missing are the marks that the live documents don't include yet.
func (r *Reader) missing(ctx context.Context, m *Model, marks Tidemark) (Tidemark, error) {
	g, err := r.live(ctx, m)
	if err != nil {
		return nil, err
	}
	found, err := r.documents.Load(ctx, g.documents(), documentsOf(m, marks))
	if err != nil {
		return nil, err
	}
	reached := map[string]int64{}
	for _, d := range found {
		for stream, revision := range d.Sources {
			reached[stream] = revision
		}
	}
	var left Tidemark
	for _, mark := range marks {
		if at, ok := reached[mark.Stream]; !ok || at < mark.Revision {
			left = append(left, mark)
		}
	}
	return left, nil
}

// blockedAmong says so when one of the marks can't come true because its stream is blocked.
func (r *Reader) blockedAmong(ctx context.Context, m *Model, marks Tidemark) error {
	g, err := r.live(ctx, m)
	if err != nil {
		return err
	}
	known, err := r.engine.blocks.of(ctx, g)
	if err != nil {
		return err
	}
	for _, mark := range marks {
		if at, ok := known[mark.Stream]; ok && at <= mark.Revision {
			return staleError(m, "blocked", fmt.Sprintf("Stream %q is blocked for this screen at event %d; an operator has to retry or skip it.", mark.Stream, at))
		}
	}
	return nil
}

// stale is the answer when the time is up: blocked if that is why, else lagging.
func (r *Reader) stale(ctx context.Context, m *Model, missing Tidemark) error {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if g, err := r.live(short, m); err == nil {
		_, _ = r.engine.blocks.fresh(short, g)
	}
	if err := r.blockedAmong(short, m, missing); err != nil && domain.KindOf(err) == domain.KindStale {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return staleError(m, "lagging", fmt.Sprintf("The screen does not have event %d of stream %q yet.", missing[0].Revision, missing[0].Stream))
}

func staleError(m *Model, state, message string) error {
	return &domain.Error{Kind: domain.KindStale, Code: "stale_read_model", Message: message,
		Attrs: map[string]string{"state": state, "readModel": m.Name}}
}

// watchLive sees to it that other processes' writes to the live documents wake waiters here, where the
// document store can tell them; false if it can't or the engine doesn't run.
func (e *Engine) watchLive(ctx context.Context, m *Model) bool {
	watcher, ok := e.options.Documents.(Watcher)
	if !ok {
		return false
	}
	record, err := e.registry.of(ctx, m)
	if err != nil {
		return false
	}
	g := generation{m, record.Live}
	e.mu.Lock()
	watched, unwatchable := e.watching[g.documents()], e.unwatchable
	e.mu.Unlock()
	if watched || unwatchable {
		return watched
	}
	e.spawn(func(life context.Context) { e.watchDocuments(life, watcher, g) })
	return false // it takes a moment to begin; until then this one polls
}

// watchDocuments passes on what others write, as long as the generation serves.
func (e *Engine) watchDocuments(life context.Context, watcher Watcher, g generation) {
	name := g.documents()
	e.mu.Lock()
	twice := e.watching[name]
	e.watching[name] = true
	e.mu.Unlock()
	if twice {
		return
	}
	defer func() {
		e.mu.Lock()
		delete(e.watching, name)
		e.mu.Unlock()
		e.hub.wakeAll(g.model.Name) // who relied on the watch polls from here on
	}()
	for life.Err() == nil {
		ctx, cancel := context.WithCancel(life)
		ended := make(chan error, 1)
		go func() {
			ended <- watcher.Watch(ctx, name, func(ids []string) {
				if len(ids) == 0 { // anything may have changed: the watch has begun, or lost count
					e.hub.wakeAll(g.model.Name)
				}
				for _, id := range ids {
					e.hub.publish(committed{model: g.model.Name, generation: g.number, document: id})
				}
			})
		}()
		serving, err := e.whileServing(life, g, ended)
		cancel()
		if !serving {
			err = <-ended // with the end that it was given
		}
		if errors.Is(err, errors.ErrUnsupported) {
			e.mu.Lock()
			e.unwatchable = true
			e.mu.Unlock()
			return
		}
		if !serving {
			return
		}
		rest(life, time.Second)
	}
}

// whileServing returns true when the watch ended by itself, with its error, and false when it is to be ended:
// the generation serves no more, or the engine stops.
func (e *Engine) whileServing(life context.Context, g generation, ended chan error) (bool, error) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return false, nil
		case err := <-ended:
			return true, err
		case <-tick.C:
			if record, err := e.registry.of(life, g.model); err == nil && record.Live != g.number {
				return false, nil
			}
		}
	}
}
