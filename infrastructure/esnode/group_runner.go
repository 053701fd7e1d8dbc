package esnode

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

const (
	// drainInputs is how many inputs are taken at once before their effects are carried out.
	drainInputs = 256
	// groupInputs is how many acknowledgements wait for a busy group.
	groupInputs = 1024
)

var errGroupGone = errors.New("the group is gone")

type (
	// runner gives one group's state machine its inputs and carries out its effects, in one goroutine.
	runner struct {
		node   *Node
		config groupConfig
		ctx    context.Context
		stop   context.CancelFunc
		ended  chan struct{}

		machine   *groups.Group
		source    *source
		atEnd     bool  // the source has nothing now
		lastKnown int64 // place of the newest event seen
		retryAt   time.Time
		failure   error // why the group reads no more

		inputs    chan input
		results   chan result
		consumers map[uint64]*consumer
		nextID    uint64
		effects   groups.Effects
		parkings  []groups.Parking
		writing   bool
		writers   sync.WaitGroup
		replay    replay
	}

	// input is what consumers and operators want of a group.
	input struct {
		do     func(now time.Time) // on the group's goroutine; nil: an acknowledgement
		nack   bool
		action groups.Action
		reason string
		ids    [][16]byte
	}

	// result tells how a write of the group ended.
	result struct {
		parked     []groups.Parking
		checkpoint bool
		truncated  int64
		err        error
	}
)

// newRunner finds where the group starts, so that whoever created it can rely on that.
func newRunner(ctx context.Context, n *Node, c groupConfig) (*runner, error) {
	f, err := c.Filter.compile()
	if err != nil {
		return nil, err
	}
	r := &runner{
		node: n, config: c, ended: make(chan struct{}), lastKnown: -1,
		inputs: make(chan input, groupInputs), results: make(chan result, 4), consumers: map[uint64]*consumer{},
		source: &source{node: n, filter: f, resolve: c.ResolveLinks},
	}
	if !c.all() {
		r.source.stream = c.Stream
	}
	r.ctx, r.stop = context.WithCancel(n.life)
	checkpoint, has, err := r.loadCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case has:
		err = r.source.from(ctx, checkpoint+1)
	case c.Start == startEnd:
		err = r.source.fromEnd(ctx)
	case c.Start == startAt:
		err = r.source.from(ctx, c.StartAt)
	default:
		err = r.source.from(ctx, 0)
	}
	var deleted *eventlog.StreamDeleted
	if errors.As(err, &deleted) {
		r.failure, err = err, nil
	}
	if err != nil {
		return nil, err
	}
	if !has {
		checkpoint = r.source.next - 1
	}
	r.machine = groups.New(c.settings(), checkpoint, has, n.now())
	return r, nil
}

func (r *runner) loadCheckpoint(ctx context.Context) (at int64, has bool, err error) {
	newest, err := r.node.store.ReadEvent(ctx, r.config.key().checkpointStream(), -1)
	if absent(err) {
		return -1, false, nil
	} else if err != nil {
		return 0, false, err
	}
	var text string
	if json.Unmarshal(newest.Data, &text) != nil {
		text = string(newest.Data)
	}
	at, has = readPlace(text)
	if !has {
		r.node.log.Warn("a group's checkpoint can't be read; it starts as if there were none", "group", r.config.Group, "stream", r.config.Stream)
		at = -1
	}
	return at, has, nil
}

func (r *runner) run() {
	defer close(r.ended)
	defer r.dropAll()
	defer r.writers.Wait()
	defer r.stop()
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		ready := r.fill()
		r.carryOut()
		select {
		case in := <-r.inputs:
			r.take(in)
			r.takeMore()
		case res := <-r.results:
			r.finish(res)
		case <-ready:
			r.atEnd = false
		case <-ticks.C:
			r.machine.Tick(r.node.now())
		case <-r.ctx.Done():
			return
		}
	}
}

