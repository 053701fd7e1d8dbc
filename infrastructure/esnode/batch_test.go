package esnode

import (
	"fmt"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

type batchRig struct {
	*rig
	call streams.Streams_BatchAppendClient
}

func startBatch(t *testing.T, change ...func(*Options)) *batchRig {
	t.Helper()
	r := start(t, change...)
	call, err := r.streams().BatchAppend(r.ctx)
	r.must(err)
	return &batchRig{r, call}
}

func batchOptions(stream string, change ...func(*streams.BatchAppendReq_Options)) *streams.BatchAppendReq_Options {
	o := &streams.BatchAppendReq_Options{StreamIdentifier: streamID(stream), ExpectedStreamPosition: &streams.BatchAppendReq_Options_Any{Any: &emptypb.Empty{}}}
	for _, f := range change {
		f(o)
	}
	return o
}

func batchMessages(n int, data int) (all []*streams.BatchAppendReq_ProposedMessage) {
	for range n {
		all = append(all, &streams.BatchAppendReq_ProposedMessage{Id: textID(), Metadata: map[string]string{"type": "t", "content-type": contentJSON}, Data: make([]byte, data)})
	}
	return all
}

func (b *batchRig) send(id *shared.UUID, o *streams.BatchAppendReq_Options, final bool, messages []*streams.BatchAppendReq_ProposedMessage) {
	b.Helper()
	b.must(b.call.Send(&streams.BatchAppendReq{CorrelationId: id, Options: o, IsFinal: final, ProposedMessages: messages}))
}

func (b *batchRig) recv() *streams.BatchAppendResp {
	b.Helper()
	resp, err := b.call.Recv()
	b.must(err)
	return resp
}

func TestBatchAppendsAreToldApartAndKeepTheirOrder(t *testing.T) {
	b := startBatch(t)
	one, two := textID(), writeUUID([16]byte{7: 1, 9: 2}, false)
	b.send(one, batchOptions("a"), false, batchMessages(1, 2))
	b.send(textID(), nil, true, batchMessages(1, 2)) // of nothing: ignored
	b.send(two, batchOptions("b"), true, batchMessages(3, 2))
	if got := b.recv(); got.GetCorrelationId().GetStructured() == nil || got.GetSuccess().GetCurrentRevision() != 2 || got.GetSuccess().GetPosition().GetCommitPosition() == 0 {
		t.Fatalf("the second append answered %v", got)
	}
	b.send(one, nil, true, batchMessages(1, 2))
	got := b.recv()
	if got.GetCorrelationId().GetString_() != one.GetString_() || got.GetSuccess().GetCurrentRevision() != 1 || string(got.GetStreamIdentifier().GetStreamName()) != "a" {
		t.Fatalf("the first append answered %v", got)
	}
	// Many to one stream without waiting, each expecting the one before.
	const n = 200
	for i := range n {
		b.send(textID(), batchOptions("c", func(o *streams.BatchAppendReq_Options) {
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
			if i > 0 {
				o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: uint64(i - 1)}
			}
		}), true, batchMessages(1, 2))
	}
	b.must(b.call.CloseSend())
	for i := range n {
		if got := b.recv(); got.GetSuccess() == nil {
			t.Fatalf("append %d of one stream: %v", i, got.GetError())
		}
	}
	if _, err := b.call.Recv(); err == nil || err.Error() != "EOF" {
		t.Fatalf("behind the last answer: %v, want the end of the call", err)
	}
}

