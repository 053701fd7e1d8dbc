package esnode

import (
	"context"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
)

type (
	featureService struct {
		serverfeatures.UnimplementedServerFeaturesServer
	}

	gossipService struct {
		gossip.UnimplementedGossipServer
		node *Node
	}
)

// supported lists what is implemented and nothing else: clients choose their calls by it. Names are
// lower-case, or clients don't find them.
var supported = []struct {
	service  string
	features []string
	methods  []string
}{
	{"event_store.client.streams.streams", []string{"position", "events"}, []string{"read"}},
	{"event_store.client.streams.streams", nil, []string{"append", "delete", "tombstone"}},
	{"event_store.client.streams.streams", []string{"deadline_duration"}, []string{"batchappend"}},
	{"event_store.client.persistent_subscriptions.persistentsubscriptions", []string{"stream", "all"},
		[]string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"}},
	{"event_store.client.projections.projections", nil,
		[]string{"update", "statistics", "disable", "enable", "reset", "state", "result", "restartsubsystem"}},
	{"event_store.client.operations.operations", nil,
		[]string{"startscavenge", "stopscavenge", "shutdown", "mergeindexes", "resignnode", "setnodepriority", "restartpersistentsubscriptions"}},
	{"event_store.client.gossip.gossip", nil, []string{"read"}},
	{"event_store.client.monitoring.monitoring", nil, []string{"stats"}},
	{"event_store.client.server_features.serverfeatures", nil, []string{"getsupportedmethods"}},
}

// GetSupportedMethods implements serverfeatures.ServerFeaturesServer.
func (featureService) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	answer := &serverfeatures.SupportedMethods{EventStoreServerVersion: version}
	for _, s := range supported {
		for _, m := range s.methods {
			answer.Methods = append(answer.Methods, &serverfeatures.SupportedMethod{MethodName: m, ServiceName: s.service, Features: s.features})
		}
	}
	return answer, nil
}

// Read implements gossip.GossipServer: a cluster of one, which always leads.
func (s *gossipService) Read(context.Context, *shared.Empty) (*gossip.ClusterInfo, error) {
	address := s.node.options.Advertise
	if address == "" && s.node.Addr() != nil {
		address = s.node.Addr().String()
	}
	host, port, err := splitAddress(address)
	if err != nil {
		return nil, err
	}
	return &gossip.ClusterInfo{Members: []*gossip.MemberInfo{{
		InstanceId:   writeUUID(s.node.instance, false),
		TimeStamp:    s.node.now().UnixNano() / 100,
		State:        gossip.MemberInfo_Leader,
		IsAlive:      true,
		HttpEndPoint: &gossip.EndPoint{Address: host, Port: port},
	}}}, nil
}