// takeMore takes what waits already, so that one round of effects serves many inputs.
func (r *runner) takeMore() {
	for range drainInputs {
		select {
		case in := <-r.inputs:
			r.take(in)
		default:
			return
		}
	}
}

func (r *runner) take(in input) {
	now := r.node.now()
	switch {
	case in.do != nil:
		in.do(now)
	case in.nack:
		r.machine.Nack(now, in.action, in.reason, in.ids...)
	default:
		r.machine.Ack(now, in.ids...)
	}
}

// always is ready at once.
var always = func() <-chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// fill offers the machine what it has room for. It returns a channel that is closed when there is more
// to do, nil while there is no room.
func (r *runner) fill() <-chan struct{} {
	replaying := r.fillReplay()
	if r.failure != nil {
		return replaying
	}
	now := r.node.now()
	room := r.machine.Room()
	// History comes in batches; near the head each event counts.
	if !r.source.live && room < min(int(r.config.HistoryBufferSize)/2, readPage) || room == 0 || now.Before(r.retryAt) {
		return replaying
	}
	if !r.atEnd {
		got, err := r.source.read(r.ctx, min(room, readPage), readWindow)
		if err != nil {
			r.failed(err)
			return replaying
		}
		r.offer(now, got)
		if r.atEnd = got.end; !got.end {
			return always
		}
	}
	if replaying != nil {
		return replaying
	}
	return r.source.wait()
}

func (r *runner) failed(err error) {
	var deleted *eventlog.StreamDeleted
	switch {
	case r.ctx.Err() != nil:
	case errors.As(err, &deleted), r.source.filter.err() != nil, errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed):
		r.node.log.Error("a group reads no more and drops its consumers", "stream", r.config.Stream, "group", r.config.Group, "error", err)
		r.failure = err
		r.dropAll()
	default:
		r.node.log.Warn("a group can't read; trying again in a second", "stream", r.config.Stream, "group", r.config.Group, "error", err)
		r.retryAt = r.node.now().Add(time.Second)
	}
}

func (r *runner) offer(now time.Time, got found) {
	messages := make([]*groups.Message, 0, len(got.events))
	for _, e := range got.events {
		at := r.seq(e.Original())
		if at == eventlog.Tombstone {
			r.failed(&eventlog.StreamDeleted{Stream: r.config.Stream})
			break
		}
		r.lastKnown = at
		messages = append(messages, &groups.Message{Seq: at, ID: e.Original().ID, Key: r.hash(e), Event: e})
	}
	skipped := 0
	if r.config.all() {
		skipped = got.count - len(got.events)
	}
	r.machine.Offer(now, messages, got.examined, skipped)
}

// seq is an event's place in what the group reads.
func (r *runner) seq(e *eventlog.Event) int64 {
	if r.config.all() {
		return e.Position
	}
	return e.Revision
}

// hash is what the pinned strategies send an event by: its source stream, or its correlation id.
func (r *runner) hash(e eventlog.Resolved) uint32 {
	switch groups.Strategy(r.config.Strategy) {
	case groups.PinnedByCorrelation:
		if id := correlationOf(e); id != "" {
			return uint32(xxhash.Sum64String(id))
		}
	case groups.Pinned:
	default:
		return 0
	}
	return uint32(xxhash.Sum64String(sourceStream(e)))
}

func correlationOf(e eventlog.Resolved) string {
	event := e.Event
	if event == nil {
		return ""
	}
	var meta map[string]json.RawMessage
	var id string
	if json.Unmarshal(event.Metadata, &meta) != nil || json.Unmarshal(meta["$correlationId"], &id) != nil {
		return ""
	}
	return id
}

// sourceStream is where an event comes from, however many links lead to it.
func sourceStream(e eventlog.Resolved) string {
	event := e.Event
	if event == nil {
		event = e.Link
	}
	if event.Type == eventlog.TypeLink {
		if _, stream, ok := eventlog.ParseLink(event.Data); ok {
			return stream
		}
	}
	return event.Stream
}
