package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// Delete implements streams.StreamsServer: the soft delete, undone by the next append. A wrong
// expected version is a status here, not an answer as in Append.
func (n *Node) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	stream, err := writableStream(o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	var expected int64
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.DeleteReq_Options_Revision:
		expected, err = number(e.Revision)
	case *streams.DeleteReq_Options_NoStream:
		expected = eventlog.NoStream
	case *streams.DeleteReq_Options_Any:
		expected = eventlog.Any
	case *streams.DeleteReq_Options_StreamExists:
		expected = eventlog.StreamExists
	default:
		err = invalid("the expected revision is missing")
	}
	if err != nil {
		return nil, err
	}
	at, err := n.store.Delete(ctx, stream, expected)
	if err != nil {
		return nil, err
	}
	if at <= 0 {
		return &streams.DeleteResp{PositionOption: &streams.DeleteResp_NoPosition{NoPosition: &shared.Empty{}}}, nil
	}
	p := uint64(at)
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: p, PreparePosition: p}}}, nil
}

// Tombstone implements streams.StreamsServer: the stream is gone for good.
func (n *Node) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	stream, err := writableStream(o.GetStreamIdentifier())
	if err != nil {
		return nil, err
	}
	var expected int64
	switch e := o.GetExpectedStreamRevision().(type) {
	case *streams.TombstoneReq_Options_Revision:
		expected, err = number(e.Revision)
	case *streams.TombstoneReq_Options_NoStream:
		expected = eventlog.NoStream
	case *streams.TombstoneReq_Options_Any:
		expected = eventlog.Any
	case *streams.TombstoneReq_Options_StreamExists:
		expected = eventlog.StreamExists
	default:
		err = invalid("the expected revision is missing")
	}
	if err != nil {
		return nil, err
	}
	at, err := n.store.Tombstone(ctx, stream, expected)
	if err != nil {
		return nil, err
	}
	if at <= 0 {
		return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_NoPosition{NoPosition: &shared.Empty{}}}, nil
	}
	p := uint64(at)
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: p, PreparePosition: p}}}, nil
}
