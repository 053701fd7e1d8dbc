package baseline

import (
	"encoding/binary"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Read implements streams.StreamsServer for reads of a stream by count, forwards.
func (s *Server) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	options := req.GetOptions()
	_, counted := options.GetCountOption().(*streams.ReadReq_Options_Count)
	if options.GetStream() == nil || !counted || options.GetReadDirection() != streams.ReadReq_Options_Forwards {
		return status.Error(codes.Unimplemented, "the baseline reads streams, forwards, by count")
	}
	first := min(options.GetStream().GetRevision(), uint64(len(s.prepared)))
	last := first + min(options.GetCount(), uint64(len(s.prepared))-first)
	for _, answer := range s.prepared[first:last] {
		if err := call.Send(answer); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the answers to reads. They are encoded once, here: what was encoded stands in a message
// as a field it doesn't know, which sending copies as it is.
func prepare(count int, like Event) ([]*streams.ReadResp, error) {
	prepared := make([]*streams.ReadResp, count)
	for i := range prepared {
		id := uuid.New()
		position := uint64(i + 1)
		encoded, err := proto.Marshal(&streams.ReadResp{Content: &streams.ReadResp_Event{Event: &streams.ReadResp_ReadEvent{
			Position: &streams.ReadResp_ReadEvent_CommitPosition{CommitPosition: position},
			Event: &streams.ReadResp_ReadEvent_RecordedEvent{
				Id: &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
					MostSignificantBits: int64(binary.BigEndian.Uint64(id[:8])), LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:]))}}},
				StreamIdentifier: &shared.StreamIdentifier{StreamName: []byte(like.Stream)},
				StreamRevision:   uint64(i), PreparePosition: position, CommitPosition: position,
				Metadata:       map[string]string{"type": like.Type, "created": "17000000000000000", "content-type": "application/json"},
				CustomMetadata: like.Metadata, Data: like.Data,
			},
		}}})
		if err != nil {
			return nil, err
		}
		prepared[i] = &streams.ReadResp{}
		prepared[i].ProtoReflect().SetUnknown(encoded)
	}
	return prepared, nil
}
