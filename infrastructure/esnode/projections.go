package esnode

import (
	"context"
	"errors"
	"fmt"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// projectionService has the RPCs of the built-in projections. There is no JavaScript here, so none
// can be created.
type projectionService struct {
	projections.UnimplementedProjectionsServer
	node *Node
}

// Create implements projections.ProjectionsServer by refusing.
func (s *projectionService) Create(context.Context, *projections.CreateReq) (*projections.CreateResp, error) {
	return nil, &fault{code: codes.Unimplemented, text: "this node runs the built-in projections only; it has no JavaScript"}
}

// Update implements projections.ProjectionsServer: the query of $by_category and its like is a setting.
func (s *projectionService) Update(ctx context.Context, req *projections.UpdateReq) (*projections.UpdateResp, error) {
	o := req.GetOptions()
	if o.GetEmitOption() == nil {
		return nil, invalid("the emit option is missing")
	}
	return &projections.UpdateResp{}, named(o.GetName(), s.node.store.UpdateProjection(ctx, o.GetName(), o.GetQuery()))
}

// Delete implements projections.ProjectionsServer: the built-in ones can't be deleted.
func (s *projectionService) Delete(_ context.Context, req *projections.DeleteReq) (*projections.DeleteResp, error) {
	if _, err := s.find(req.GetOptions().GetName()); err != nil {
		return nil, err
	}
	return nil, &fault{code: codes.FailedPrecondition, text: "We currently don't allow for the deletion of System Projections."}
}

// Enable implements projections.ProjectionsServer.
func (s *projectionService) Enable(ctx context.Context, req *projections.EnableReq) (*projections.EnableResp, error) {
	name := req.GetOptions().GetName()
	return &projections.EnableResp{}, named(name, s.node.store.EnableProjection(ctx, name))
}

// Disable implements projections.ProjectionsServer. Position and streams are always stored together, so
// an abort is no different.
func (s *projectionService) Disable(ctx context.Context, req *projections.DisableReq) (*projections.DisableResp, error) {
	name := req.GetOptions().GetName()
	return &projections.DisableResp{}, named(name, s.node.store.DisableProjection(ctx, name))
}

// Reset implements projections.ProjectionsServer.
func (s *projectionService) Reset(ctx context.Context, req *projections.ResetReq) (*projections.ResetResp, error) {
	name := req.GetOptions().GetName()
	return &projections.ResetResp{}, named(name, s.node.store.ResetProjection(ctx, name))
}

// State implements projections.ProjectionsServer: the built-in projections have none.
func (s *projectionService) State(_ context.Context, req *projections.StateReq) (*projections.StateResp, error) {
	if _, err := s.find(req.GetOptions().GetName()); err != nil {
		return nil, err
	}
	return &projections.StateResp{State: structpb.NewStructValue(&structpb.Struct{})}, nil
}

// Result implements projections.ProjectionsServer: the built-in projections have none.
func (s *projectionService) Result(_ context.Context, req *projections.ResultReq) (*projections.ResultResp, error) {
	if _, err := s.find(req.GetOptions().GetName()); err != nil {
		return nil, err
	}
	return &projections.ResultResp{Result: structpb.NewStructValue(&structpb.Struct{})}, nil
}

// RestartSubsystem implements projections.ProjectionsServer: there is nothing beside the log to restart.
func (s *projectionService) RestartSubsystem(context.Context, *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, nil
}

// Statistics implements projections.ProjectionsServer. An unknown name is an error: the Go client
// panics on an empty answer.
func (s *projectionService) Statistics(req *projections.StatisticsReq, call projections.Projections_StatisticsServer) error {
	var found []eventlog.ProjectionState
	switch m := req.GetOptions().GetMode().(type) {
	case *projections.StatisticsReq_Options_Name:
		p, err := s.find(m.Name)
		if err != nil {
			return err
		}
		found = append(found, p)
	case *projections.StatisticsReq_Options_All, *projections.StatisticsReq_Options_Continuous:
		found = s.node.store.Projections()
	case *projections.StatisticsReq_Options_Transient, *projections.StatisticsReq_Options_OneTime:
	default:
		return invalid("it is missing which projections are meant")
	}
	head := s.node.store.Head()
	for _, p := range found {
		if err := call.Send(&projections.StatisticsResp{Details: details(p, head)}); err != nil {
			return err
		}
	}
	return nil
}

func (s *projectionService) find(name string) (eventlog.ProjectionState, error) {
	for _, p := range s.node.store.Projections() {
		if p.Name == name {
			return p, nil
		}
	}
	return eventlog.ProjectionState{}, projectionMissing(name)
}

func projectionMissing(name string) error {
	return &fault{code: codes.NotFound, text: fmt.Sprintf("Projection '%s' not found", name)}
}

func named(name string, err error) error {
	switch {
	case errors.Is(err, eventlog.ErrNoProjection):
		return projectionMissing(name)
	case errors.Is(err, eventlog.ErrInvalid):
		return &fault{code: codes.FailedPrecondition, text: err.Error()}
	}
	return err
}

func details(p eventlog.ProjectionState, head int64) *projections.StatisticsResp_Details {
	status := "Stopped"
	if p.Enabled {
		status = "Running"
	}
	progress := float32(100)
	if p.Position < head && !p.Live && head > 0 {
		progress = float32(float64(max(p.Position, 0)) / float64(head) * 100)
	}
	at := fmt.Sprintf("C:%d/P:%d", p.Position, p.Position)
	return &projections.StatisticsResp_Details{
		Name: p.Name, EffectiveName: p.Name, Status: status, Mode: "Continuous", Version: p.Version, Epoch: p.Epoch,
		Position: at, LastCheckpoint: at, Progress: progress, EventsProcessedAfterRestart: p.Emitted,
	}
}
