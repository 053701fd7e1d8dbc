// Package esnode is the embedded node: the gRPC face of an EventStoreDB-compatible server over an
// eventlog.Log, made so that the official clients use it unchanged. One thin file serves one group of
// RPCs; the engine below knows nothing of gRPC, and nothing here knows of orders. docs/node.md lists
// what is supported and where it differs.
//
// The node authenticates nobody, like the original in insecure mode: it belongs on a loopback or
// otherwise private address.
package esnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/projections"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/stats"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/protocol"
)

const (
	// version is what clients take the node for; they look for features by it.
	version = "24.10.0"

	// maxMessage is the largest message taken and sent; the clients take as much.
	maxMessage = 17 << 20
	// maxEvent is the hard cap of the original on one event, in bytes.
	maxEvent = 16<<20 - 10000
	// defaultAppend is the default limit of one append, in bytes.
	defaultAppend = 1 << 20

	defaultWindow = 32
)

var errStopping = errors.New("the node is stopping")

// Options of a node. The zero value means the defaults.
type Options struct {
	// MaxAppendSize limits the bytes of one append (data, metadata and type of all its events); default
	// 1 MiB, at most 16 MiB less 10000 bytes.
	MaxAppendSize int
	// MaxEventSize limits the bytes of one event; default and most 16 MiB less 10000 bytes.
	MaxEventSize int
	// Advertise is the host:port told to clients that discover nodes. Default: the address listened on,
	// with 127.0.0.1 for an unspecified host.
	Advertise string
	// Shutdown is called when a client asks the node to shut down; nil refuses.
	Shutdown func()
	// Log takes what operators should know; default slog.Default().
	Log *slog.Logger
	// Stats observes calls, for traces and metrics; may be nil.
	Stats stats.Handler
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Node serves a log. Use New, then Start or Serve, then Stop.
type Node struct {
	streams.UnimplementedStreamsServer

	options  Options
	store    *eventlog.Log
	log      *slog.Logger
	now      func() time.Time
	instance [16]byte

	feed   *feed
	groups *manager
	grpc   *grpc.Server
	mux    *mux

	life    context.Context // ends when the node stops
	end     context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	stopping bool
	stopped  chan struct{}
}

// New prepares a node over an open log, which stays the caller's to close, after Stop.
func New(log *eventlog.Log, options Options) (*Node, error) {
	if log == nil {
		return nil, errors.New("esnode: no log")
	}
	if err := options.fill(); err != nil {
		return nil, err
	}
	n := &Node{options: options, store: log, log: options.Log, now: options.Now, instance: uuid.New(), stopped: make(chan struct{})}
	n.life, n.end = context.WithCancel(context.Background())
	n.feed = newFeed(log)
	n.groups = newManager(n)
	n.grpc = grpc.NewServer(n.serverOptions()...)
	streams.RegisterStreamsServer(n.grpc, n)
	persistent.RegisterPersistentSubscriptionsServer(n.grpc, &persistentService{node: n})
	projections.RegisterProjectionsServer(n.grpc, &projectionService{node: n})
	serverfeatures.RegisterServerFeaturesServer(n.grpc, featureService{})
	gossip.RegisterGossipServer(n.grpc, &gossipService{node: n})
	protocol.RegisterOperationsServer(n.grpc, &operationService{node: n})
	protocol.RegisterMonitoringServer(n.grpc, &monitoringService{node: n})
	n.mux = newMux(n.grpc, n.http(), n.log)
	return n, nil
}

func (o *Options) fill() error {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxAppendSize == 0 {
		o.MaxAppendSize = defaultAppend
	}
	if o.MaxEventSize == 0 {
		o.MaxEventSize = maxEvent
	}
	if o.MaxAppendSize < 0 || o.MaxAppendSize > maxEvent || o.MaxEventSize < 0 || o.MaxEventSize > maxEvent {
		return fmt.Errorf("esnode: append and event sizes must be between 1 and %d bytes", maxEvent)
	}
	if o.Advertise != "" {
		if _, _, err := splitAddress(o.Advertise); err != nil {
			return fmt.Errorf("esnode: advertised address: %w", err)
		}
	}
	return nil
}

func splitAddress(address string) (string, uint32, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is no number of a port", port)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return host, uint32(p), nil
}

func (n *Node) serverOptions() []grpc.ServerOption {
	options := []grpc.ServerOption{
		// The Go client pings every 10 s even without streams; grpc-go's default enforcement would cut
		// its idle subscriptions after half a minute.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 500 * time.Millisecond, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 10 * time.Second, Timeout: 10 * time.Second}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(10_000),
		grpc.WaitForHandlers(true),
		grpc.ChainUnaryInterceptor(n.unary),
		grpc.ChainStreamInterceptor(n.stream),
	}
	if n.options.Stats != nil {
		options = append(options, grpc.StatsHandler(n.options.Stats))
	}
	return options
}

// Start listens on the address (port 0 picks one, see Addr) and serves until Stop.
func (n *Node) Start(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("esnode: listen: %w", err)
	}
	if err := n.open(l); err != nil {
		return errors.Join(err, l.Close())
	}
	n.running.Go(func() { n.mux.serve(l) })
	return nil
}

// Serve serves a listener until Stop; it closes the listener. It returns nil after Stop.
func (n *Node) Serve(l net.Listener) error {
	if err := n.open(l); err != nil {
		return errors.Join(err, l.Close())
	}
	n.running.Add(1)
	defer n.running.Done()
	n.mux.serve(l)
	return nil
}

// open starts what runs beside the calls.
func (n *Node) open(l net.Listener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopping || n.listener != nil {
		return errors.New("esnode: a node is started once")
	}
	if err := n.groups.load(n.life); err != nil {
		return fmt.Errorf("esnode: load groups: %w", err)
	}
	n.listener = l
	n.running.Go(func() { n.feed.run(n.life, n.log) })
	return nil
}

// Addr is the address listened on; nil before Start.
func (n *Node) Addr() net.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listener == nil {
		return nil
	}
	return n.listener.Addr()
}

// Stop ends the node: no new calls, running ones get a moment to end until ctx does, then everything
// is cut. It waits for all that the node started and may be called again; the log stays open.
func (n *Node) Stop(ctx context.Context) error {
	n.mu.Lock()
	first := !n.stopping
	n.stopping = true
	n.mu.Unlock()
	if first {
		go n.stop(ctx)
	}
	select {
	case <-n.stopped:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("esnode: stop: %w", ctx.Err())
	}
}

func (n *Node) stop(ctx context.Context) {
	defer close(n.stopped)
	n.end() // subscriptions and groups end; appends in flight go on
	n.mux.close()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		n.grpc.GracefulStop()
	}()
	grace := time.NewTimer(drainFor)
	defer grace.Stop()
	select {
	case <-drained:
	case <-ctx.Done():
	case <-grace.C:
	}
	n.grpc.Stop()
	<-drained
	n.mux.wait()
	n.groups.wait()
	n.running.Wait()
}

// drainFor is how long appends and reads that run get to end when the node stops.
const drainFor = 2 * time.Second
