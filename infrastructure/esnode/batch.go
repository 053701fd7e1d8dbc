package esnode

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

const (
	// writeWithin is the longest an append of a batch may take, as the original's write timeout.
	writeWithin = 2 * time.Second
	// maxPending and maxPendingBytes bound the appends of one call that wait for their rest, maxWriting
	// those that wait for their answer.
	maxPending      = 1024
	maxPendingBytes = 64 << 20
	maxWriting      = 256
)

type (
	// batchCall is one BatchAppend call: appends of many streams, told apart by correlation id.
	batchCall struct {
		node    *Node
		call    streams.Streams_BatchAppendServer
		pending map[[16]byte]*batch
		bytes   int // of those pending
		send    sync.Mutex
		writing sync.WaitGroup
		slots   chan struct{}
		tails   map[string]chan struct{} // last append submitted to a stream, to keep their order
	}

	batch struct {
		target
		correlation *shared.UUID
		proposals
		failure  error
		deadline time.Time
	}
)

// BatchAppend implements streams.StreamsServer. Failures are answers; the call stays open. After the
// client's last request the appends that wait are answered, then the call ends.
func (n *Node) BatchAppend(call streams.Streams_BatchAppendServer) error {
	b := &batchCall{node: n, call: call, pending: map[[16]byte]*batch{}, slots: make(chan struct{}, maxWriting), tails: map[string]chan struct{}{}}
	defer b.writing.Wait()
	requests := make(chan *streams.BatchAppendReq)
	ended := make(chan error, 1)
	go func() {
		for {
			req, err := call.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case requests <- req:
			case <-call.Context().Done():
				ended <- call.Context().Err()
				return
			}
		}
	}()
	expire := time.NewTicker(100 * time.Millisecond)
	defer expire.Stop()
	for {
		var err error
		select {
		case req := <-requests:
			err = b.take(req)
		case <-expire.C:
			err = b.expire(n.now())
		case <-n.life.Done():
			return errStopping
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				return err
			}
			b.writing.Wait()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take adds a request to its append, and submits the append with its last request.
func (b *batchCall) take(req *streams.BatchAppendReq) error {
	id, err := readUUID(req.GetCorrelationId())
	if err != nil {
		return err
	}
	p := b.pending[id]
	if o := req.GetOptions(); o != nil {
		if p == nil && (len(b.pending) >= maxPending || b.bytes >= maxPendingBytes) {
			return b.refuse(&batch{correlation: req.GetCorrelationId()}, unknown("too many appends wait on this call"))
		}
		b.forget(id)
		p = b.open(req.GetCorrelationId(), o)
		b.pending[id] = p
	}
	if p == nil {
		return nil
	}
	before := p.size
	for _, m := range req.GetProposedMessages() {
		if p.failure == nil {
			p.failure = p.add(m)
		}
	}
	b.bytes += p.size - before
	if !p.deadline.After(b.node.now()) {
		p.failure = context.DeadlineExceeded
	}
	if p.failure == nil && !req.GetIsFinal() {
		return nil
	}
	b.forget(id)
	if p.failure != nil { // answered at once; what is still to come of it belongs to nothing
		return b.refuse(p, p.failure)
	}
	return b.submit(p)
}

// forget ends an append's waiting for its rest.
func (b *batchCall) forget(id [16]byte) {
	if p := b.pending[id]; p != nil {
		b.bytes -= p.size
		delete(b.pending, id)
	}
}

func (b *batchCall) open(correlation *shared.UUID, o *streams.BatchAppendReq_Options) *batch {
	p := &batch{correlation: correlation, proposals: proposals{limit: b.node.options.MaxAppendSize, eventLimit: b.node.options.MaxEventSize}}
	p.target, p.failure = readTarget(o, o.GetExpectedStreamPosition() != nil, o.GetStreamPosition())
	now := b.node.now()
	within := writeWithin
	switch d := o.GetDeadlineOption().(type) {
	case *streams.BatchAppendReq_Options_Deadline:
		within = min(within, d.Deadline.AsDuration())
	case *streams.BatchAppendReq_Options_Deadline_21_10_0:
		within = min(within, d.Deadline_21_10_0.AsTime().Sub(now))
	}
	p.deadline = now.Add(within)
	return p
}

// expire answers and forgets the appends whose rest did not come in time.
func (b *batchCall) expire(now time.Time) error {
	for id, p := range b.pending {
		if p.deadline.After(now) {
			continue
		}
		b.forget(id)
		if err := b.refuse(p, context.DeadlineExceeded); err != nil {
			return err
		}
	}
	return nil
}

// submit appends beside the reading of further requests; appends to one stream keep their order.
func (b *batchCall) submit(p *batch) error {
	select {
	case b.slots <- struct{}{}:
	case <-b.call.Context().Done():
		return b.call.Context().Err()
	}
	before := b.tails[p.stream]
	if len(b.tails) > maxPending {
		clear(b.tails) // only ever a hint about order among those in flight; wait for all of them
		b.writing.Wait()
		before = nil
	}
	done := make(chan struct{})
	b.tails[p.stream] = done
	b.writing.Go(func() {
		defer func() { close(done); <-b.slots }()
		ctx, cancel := context.WithDeadline(b.call.Context(), p.deadline)
		defer cancel()
		if before != nil {
			<-before
		}
		got, err := b.node.store.Append(ctx, p.stream, p.expected, p.events)
		if err != nil {
			_ = b.refuse(p, err) // the call is gone
			return
		}
		_ = b.answer(&streams.BatchAppendResp{CorrelationId: p.correlation, StreamIdentifier: streamID(p.stream),
			Result: &streams.BatchAppendResp_Success_{Success: batchSuccess(got)}})
	})
	return nil
}

func (b *batchCall) answer(resp *streams.BatchAppendResp) error {
	b.send.Lock()
	defer b.send.Unlock()
	return b.call.Send(resp)
}

func (b *batchCall) refuse(p *batch, err error) error {
	return b.answer(&streams.BatchAppendResp{CorrelationId: p.correlation, StreamIdentifier: streamID(p.stream),
		Result: &streams.BatchAppendResp_Error{Error: batchStatus(p, err)}})
}

func batchSuccess(a eventlog.Appended) *streams.BatchAppendResp_Success {
	s := &streams.BatchAppendResp_Success{}
	if a.Revision < 0 {
		s.CurrentRevisionOption = &streams.BatchAppendResp_Success_NoStream{NoStream: &emptypb.Empty{}}
	} else {
		s.CurrentRevisionOption = &streams.BatchAppendResp_Success_CurrentRevision{CurrentRevision: uint64(a.Revision)}
	}
	if a.Position <= 0 {
		s.PositionOption = &streams.BatchAppendResp_Success_NoPosition{NoPosition: &emptypb.Empty{}}
	} else {
		p := uint64(a.Position)
		s.PositionOption = &streams.BatchAppendResp_Success_Position{Position: &shared.AllStreamPosition{CommitPosition: p, PreparePosition: p}}
	}
	return s
}

// batchStatus tells a failure in an answer. Its details hold one message, typed for the client.
func batchStatus(p *batch, err error) *spb.Status {
	var (
		wrong   *eventlog.WrongVersion
		deleted *eventlog.StreamDeleted
	)
	switch {
	case errors.As(err, &wrong):
		return detailed(codes.AlreadyExists, "WrongExpectedVersion", batchWrongVersion(p.expected, wrong.Current))
	case errors.As(err, &deleted):
		return detailed(codes.NotFound, "StreamDeleted", &shared.StreamDeleted{StreamIdentifier: streamID(p.stream)})
	case errors.Is(err, context.DeadlineExceeded):
		return detailed(codes.DeadlineExceeded, "Timeout", &shared.Timeout{})
	}
	f := asFault(err)
	switch {
	case f.code == codes.PermissionDenied:
		return detailed(codes.PermissionDenied, "AccessDenied", &shared.AccessDenied{})
	case f.oversize != nil && f.oversize.event:
		return &spb.Status{Code: int32(codes.InvalidArgument), Message: "MaximumAppendEventSizeExceeded", Details: []*anypb.Any{eventSizeDetail(f.oversize)}}
	case f.oversize != nil:
		return detailed(codes.InvalidArgument, "MaximumAppendSizeExceeded", &shared.MaximumAppendSizeExceeded{MaxAppendSize: uint32(f.oversize.limit)})
	}
	if f.code == codes.InvalidArgument {
		return detailed(codes.InvalidArgument, "BadRequest", &shared.BadRequest{Message: f.text})
	}
	return detailed(codes.Unknown, "Unknown", &shared.Unknown{})
}

func detailed(code codes.Code, text string, detail proto.Message) *spb.Status {
	packed, err := anypb.New(detail)
	if err != nil {
		return &spb.Status{Code: int32(code), Message: text}
	}
	return &spb.Status{Code: int32(code), Message: text, Details: []*anypb.Any{packed}}
}

// eventSizeDetail packs a message that the client's protocol files lack: {1 event id, 2 size, 3 limit}.
func eventSizeDetail(e *oversize) *anypb.Any {
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), uuidText(e.id))
	b = protowire.AppendVarint(protowire.AppendTag(b, 2, protowire.VarintType), uint64(e.size))
	b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.VarintType), uint64(e.limit))
	return &anypb.Any{TypeUrl: "type.googleapis.com/event_store.client.MaximumAppendEventSizeExceeded", Value: b}
}

func batchWrongVersion(expected, current int64) *shared.WrongExpectedVersion {
	w := &shared.WrongExpectedVersion{}
	switch expected {
	case eventlog.Any:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedAny{ExpectedAny: &emptypb.Empty{}}
	case eventlog.StreamExists:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &emptypb.Empty{}}
	case eventlog.NoStream:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &emptypb.Empty{}}
	default:
		w.ExpectedStreamPositionOption = &shared.WrongExpectedVersion_ExpectedStreamPosition{ExpectedStreamPosition: uint64(expected)}
	}
	if current < 0 {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &emptypb.Empty{}}
	} else {
		w.CurrentStreamRevisionOption = &shared.WrongExpectedVersion_CurrentStreamRevision{CurrentStreamRevision: uint64(current)}
	}
	return w
}
