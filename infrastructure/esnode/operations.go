package esnode

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/protocol"
)

type (
	// operationService has what operators ask of a server.
	operationService struct {
		protocol.UnimplementedOperationsServer
		node *Node

		mu      sync.Mutex
		current string // id of the running scavenge
		cancel  context.CancelFunc
	}

	monitoringService struct {
		protocol.UnimplementedMonitoringServer
		node *Node
	}
)

// StartScavenge implements protocol.OperationsServer. One runs at a time.
func (s *operationService) StartScavenge(context.Context, *protocol.StartScavengeReq) (*protocol.ScavengeResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node.life.Err() != nil {
		return nil, errStopping
	}
	if s.current != "" {
		return &protocol.ScavengeResp{ScavengeId: s.current, ScavengeResult: protocol.ScavengeResp_InProgress}, nil
	}
	ctx, cancel := context.WithCancel(s.node.life)
	id := uuid.NewString()
	s.current, s.cancel = id, cancel
	s.node.running.Go(func() {
		defer cancel()
		result, err := s.node.store.Scavenge(ctx)
		if err != nil {
			s.node.log.Error("the scavenge ended early", "scavenge_id", id, "error", err)
		} else {
			s.node.log.Info("the scavenge is done", "scavenge_id", id, "events", result.Events, "bytes", result.Bytes)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.current = ""
	})
	return &protocol.ScavengeResp{ScavengeId: id, ScavengeResult: protocol.ScavengeResp_Started}, nil
}

// StopScavenge implements protocol.OperationsServer.
func (s *operationService) StopScavenge(_ context.Context, req *protocol.StopScavengeReq) (*protocol.ScavengeResp, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := req.GetOptions().GetScavengeId()
	if id == "" || id != s.current {
		return nil, &fault{code: codes.NotFound, text: "Scavenge not found.",
			trailers: []string{"exception", "scavenge-not-found", "scavenge-id", id}}
	}
	s.cancel()
	return &protocol.ScavengeResp{ScavengeId: id, ScavengeResult: protocol.ScavengeResp_Stopped}, nil
}

// Shutdown implements protocol.OperationsServer, if whoever runs the node allows it.
func (s *operationService) Shutdown(context.Context, *shared.Empty) (*shared.Empty, error) {
	if s.node.options.Shutdown == nil {
		return nil, &fault{code: codes.Unimplemented, text: "the node is part of a larger process and is stopped with it"}
	}
	s.node.running.Go(s.node.options.Shutdown)
	return &shared.Empty{}, nil
}

// MergeIndexes implements protocol.OperationsServer: the log's indexes need no merging.
func (s *operationService) MergeIndexes(context.Context, *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, nil
}

// ResignNode implements protocol.OperationsServer: a single node has nobody to resign to.
func (s *operationService) ResignNode(context.Context, *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, nil
}

// SetNodePriority implements protocol.OperationsServer: a single node is always elected.
func (s *operationService) SetNodePriority(context.Context, *protocol.SetNodePriorityReq) (*shared.Empty, error) {
	return &shared.Empty{}, nil
}

// RestartPersistentSubscriptions implements protocol.OperationsServer.
func (s *operationService) RestartPersistentSubscriptions(context.Context, *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, s.node.groups.restart()
}

// Stats implements protocol.MonitoringServer: once at once, then every period.
func (s *monitoringService) Stats(req *protocol.StatsReq, call grpc.ServerStreamingServer[protocol.StatsResp]) error {
	const hour = uint64(time.Hour / time.Millisecond)
	period := time.Duration(min(max(req.GetRefreshTimePeriodInMs(), 100), hour)) * time.Millisecond
	every := time.NewTicker(period)
	defer every.Stop()
	for {
		if err := call.Send(&protocol.StatsResp{Stats: s.node.stats()}); err != nil {
			return err
		}
		select {
		case <-every.C:
		case <-call.Context().Done():
			return call.Context().Err()
		case <-s.node.life.Done():
			return errStopping
		}
	}
}

func (n *Node) stats() map[string]string {
	s := n.store.Stats()
	all := map[string]string{"tidemark-commit-nanoseconds": strconv.FormatInt(int64(s.CommitTime), 10)}
	for name, v := range map[string]int64{
		"head": s.Head, "events": s.Events, "streams": s.Streams, "file-bytes": s.FileBytes, "wal-bytes": s.WALBytes,
		"appends": s.Appends, "written": s.Written, "repeats": s.Repeats, "conflicts": s.Conflicts, "commits": s.Commits,
		"queued": int64(s.Queued), "readers": int64(s.Readers), "groups": int64(len(n.groups.list())),
	} {
		all["tidemark-"+name] = strconv.FormatInt(v, 10)
	}
	return all
}
