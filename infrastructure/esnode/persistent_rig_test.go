package esnode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// group creates a group on a stream, from its start unless changed.
func (r *rig) group(stream, name string, change ...func(*esdb.PersistentStreamSubscriptionOptions)) {
	r.Helper()
	settings := esdb.SubscriptionSettingsDefault()
	o := esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings}
	for _, f := range change {
		f(&o)
	}
	r.must(r.client.CreatePersistentSubscription(r.ctx, stream, name, o))
}

func (r *rig) groupOnAll(name string, change ...func(*esdb.PersistentAllSubscriptionOptions)) {
	r.Helper()
	settings := esdb.SubscriptionSettingsDefault()
	o := esdb.PersistentAllSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings}
	for _, f := range change {
		f(&o)
	}
	r.must(r.client.CreatePersistentSubscriptionToAll(r.ctx, name, o))
}

func (r *rig) consume(stream, group string, buffer uint32) *esdb.PersistentSubscription {
	r.Helper()
	o := esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	var sub *esdb.PersistentSubscription
	var err error
	if stream == allStream {
		sub, err = r.client.SubscribeToPersistentSubscriptionToAll(r.ctx, group, o)
	} else {
		sub, err = r.client.SubscribeToPersistentSubscription(r.ctx, stream, group, o)
	}
	r.must(err)
	r.Cleanup(func() { sub.Close() })
	return sub
}

func (r *rig) info(stream, group string) *esdb.PersistentSubscriptionInfo {
	r.Helper()
	var info *esdb.PersistentSubscriptionInfo
	var err error
	if stream == allStream {
		info, err = r.client.GetPersistentSubscriptionInfoToAll(r.ctx, group, esdb.GetPersistentSubscriptionOptions{})
	} else {
		info, err = r.client.GetPersistentSubscriptionInfo(r.ctx, stream, group, esdb.GetPersistentSubscriptionOptions{})
	}
	r.must(err)
	return info
}

// wireInfo is the info as sent.
func (r *rig) wireInfo(stream, group string) *persistent.SubscriptionInfo {
	r.Helper()
	o := &persistent.GetInfoReq_Options{GroupName: group, StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: streamID(stream)}}
	resp, err := r.persistent().GetInfo(r.ctx, &persistent.GetInfoReq{Options: o})
	r.must(err)
	return resp.GetSubscriptionInfo()
}

func delivered(t *testing.T, sub *esdb.PersistentSubscription) *esdb.EventAppeared {
	t.Helper()
	e := sub.Recv()
	if e.SubscriptionDropped != nil {
		t.Fatalf("dropped: %v", e.SubscriptionDropped.Error)
	}
	return e.EventAppeared
}

// got receives n deliveries, acknowledges them if told to, and writes them as revision#retries.
func got(t *testing.T, sub *esdb.PersistentSubscription, n int, ack bool) string {
	t.Helper()
	var out []string
	for range n {
		e := delivered(t, sub)
		text := fmt.Sprint(e.Event.OriginalEvent().EventNumber)
		if e.RetryCount > 0 {
			text += fmt.Sprintf("#%d", e.RetryCount)
		}
		out = append(out, text)
		if ack {
			if err := sub.Ack(e.Event); err != nil {
				t.Fatal(err)
			}
		}
	}
	return strings.Join(out, " ")
}

// rawConsumer is a consumer as the Node clients are: ids as text, acknowledgements without the id of
// the subscription.
type rawConsumer struct {
	*rig
	call persistent.PersistentSubscriptions_ReadClient
	id   string
}

func (r *rig) rawConsume(stream, group string, size int32) (*rawConsumer, error) {
	r.Helper()
	call, err := r.persistent().Read(r.ctx)
	r.must(err)
	o := &persistent.ReadReq_Options{GroupName: group, BufferSize: size,
		StreamOption: &persistent.ReadReq_Options_StreamIdentifier{StreamIdentifier: streamID(stream)},
		UuidOption:   &persistent.ReadReq_Options_UUIDOption{Content: &persistent.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}}}
	r.must(call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Options_{Options: o}}))
	c := &rawConsumer{rig: r, call: call}
	resp, err := call.Recv()
	c.id = resp.GetSubscriptionConfirmation().GetSubscriptionId()
	return c, err
}

func (c *rawConsumer) event() *persistent.ReadResp_ReadEvent {
	c.Helper()
	resp, err := c.call.Recv()
	c.must(err)
	return resp.GetEvent()
}

func (c *rawConsumer) ack(ids ...*shared.UUID) {
	c.Helper()
	c.must(c.call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{Ids: ids}}}))
}

func (c *rawConsumer) nack(action persistent.ReadReq_Nack_Action, ids ...*shared.UUID) {
	c.Helper()
	c.must(c.call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{Ids: ids, Action: action, Reason: "because"}}}))
}

// settings as both Node clients send them.
func wireSettings(change ...func(*persistent.CreateReq_Settings)) *persistent.CreateReq_Settings {
	s := &persistent.CreateReq_Settings{
		MessageTimeout: &persistent.CreateReq_Settings_MessageTimeoutMs{MessageTimeoutMs: 30000}, MaxRetryCount: 10,
		CheckpointAfter: &persistent.CreateReq_Settings_CheckpointAfterMs{CheckpointAfterMs: 2000}, MinCheckpointCount: 10, MaxCheckpointCount: 1000,
		LiveBufferSize: 500, ReadBatchSize: 20, HistoryBufferSize: 500, NamedConsumerStrategy: persistent.CreateReq_RoundRobin,
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func (r *rig) rawCreate(o *persistent.CreateReq_Options) (metadata.MD, error) {
	var trailers metadata.MD
	_, err := r.persistent().Create(r.ctx, &persistent.CreateReq{Options: o}, grpc.Trailer(&trailers))
	return trailers, err
}