// Section 3, the table of failures.
func TestBatchFailuresAreAnswers(t *testing.T) {
	b := startBatch(t, func(o *Options) { o.MaxAppendSize, o.MaxEventSize = 1000, 600 })
	b.prepare("tombstoned", "gone")
	b.prepare("soft-deleted", "soft")
	b.prepare("written", "written")
	for _, test := range []struct {
		name     string
		options  *streams.BatchAppendReq_Options
		messages []*streams.BatchAppendReq_ProposedMessage
		code     codes.Code
		text     string
	}{
		{"wrong version", batchOptions("written", func(o *streams.BatchAppendReq_Options) {
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamPosition{StreamPosition: 7}
		}), batchMessages(1, 2), codes.AlreadyExists, "WrongExpectedVersion"},
		{"tombstoned", batchOptions("gone"), batchMessages(1, 2), codes.NotFound, "StreamDeleted"},
		{"exists, soft-deleted", batchOptions("soft", func(o *streams.BatchAppendReq_Options) {
			o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_StreamExists{StreamExists: &emptypb.Empty{}}
		}), batchMessages(1, 2), codes.NotFound, "StreamDeleted"},
		{"the whole log", batchOptions("$all"), batchMessages(1, 2), codes.PermissionDenied, "AccessDenied"},
		{"too late", batchOptions("late", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(0)}
		}), batchMessages(1, 2), codes.DeadlineExceeded, "Timeout"},
		{"too late by the clock", batchOptions("late", func(o *streams.BatchAppendReq_Options) {
			o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline_21_10_0{Deadline_21_10_0: timestamppb.New(time.Now().Add(-time.Second))}
		}), batchMessages(1, 2), codes.DeadlineExceeded, "Timeout"},
		{"append too large", batchOptions("large"), batchMessages(2, 550), codes.InvalidArgument, "MaximumAppendSizeExceeded"},
		{"event too large", batchOptions("large"), batchMessages(1, 601), codes.InvalidArgument, "MaximumAppendEventSizeExceeded"},
		{"no expectation", batchOptions("s", func(o *streams.BatchAppendReq_Options) { o.ExpectedStreamPosition = nil }), batchMessages(1, 2), codes.InvalidArgument, "BadRequest"},
		{"no name", batchOptions(""), batchMessages(1, 2), codes.InvalidArgument, "BadRequest"},
		{"no id", batchOptions("s"), []*streams.BatchAppendReq_ProposedMessage{{Metadata: map[string]string{"type": "t", "content-type": "x"}}}, codes.Unknown, "Unknown"},
	} {
		id := textID()
		b.send(id, test.options, true, test.messages)
		got := b.recv()
		e := got.GetError()
		if codes.Code(e.GetCode()) != test.code || e.GetMessage() != test.text || got.GetCorrelationId().GetString_() != id.GetString_() {
			t.Errorf("%s: answered %v", test.name, got)
			continue
		}
		if len(e.GetDetails()) != 1 || e.GetDetails()[0].GetTypeUrl() != "type.googleapis.com/event_store.client."+test.text {
			t.Errorf("%s: details %v", test.name, e.GetDetails())
		}
	}
	// The call is still open, and the version is told in the details.
	b.send(textID(), batchOptions("written", func(o *streams.BatchAppendReq_Options) {
		o.ExpectedStreamPosition = &streams.BatchAppendReq_Options_NoStream{NoStream: &emptypb.Empty{}}
	}), true, batchMessages(1, 2))
	var wrong shared.WrongExpectedVersion
	b.must(b.recv().GetError().GetDetails()[0].UnmarshalTo(&wrong))
	if wrong.GetCurrentStreamRevision() != 2 || wrong.GetExpectedNoStream() == nil {
		t.Errorf("details say %v", &wrong)
	}
}

func TestBatchThatIsNeverFinishedTimesOut(t *testing.T) {
	b := startBatch(t)
	b.send(textID(), batchOptions("a", func(o *streams.BatchAppendReq_Options) {
		o.DeadlineOption = &streams.BatchAppendReq_Options_Deadline{Deadline: durationpb.New(50 * time.Millisecond)}
	}), false, batchMessages(1, 2))
	if e := b.recv().GetError(); codes.Code(e.GetCode()) != codes.DeadlineExceeded {
		t.Fatalf("answered %v, want Timeout", e)
	}
	if _, err := b.read("a", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Fatalf("something was written: %v", err)
	}
}

func TestBatchesOfManyStreamsAreAnswered(t *testing.T) {
	t.Parallel()
	b := startBatch(t)
	const n = 3000
	go func() {
		for i := range n {
			_ = b.call.Send(&streams.BatchAppendReq{CorrelationId: textID(), Options: batchOptions(fmt.Sprintf("s-%d", i)), IsFinal: true, ProposedMessages: batchMessages(1, 2)})
		}
		_ = b.call.CloseSend()
	}()
	for range n {
		if e := b.recv().GetError(); e != nil {
			t.Fatal(e)
		}
	}
}
