package esnode

import (
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

func TestBuiltInProjectionsAreRunByTheOfficialClient(t *testing.T) {
	r := start(t)
	r.append("order-1", events(2)...)
	client := esdb.NewProjectionClientFromExistingClient(r.client)
	status := func(name string) *esdb.ProjectionStatus {
		t.Helper()
		s, err := client.GetStatus(r.ctx, name, esdb.GenericProjectionOptions{})
		r.must(err)
		return s
	}
	if s := status(eventlog.ByCategory); s.Status != "Stopped" || s.Mode != "Continuous" {
		t.Errorf("at first: %+v", s)
	}
	all, err := client.ListAll(r.ctx, esdb.GenericProjectionOptions{})
	if r.must(err); len(all) != 5 {
		t.Errorf("%d projections, want the five built-in ones", len(all))
	}
	r.must(client.Enable(r.ctx, eventlog.ByCategory, esdb.GenericProjectionOptions{}))
	eventually(t, "it runs and has caught up", func() bool {
		s := status(eventlog.ByCategory)
		return s.Status == "Running" && s.Progress == 100
	})
	linked, err := r.read("$ce-order", esdb.ReadStreamOptions{ResolveLinkTos: true}, 10)
	if r.must(err); len(linked) != 2 || linked[1].Event.StreamID != "order-1" {
		t.Errorf("the category has %v", linked)
	}
	state, err := client.GetState(r.ctx, eventlog.ByCategory, esdb.GetStateProjectionOptions{})
	if r.must(err); state.GetStructValue() == nil {
		t.Errorf("state %v, want an empty object", state)
	}
	result, err := client.GetResult(r.ctx, eventlog.ByCategory, esdb.GetResultProjectionOptions{})
	if r.must(err); result.GetStructValue() == nil {
		t.Errorf("result %v, want an empty object", result)
	}
	version := status(eventlog.ByCategory).Version
	r.must(client.Update(r.ctx, eventlog.ByCategory, "last\n-", esdb.UpdateProjectionOptions{}))
	r.append("a-b-1", events(1)...)
	eventually(t, "the separator is the last", func() bool {
		linked, err := r.read("$ce-a-b", esdb.ReadStreamOptions{}, 10)
		return err == nil && len(linked) == 1
	})
	r.must(client.Reset(r.ctx, eventlog.ByCategory, esdb.ResetProjectionOptions{}))
	r.must(client.Disable(r.ctx, eventlog.ByCategory, esdb.GenericProjectionOptions{}))
	if s := status(eventlog.ByCategory); s.Status != "Stopped" || s.Version != version+3 {
		t.Errorf("disabled: %+v, want three versions more than %d", s, version)
	}
	r.must(client.RestartSubsystem(r.ctx, esdb.GenericProjectionOptions{}))
}

// Section 9.4, with the codes of the 26 line.
func TestProjectionsAreRefused(t *testing.T) {
	r := start(t)
	client := projections.NewProjectionsClient(r.conn)
	keep := &projections.UpdateReq_Options_NoEmitOptions{NoEmitOptions: &shared.Empty{}}
	for name, test := range map[string]struct {
		call func() error
		want codes.Code
	}{
		"create": {func() error {
			_, err := client.Create(r.ctx, &projections.CreateReq{Options: &projections.CreateReq_Options{Query: "fromAll()"}})
			return err
		}, codes.Unimplemented},
		"update of none": {func() error {
			_, err := client.Update(r.ctx, &projections.UpdateReq{Options: &projections.UpdateReq_Options{Name: "none", EmitOption: keep}})
			return err
		}, codes.NotFound},
		"update without the emit option": {func() error {
			_, err := client.Update(r.ctx, &projections.UpdateReq{Options: &projections.UpdateReq_Options{Name: eventlog.ByCategory, Query: "first\n-"}})
			return err
		}, codes.InvalidArgument},
		"update to nonsense": {func() error {
			_, err := client.Update(r.ctx, &projections.UpdateReq{Options: &projections.UpdateReq_Options{Name: eventlog.ByCategory, Query: "middle\n-", EmitOption: keep}})
			return err
		}, codes.FailedPrecondition},
		"delete of none": {func() error {
			_, err := client.Delete(r.ctx, &projections.DeleteReq{Options: &projections.DeleteReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"delete of a built-in one": {func() error {
			_, err := client.Delete(r.ctx, &projections.DeleteReq{Options: &projections.DeleteReq_Options{Name: eventlog.ByCategory}})
			return err
		}, codes.FailedPrecondition},
		"enable none": {func() error {
			_, err := client.Enable(r.ctx, &projections.EnableReq{Options: &projections.EnableReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"disable none": {func() error {
			_, err := client.Disable(r.ctx, &projections.DisableReq{Options: &projections.DisableReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"reset none": {func() error {
			_, err := client.Reset(r.ctx, &projections.ResetReq{Options: &projections.ResetReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"state of none": {func() error {
			_, err := client.State(r.ctx, &projections.StateReq{Options: &projections.StateReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"result of none": {func() error {
			_, err := client.Result(r.ctx, &projections.ResultReq{Options: &projections.ResultReq_Options{Name: "none"}})
			return err
		}, codes.NotFound},
		"statistics of none": {func() error {
			call, err := client.Statistics(r.ctx, &projections.StatisticsReq{Options: &projections.StatisticsReq_Options{Mode: &projections.StatisticsReq_Options_Name{Name: "none"}}})
			r.must(err)
			_, err = call.Recv()
			return err
		}, codes.NotFound},
	} {
		if err := test.call(); statusOf(err) != test.want {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
