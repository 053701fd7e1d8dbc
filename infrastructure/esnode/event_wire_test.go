package esnode

import (
	"strconv"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

func someEvent(t *rapid.T, name string) *eventlog.Event {
	id := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 127, 128, 255}), 16, 16).Draw(t, name+" id")
	return &eventlog.Event{
		ID: [16]byte(id), Stream: rapid.StringN(1, -1, -1).Draw(t, name+" stream"), Type: rapid.String().Draw(t, name+" type"),
		Revision: rapid.SampledFrom([]int64{0, 1, 127, 128, eventlog.Tombstone}).Draw(t, name+" revision"), Position: rapid.Int64Min(1).Draw(t, name+" position"),
		JSON: rapid.Bool().Draw(t, name+" json"), Created: rapid.Int64().Draw(t, name+" created"),
		Data: rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, name+" data"), Metadata: rapid.SliceOf(rapid.Byte()).Draw(t, name+" metadata"),
	}
}

// generatedRead is what readResp means, in the generated types.
func generatedRead(r eventlog.Resolved, text bool) *streams.ReadResp {
	event := func(e *eventlog.Event) *streams.ReadResp_ReadEvent_RecordedEvent {
		if e == nil {
			return nil
		}
		return &streams.ReadResp_ReadEvent_RecordedEvent{
			Id: writeUUID(e.ID, text), StreamIdentifier: streamID(e.Stream), StreamRevision: uint64(e.Revision),
			PreparePosition: uint64(e.Position), CommitPosition: uint64(e.Position), Metadata: generatedMetadata(e), CustomMetadata: e.Metadata, Data: e.Data,
		}
	}
	return &streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
		Event: event(r.Event), Link: event(r.Link),
		Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: uint64(r.Original().Position)},
	}}}
}

func generatedMetadata(e *eventlog.Event) map[string]string {
	return map[string]string{"type": e.Type, "created": strconv.FormatInt(e.Created, 10), "content-type": contentType(e)}
}

// generatedDelivery is what deliveryResp means.
func generatedDelivery(r eventlog.Resolved, retries int, text bool) *persistent.ReadResp {
	at := uint64(r.Original().Position)
	event := func(e *eventlog.Event) *persistent.ReadResp_ReadEvent_RecordedEvent {
		if e == nil {
			return nil
		}
		return &persistent.ReadResp_ReadEvent_RecordedEvent{
			Id: writeUUID(e.ID, text), StreamIdentifier: streamID(e.Stream), StreamRevision: uint64(e.Revision),
			PreparePosition: at, CommitPosition: at, Metadata: generatedMetadata(e), CustomMetadata: e.Metadata, Data: e.Data,
		}
	}
	return &persistent.ReadResp{Content: &persistent.ReadResp_Event{Event: &persistent.ReadResp_ReadEvent{
		Event: event(r.Event), Link: event(r.Link),
		Position: &persistent.ReadResp_ReadEvent_CommitPosition{CommitPosition: at},
		Count:    &persistent.ReadResp_ReadEvent_RetryCount{RetryCount: int32(retries)},
	}}}
}

func TestEventsWrittenByHandAreWhatTheGeneratedTypesWrite(t *testing.T) {
	writers := map[bool]*eventWriter{false: {}, true: {text: true}} // kept, as in a call
	rapid.Check(t, func(t *rapid.T) {
		w := writers[rapid.Bool().Draw(t, "text")]
		var r eventlog.Resolved
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			r.Event = someEvent(t, "event")
		case 1:
			r.Event, r.Link = someEvent(t, "event"), someEvent(t, "link")
		case 2: // a link whose target is gone
			r.Link = someEvent(t, "link")
		}
		retries := rapid.IntRange(0, 300).Draw(t, "retries")
		same(t, w.readResp(r), generatedRead(r, w.text), &streams.ReadResp{})
		delivery := groups.Delivery{Retries: retries, Message: &groups.Message{Event: r}}
		same(t, w.deliveryResp(delivery), generatedDelivery(r, retries, w.text), &persistent.ReadResp{})
	})
}

// same holds that written reads like want.
func same(t *rapid.T, written, want, read proto.Message) {
	text, err := proto.Marshal(written)
	if err != nil {
		t.Fatal(err)
	}
	if err := proto.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(read, want) {
		t.Errorf("written %v, want %v", read, want)
	}
	if size := proto.Size(want); len(text) != size {
		t.Errorf("%d bytes, want %d", len(text), size)
	}
}
