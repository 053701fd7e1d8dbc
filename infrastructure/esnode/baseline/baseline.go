// Package baseline is for measuring only: a server that does as little as an EventStoreDB can do and
// still satisfy the official client. It answers appends after one sync of a file for all that wait, and
// reads from memory, so it shows what transport, client and disk leave to a node. It remembers nothing,
// checks nothing and shares no code with the node, whose defects it must not inherit.
package baseline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	version    = "24.10.0"
	maxMessage = 17 << 20 // bytes; what the clients take
)

// Event is what every event that the server streams looks like, but for its id and revision.
type Event struct {
	Stream, Type   string
	Data, Metadata []byte
}

// Server answers appends and reads. Use Start, then Close.
type Server struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer

	journal  *journal
	prepared []*streams.ReadResp
	grpc     *grpc.Server
	listener net.Listener
	running  sync.WaitGroup
}

// Start serves on a free port of the loopback until Close: appends go to the file at path, which it
// makes or overwrites, and every read finds one stream of count events like the given one.
func Start(path string, count int, like Event) (*Server, error) {
	prepared, err := prepare(count, like)
	if err != nil {
		return nil, fmt.Errorf("baseline: prepare events: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("baseline: listen: %w", err)
	}
	journal, err := openJournal(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("baseline: open the journal: %w", err), listener.Close())
	}
	s := &Server{journal: journal, prepared: prepared, listener: listener, grpc: grpc.NewServer(
		// As the node has it, so that both are measured over the same transport.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage), grpc.MaxConcurrentStreams(10_000), grpc.WaitForHandlers(true),
	)}
	streams.RegisterStreamsServer(s.grpc, s)
	serverfeatures.RegisterServerFeaturesServer(s.grpc, s)
	s.running.Go(journal.run)
	s.running.Go(func() { _ = s.grpc.Serve(listener) }) // ends with Close
	return s, nil
}

// Addr is the address listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close cuts all calls, waits for what the server started and closes its file, which stays.
func (s *Server) Close() error {
	s.grpc.Stop()
	s.journal.stop()
	s.running.Wait()
	return s.journal.file.Close()
}

// GetSupportedMethods implements serverfeatures.ServerFeaturesServer.
func (s *Server) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	const service = "event_store.client.streams.streams"
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: version, Methods: []*serverfeatures.SupportedMethod{
		{ServiceName: service, MethodName: "append"}, {ServiceName: service, MethodName: "read"},
	}}, nil
}
