package esnode

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

const (
	checkpointType = "$SubscriptionCheckpoint"
	parkAtOnce     = 500
)

// carryOut does what the machine wants done. Writes go on beside the group, one of each kind at a time;
// a message counts as parked, and a checkpoint as stored, only when the log says so.
func (r *runner) carryOut() {
	e := r.machine.Take(r.effects)
	for _, d := range e.Deliveries {
		if c := r.consumers[d.Consumer]; c != nil {
			c.put(d)
		}
	}
	r.parkings = append(r.parkings, e.Parkings...)
	if e.Store {
		at := e.Checkpoint
		r.write(func(ctx context.Context) result {
			return result{checkpoint: true, err: r.storeCheckpoint(ctx, at)}
		})
	}
	r.effects = e
	if len(r.parkings) > 0 && !r.writing {
		n := min(len(r.parkings), parkAtOnce)
		batch := append([]groups.Parking(nil), r.parkings[:n]...)
		r.parkings = append(r.parkings[:0], r.parkings[n:]...)
		r.writing = true
		r.write(func(ctx context.Context) result {
			return result{parked: batch, err: r.storeParked(ctx, batch)}
		})
	}
	r.truncateParked()
}

func (r *runner) write(do func(context.Context) result) {
	r.writers.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), storeWithin)
		defer cancel()
		res := do(ctx)
		select {
		case r.results <- res:
		case <-r.ctx.Done():
		}
	})
}

func (r *runner) finish(res result) {
	now := r.node.now()
	if res.err != nil {
		r.node.log.Error("a group can't store its state; it will try again", "stream", r.config.Stream, "group", r.config.Group, "error", res.err)
	}
	switch {
	case res.checkpoint:
		r.machine.Checkpointed(now, res.err == nil)
	case res.parked != nil:
		r.writing = false
		for _, p := range res.parked {
			r.machine.Parked(now, p.Message, res.err == nil)
		}
	default:
		r.replay.truncating = false
		if res.err != nil {
			r.replay.pause = now.Add(time.Second)
		} else {
			r.replay.truncated = res.truncated
		}
	}
}

func (r *runner) storeCheckpoint(ctx context.Context, at int64) error {
	data, err := json.Marshal(r.config.place(at))
	if err != nil {
		return err
	}
	_, err = r.node.store.Append(ctx, r.config.key().checkpointStream(), eventlog.Any,
		[]eventlog.Proposed{{ID: uuid.New(), Type: checkpointType, JSON: true, Data: data}})
	return err
}

// parkedMeta is the metadata of a parked link.
type parkedMeta struct {
	Added   string `json:"added"`
	Reason  string `json:"reason"`
	Subject int64  `json:"subscriptionEventNumber,omitempty"`
}

func (r *runner) storeParked(ctx context.Context, batch []groups.Parking) error {
	added := r.node.now().Format(time.RFC3339Nano)
	proposed := make([]eventlog.Proposed, 0, len(batch))
	for _, p := range batch {
		e := p.Message.Event.(eventlog.Resolved)
		meta, err := json.Marshal(parkedMeta{Added: added, Reason: p.Reason, Subject: e.Original().Revision})
		if err != nil {
			return err
		}
		// The link leads to the event itself, not to the link that led to it.
		data := eventlog.Link(e.Original().Revision, e.Original().Stream)
		if e.Event != nil {
			data = eventlog.Link(e.Event.Revision, e.Event.Stream)
		} else if e.Link != nil {
			data = e.Link.Data
		}
		proposed = append(proposed, eventlog.Proposed{ID: uuid.New(), Type: eventlog.TypeLink, Data: data, Metadata: meta})
	}
	_, err := r.node.store.Append(ctx, r.config.key().parkedStream(), eventlog.Any, proposed)
	return err
}

// replay is how far parked messages are delivered again. The parked stream is truncated only behind
// those that are settled: a crash in between brings them back as parked, and loses none.
type replay struct {
	running    bool
	next, stop int64 // revisions of the parked stream: next to load, and the end, exclusive
	loaded     int64 // everything below was loaded since the group runs
	truncated  int64
	truncating bool
	pause      time.Time // of truncating, after a failure
}

// startReplay begins to deliver the parked messages below stopAt; -1 is no limit. While one runs,
// another is without effect.
func (r *runner) startReplay(ctx context.Context, stopAt int64) error {
	first, last, err := r.parked(ctx)
	if err != nil || last < 0 {
		return err
	}
	return r.ask(ctx, func(time.Time) {
		if r.replay.running {
			return
		}
		next, stop := max(first, r.replay.loaded), last+1
		if stopAt >= 0 {
			stop = min(stop, stopAt)
		}
		if next < stop {
			r.replay.running, r.replay.next, r.replay.stop = true, next, stop
		}
	})
}

// parked is the first readable and the last revision of the parked stream; last is -1 if there is none.
func (r *runner) parked(ctx context.Context) (first, last int64, err error) {
	page, err := r.node.store.ReadStream(ctx, eventlog.StreamQuery{Stream: r.config.key().parkedStream(), From: -1, Backwards: true, Limit: 1})
	if absent(err) {
		return 0, -1, nil
	}
	return page.First, page.Last, err
}

// absent says of an error that the stream is not there, never was or has a tombstone: clients may do that
// to the streams that a group keeps for itself.
func absent(err error) bool {
	var deleted *eventlog.StreamDeleted
	return errors.Is(err, eventlog.ErrNotFound) || errors.As(err, &deleted)
}

// fillReplay loads parked messages while not too many wait.
func (r *runner) fillReplay() <-chan struct{} {
	if !r.replay.running {
		return nil
	}
	if _, open := r.machine.Replayed(); open >= readPage {
		return nil
	}
	page, err := r.node.store.ReadStream(r.ctx, eventlog.StreamQuery{
		Stream: r.config.key().parkedStream(), From: r.replay.next, Limit: int(min(r.replay.stop-r.replay.next, readPage)), ResolveLinks: true})
	if err != nil {
		r.replay.running = false
		r.node.log.Warn("a replay of parked messages ended early", "stream", r.config.Stream, "group", r.config.Group, "error", err)
		return nil
	}
	var messages []*groups.Message
	examined := r.replay.next - 1
	for _, e := range page.Events {
		at := e.Original().Revision
		if at >= r.replay.stop {
			break
		}
		examined = at
		if e.Event == nil {
			continue // its target is gone
		}
		messages = append(messages, &groups.Message{Seq: at, ID: e.Original().ID, Key: r.hash(e), Event: e})
	}
	r.replay.next = max(examined+1, page.Next)
	if page.End || r.replay.next >= r.replay.stop || len(page.Events) == 0 {
		r.replay.running = false
		examined, r.replay.next = r.replay.stop-1, r.replay.stop
	}
	r.replay.loaded = r.replay.next
	r.machine.Replay(r.node.now(), messages, examined, 1)
	return always
}

// truncateParked hides what was replayed and is settled.
func (r *runner) truncateParked() {
	settled, _ := r.machine.Replayed()
	if r.replay.truncating || settled+1 <= r.replay.truncated || r.node.now().Before(r.replay.pause) {
		return
	}
	r.replay.truncating = true
	before := settled + 1
	r.write(func(ctx context.Context) result {
		_, err := r.node.store.Append(ctx, "$$"+r.config.key().parkedStream(), eventlog.Any,
			[]eventlog.Proposed{{ID: uuid.New(), Type: eventlog.TypeMetadata, JSON: true, Data: []byte(`{"$tb":` + strconv.FormatInt(before, 10) + `}`)}})
		return result{truncated: before, err: err}
	})
}
