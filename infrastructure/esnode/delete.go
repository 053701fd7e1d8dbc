package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
)

// Delete implements streams.StreamsServer: the soft delete, undone by the next append. A wrong
// expected version is a status here, not an answer as in Append.
func (n *Node) Delete(ctx context.Context, req *streams.DeleteReq) (*streams.DeleteResp, error) {
	o := req.GetOptions()
	t, err := readTarget(o, o.GetExpectedStreamRevision() != nil, o.GetRevision())
	if err != nil {
		return nil, err
	}
	at, err := n.store.Delete(ctx, t.stream, t.expected)
	if err != nil {
		return nil, err
	}
	return &streams.DeleteResp{PositionOption: &streams.DeleteResp_Position_{
		Position: &streams.DeleteResp_Position{CommitPosition: uint64(at), PreparePosition: uint64(at)}}}, nil
}

// Tombstone implements streams.StreamsServer: the stream is gone for good.
func (n *Node) Tombstone(ctx context.Context, req *streams.TombstoneReq) (*streams.TombstoneResp, error) {
	o := req.GetOptions()
	t, err := readTarget(o, o.GetExpectedStreamRevision() != nil, o.GetRevision())
	if err != nil {
		return nil, err
	}
	at, err := n.store.Tombstone(ctx, t.stream, t.expected)
	if err != nil {
		return nil, err
	}
	return &streams.TombstoneResp{PositionOption: &streams.TombstoneResp_Position_{
		Position: &streams.TombstoneResp_Position{CommitPosition: uint64(at), PreparePosition: uint64(at)}}}, nil
}
