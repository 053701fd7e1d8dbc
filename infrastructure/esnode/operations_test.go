package esnode

import (
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/protocol"
)

func TestOperations(t *testing.T) {
	asked := make(chan struct{})
	r := start(t, func(o *Options) { o.Shutdown = func() { close(asked) } })
	client := protocol.NewOperationsClient(r.conn)
	r.append("s", events(5)...)
	begun, err := client.StartScavenge(r.ctx, &protocol.StartScavengeReq{})
	if r.must(err); begun.GetScavengeId() == "" || begun.GetScavengeResult() == protocol.ScavengeResp_Stopped {
		t.Errorf("scavenge: %v", begun)
	}
	var trailers metadata.MD
	_, err = client.StopScavenge(r.ctx, &protocol.StopScavengeReq{Options: &protocol.StopScavengeReq_Options{ScavengeId: "none"}}, grpc.Trailer(&trailers))
	if statusOf(err) != codes.NotFound || first(trailers, "exception") != "scavenge-not-found" || first(trailers, "scavenge-id") != "none" {
		t.Errorf("stopping none: %v %v", err, trailers)
	}
	r.group("s", "g")
	sub := r.consume("s", "g", 1)
	got(t, sub, 1, false)
	for name, call := range map[string]func() error{
		"merge":  func() error { _, err := client.MergeIndexes(r.ctx, &shared.Empty{}); return err },
		"resign": func() error { _, err := client.ResignNode(r.ctx, &shared.Empty{}); return err },
		"priority": func() error {
			_, err := client.SetNodePriority(r.ctx, &protocol.SetNodePriorityReq{Priority: 1})
			return err
		},
		"restart":  func() error { _, err := client.RestartPersistentSubscriptions(r.ctx, &shared.Empty{}); return err },
		"shutdown": func() error { _, err := client.Shutdown(r.ctx, &shared.Empty{}); return err },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e := sub.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("the restart left the consumer: %+v", e)
	}
	select {
	case <-asked:
	case <-time.After(patience):
		t.Error("nobody was asked to shut down")
	}
	r = start(t)
	if _, err := protocol.NewOperationsClient(r.conn).Shutdown(r.ctx, &shared.Empty{}); statusOf(err) != codes.Unimplemented {
		t.Errorf("a node that may not be shut down: %v", err)
	}
}

func TestStatsComeAtOnceAndEveryPeriod(t *testing.T) {
	r := start(t)
	r.append("s", events(2)...)
	call, err := protocol.NewMonitoringClient(r.conn).Stats(r.ctx, &protocol.StatsReq{RefreshTimePeriodInMs: 100})
	r.must(err)
	for range 2 {
		resp, err := call.Recv()
		r.must(err)
		if resp.GetStats()["tidemark-events"] == "" || !strings.ContainsAny(resp.GetStats()["tidemark-head"], "123456789") {
			t.Fatalf("stats %v", resp)
		}
	}
}
