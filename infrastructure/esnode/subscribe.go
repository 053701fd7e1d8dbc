package esnode

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// subscription is one catch-up subscription: history first, then what comes. A slow client is held
// back by flow control and goes back to history when the feed has moved on; it loses nothing.
type subscription struct {
	*reading
	node   *Node
	call   streams.Streams_ReadServer
	source *source
	events eventWriter

	since      int   // events looked at since the last checkpoint
	checkpoint int64 // the last one sent
	caughtUp   bool
}

func (n *Node) subscribe(r *reading, call streams.Streams_ReadServer) error {
	s := &subscription{reading: r, node: n, call: call, events: eventWriter{text: r.text}}
	ctx := call.Context()
	if err := s.open(ctx); err != nil {
		return err
	}
	err := call.Send(&streams.ReadResp{Content: &streams.ReadResp_Confirmation{
		Confirmation: &streams.ReadResp_SubscriptionConfirmation{SubscriptionId: uuid.NewString()}}})
	for err == nil {
		err = s.step(ctx)
	}
	var deleted *eventlog.StreamDeleted
	if errors.As(err, &deleted) {
		// Tombstoned while this was behind: the tombstone is still to be shown.
		err = errors.Join(s.sendTombstone(ctx), err)
	}
	return err
}

// open finds where to start: at the beginning, or behind what the client names.
func (s *subscription) open(ctx context.Context) error {
	s.source = &source{node: s.node, stream: s.stream, filter: s.filter, resolve: s.resolve}
	var err error
	switch {
	case s.fromEnd:
		err = s.source.fromEnd(ctx)
	case s.fromStart:
		err = s.source.from(ctx, 0)
	default:
		err = s.source.from(ctx, nextRevision(s.from))
	}
	s.checkpoint = s.source.next - 1
	return err
}

// step sends the next events, or waits for some.
func (s *subscription) step(ctx context.Context) error {
	window := math.MaxInt32
	if s.filtered {
		window = max(s.interval-s.since, 1)
	} else if !s.source.live {
		window = readWindow
	}
	got, err := s.source.read(ctx, readPage, window)
	if err != nil {
		return err
	}
	for _, e := range got.events {
		if err := s.call.Send(s.events.readResp(e)); err != nil {
			return err
		}
		if s.stream != "" && e.Original().Revision == eventlog.Tombstone {
			return streamDeleted(s.stream)
		}
	}
	s.since += got.count
	if got.history {
		s.caughtUp = false
	}
	if s.since >= s.interval || got.end && !s.caughtUp {
		if err := s.sendCheckpoint(got.examined); err != nil {
			return err
		}
	}
	if !got.end {
		return nil
	}
	if !s.caughtUp {
		s.caughtUp = true
		if err := s.sendCaughtUp(got.examined); err != nil {
			return err
		}
	}
	select {
	case <-s.source.wait():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-s.node.life.Done():
		return errStopping
	}
}

// sendCheckpoint tells how far a filtered subscription has looked, so that the client can resume there
// although nothing matched.
func (s *subscription) sendCheckpoint(examined int64) error {
	if !s.filtered {
		return nil
	}
	s.since = 0
	if examined <= s.checkpoint {
		return nil
	}
	s.checkpoint = examined
	c := &streams.ReadResp_Checkpoint{CommitPosition: uint64(examined), PreparePosition: uint64(examined)}
	c.ProtoReflect().SetUnknown(appendTime(nil, 3, s.node.now()))
	return s.call.Send(&streams.ReadResp{Content: &streams.ReadResp_Checkpoint_{Checkpoint: c}})
}

// sendCaughtUp tells that what comes now is new. The fields are of the 26 line: newer clients want
// them, older ones pass over them.
func (s *subscription) sendCaughtUp(examined int64) error {
	fields := appendTime(nil, 1, s.node.now())
	if last := s.source.next - 1; s.stream != "" && last >= 0 {
		fields = protowire.AppendVarint(protowire.AppendTag(fields, 2, protowire.VarintType), uint64(last))
	} else {
		// Also for an empty stream, which has no revision: with neither, a client would panic.
		at := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(max(examined, 0)))
		at = protowire.AppendVarint(protowire.AppendTag(at, 2, protowire.VarintType), uint64(max(examined, 0)))
		fields = protowire.AppendBytes(protowire.AppendTag(fields, 3, protowire.BytesType), at)
	}
	c := &streams.ReadResp_CaughtUp{}
	c.ProtoReflect().SetUnknown(fields)
	return s.call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: c}})
}

// appendTime writes a google.protobuf.Timestamp.
func appendTime(b []byte, field protowire.Number, at time.Time) []byte {
	stamp := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(at.Unix()))
	stamp = protowire.AppendVarint(protowire.AppendTag(stamp, 2, protowire.VarintType), uint64(at.Nanosecond()))
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), stamp)
}

// sendTombstone shows the event that ended the stream.
func (s *subscription) sendTombstone(ctx context.Context) error {
	e, err := s.node.store.TombstoneEvent(ctx, s.stream)
	if err != nil {
		return err
	}
	return s.call.Send(s.events.readResp(eventlog.Resolved{Event: &e}))
}
