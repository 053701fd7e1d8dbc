package esdb

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidemark-dev/tidemark/domain"
)

// guarded is a server that shows groups and lets nobody change them; one of them shares its events in a way that
// the client has no word for.
type guarded struct {
	persistent.UnimplementedPersistentSubscriptionsServer
}

// guardedFeatures says that it can all that the client asks for.
type guardedFeatures struct {
	serverfeatures.UnimplementedServerFeaturesServer
}

func (guardedFeatures) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.0", Methods: []*serverfeatures.SupportedMethod{{
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "update", Features: []string{"stream", "all"}}, {
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "create", Features: []string{"stream", "all"}}, {
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "getinfo", Features: []string{"stream", "all"}}, {
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "list", Features: []string{"stream", "all"}}, {
		ServiceName: "event_store.client.persistent_subscriptions.persistentsubscriptions", MethodName: "replayparked", Features: []string{"stream", "all"}}}}, nil
}

func (g *guarded) GetInfo(_ context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	strategy := "Pinned"
	if req.GetOptions().GetGroupName() == "correlated" {
		strategy = "PinnedByCorrelation"
	}
	return &persistent.GetInfoResp{SubscriptionInfo: &persistent.SubscriptionInfo{EventSource: "$all", GroupName: req.GetOptions().GetGroupName(), Status: "Live",
		StartFrom: "C:0/P:0", NamedConsumerStrategy: strategy, MessageTimeoutMilliseconds: 1000, MaxRetryCount: 10, MinCheckPointCount: 1, MaxCheckPointCount: 10,
		LiveBufferSize: 10, ReadBatchSize: 5, BufferSize: 10}}, nil
}

func denied(ctx context.Context) error {
	_ = grpc.SetTrailer(ctx, metadata.Pairs("exception", "access-denied")) // it fails on a finished call only
	return status.Error(codes.PermissionDenied, "access denied")
}

func (g *guarded) Update(ctx context.Context, _ *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	return nil, denied(ctx)
}

func (g *guarded) Create(ctx context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	if req.GetOptions().GetGroupName() == "halfway" {
		return nil, status.Error(codes.Unavailable, "gone")
	}
	return nil, denied(ctx)
}

func (g *guarded) Delete(ctx context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	if req.GetOptions().GetGroupName() == "halfway" {
		return &persistent.DeleteResp{}, nil
	}
	return nil, denied(ctx)
}

func (g *guarded) ReplayParked(ctx context.Context, _ *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	return nil, denied(ctx)
}

// openGuarded is a store over a guarded server.
func openGuarded(t *testing.T) *Store {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g, server := &guarded{}, grpc.NewServer()
	streams.RegisterStreamsServer(server, &stub{})
	serverfeatures.RegisterServerFeaturesServer(server, guardedFeatures{})
	persistent.RegisterPersistentSubscriptionsServer(server, g)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return open(t, listener.Addr().String(), Options{Patience: 300 * time.Millisecond, Backoff: 50 * time.Millisecond})
}

// A reset deletes the group before it makes it anew. If the store goes away in between, nobody may hear that
// nothing was done.
func TestAResetThatEndsHalfwaySaysSo(t *testing.T) {
	store := openGuarded(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := store.Reset(ctx, domain.Group{Name: "halfway", Prefixes: []string{"order-"}}, domain.From{End: true})
	if failure, ok := errors.AsType[*domain.Error](err); !ok || failure.Kind != domain.KindUnknown || !strings.Contains(failure.Message, "halfway") {
		t.Errorf("%v", err)
	}
}

// A user without the right to change groups is told so, and not that the store is away; and a strategy that the
// client can't write is refused before it is asked to.
func TestGroupsThatMayNotBeChanged(t *testing.T) {
	store, ctx := openGuarded(t), t.Context()
	group := domain.Group{Name: "g", Prefixes: []string{"order-"}}
	for name, err := range map[string]error{
		"update": store.Update(ctx, "g", domain.GroupChange{MaxRetryCount: new(int64(3))}), "create": store.Create(ctx, group, domain.From{}), "delete": store.Delete(ctx, "g"),
		"reset": store.Reset(ctx, group, domain.From{}), "replay": store.ReplayParked(ctx, "g", 0),
	} {
		if domain.KindOf(err) != domain.KindForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := store.Update(ctx, "correlated", domain.GroupChange{MaxRetryCount: new(int64(3))}); domain.CodeOf(err) != "strategy_unsupported" {
		t.Errorf("a strategy that can't be kept: %v", err)
	}
	if err := store.Update(ctx, "correlated", domain.GroupChange{ConsumerStrategy: new("Pinned")}); domain.KindOf(err) != domain.KindForbidden {
		t.Errorf("another strategy: %v", err)
	}
	if info, err := store.Info(ctx, "correlated"); err != nil || info.Settings.ConsumerStrategy != "PinnedByCorrelation" {
		t.Errorf("%+v, %v", info, err)
	}
}
