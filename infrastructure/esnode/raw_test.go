package esnode

import (
	"errors"
	"fmt"
	"google.golang.org/protobuf/encoding/protowire"
	"io"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What the official client never sends is sent through its generated stubs.

func (r *rig) streams() streams.StreamsClient { return streams.NewStreamsClient(r.conn) }

func (r *rig) persistent() persistent.PersistentSubscriptionsClient {
	return persistent.NewPersistentSubscriptionsClient(r.conn)
}

func textID() *shared.UUID {
	return &shared.UUID{Value: &shared.UUID_String_{String_: uuid.NewString()}}
}

func proposedMessage(change ...func(*streams.AppendReq_ProposedMessage)) *streams.AppendReq_ProposedMessage {
	m := &streams.AppendReq_ProposedMessage{Id: textID(), Metadata: map[string]string{"type": "t", "content-type": contentJSON}, Data: []byte("{}")}
	for _, f := range change {
		f(m)
	}
	return m
}

func appendOptions(stream string, change ...func(*streams.AppendReq_Options)) *streams.AppendReq_Options {
	o := &streams.AppendReq_Options{StreamIdentifier: streamID(stream), ExpectedStreamRevision: &streams.AppendReq_Options_Any{Any: &shared.Empty{}}}
	for _, f := range change {
		f(o)
	}
	return o
}

// rawAppend sends the given requests; trailers are those of the call.
func (r *rig) rawAppend(o *streams.AppendReq_Options, messages ...*streams.AppendReq_ProposedMessage) (*streams.AppendResp, metadata.MD, error) {
	r.Helper()
	var trailers metadata.MD
	call, err := r.streams().Append(r.ctx, grpc.Trailer(&trailers))
	r.must(err)
	requests := []*streams.AppendReq{}
	if o != nil {
		requests = append(requests, &streams.AppendReq{Content: &streams.AppendReq_Options_{Options: o}})
	}
	for _, m := range messages {
		requests = append(requests, &streams.AppendReq{Content: &streams.AppendReq_ProposedMessage_{ProposedMessage: m}})
	}
	for _, req := range requests {
		if err := call.Send(req); err != nil {
			r.Fatalf("the call ended before the request did: %v", err)
		}
	}
	resp, err := call.CloseAndRecv()
	return resp, trailers, err
}

// readOptions reads a stream forwards from its start, ten events.
func readOptions(stream string, change ...func(*streams.ReadReq_Options)) *streams.ReadReq_Options {
	o := &streams.ReadReq_Options{
		StreamOption: &streams.ReadReq_Options_Stream{Stream: &streams.ReadReq_Options_StreamOptions{
			StreamIdentifier: streamID(stream), RevisionOption: &streams.ReadReq_Options_StreamOptions_Start{Start: &shared.Empty{}}}},
		CountOption:  &streams.ReadReq_Options_Count{Count: 10},
		FilterOption: &streams.ReadReq_Options_NoFilter{NoFilter: &shared.Empty{}},
		UuidOption:   &streams.ReadReq_Options_UUIDOption{},
	}
	for _, f := range change {
		f(o)
	}
	return o
}

func fromAll(o *streams.ReadReq_Options) {
	o.StreamOption = &streams.ReadReq_Options_All{All: &streams.ReadReq_Options_AllOptions{AllOption: &streams.ReadReq_Options_AllOptions_Start{Start: &shared.Empty{}}}}
}

func fromRevision(n uint64) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_Revision{Revision: n}
	}
}

func fromTheEnd(o *streams.ReadReq_Options) {
	o.GetStream().RevisionOption = &streams.ReadReq_Options_StreamOptions_End{End: &shared.Empty{}}
}

func backwards(o *streams.ReadReq_Options) { o.ReadDirection = streams.ReadReq_Options_Backwards }

func count(n uint64) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) { o.CountOption = &streams.ReadReq_Options_Count{Count: n} }
}

func subscribing(o *streams.ReadReq_Options) {
	o.CountOption = &streams.ReadReq_Options_Subscription{Subscription: &streams.ReadReq_Options_SubscriptionOptions{}}
}

func compatible(o *streams.ReadReq_Options) {
	o.ControlOption = &streams.ReadReq_Options_ControlOption{Compatibility: 1}
}

func filtered(regex string, window, multiplier uint32, prefixes ...string) func(*streams.ReadReq_Options) {
	return func(o *streams.ReadReq_Options) {
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			Filter:                       &streams.ReadReq_Options_FilterOptions_EventType{EventType: &streams.ReadReq_Options_FilterOptions_Expression{Regex: regex, Prefix: prefixes}},
			Window:                       &streams.ReadReq_Options_FilterOptions_Max{Max: window},
			CheckpointIntervalMultiplier: multiplier,
		}}
	}
}

// rawRead has all responses of a read.
func (r *rig) rawRead(o *streams.ReadReq_Options) ([]*streams.ReadResp, metadata.MD, error) {
	r.Helper()
	call, err := r.streams().Read(r.ctx, &streams.ReadReq{Options: o})
	r.must(err)
	var all []*streams.ReadResp
	for {
		resp, err := call.Recv()
		if errors.Is(err, io.EOF) {
			return all, call.Trailer(), nil
		} else if err != nil {
			return all, call.Trailer(), err
		}
		all = append(all, resp)
	}
}

// first is a trailer's only value.
func first(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) == 1 {
		return v[0]
	}
	return ""
}

func statusOf(err error) codes.Code { return status.Code(err) }

// caughtUpFields writes the field that tells where a subscription caught up: "2:" a revision, or "3:" a
// position. The time stamp has to be there as well.
func caughtUpFields(t *testing.T, b []byte) (out string) {
	t.Helper()
	stamped := false
	for len(b) > 0 {
		field, kind, n := protowire.ConsumeTag(b)
		b = b[n:]
		n = protowire.ConsumeFieldValue(field, kind, b)
		switch field {
		case 1:
			stamped = true
		case 2:
			v, _ := protowire.ConsumeVarint(b)
			out = fmt.Sprintf("2:%d", v)
		case 3:
			inner, _ := protowire.ConsumeBytes(b)
			_, _, skip := protowire.ConsumeTag(inner)
			v, _ := protowire.ConsumeVarint(inner[skip:])
			out = fmt.Sprintf("3:%d", v)
		}
		b = b[n:]
	}
	if !stamped {
		t.Error("caught up without a time")
	}
	return out
}
