package esnode

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/gossip"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"go.uber.org/goleak"
	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// Pitfall 27, section 1.4.
func TestFeaturesAreNamedInLowerCase(t *testing.T) {
	r := start(t)
	got, err := serverfeatures.NewServerFeaturesClient(r.conn).GetSupportedMethods(r.ctx, &shared.Empty{})
	r.must(err)
	if got.GetEventStoreServerVersion() != "24.10.0" {
		t.Errorf("version %q, want three numbers", got.GetEventStoreServerVersion())
	}
	features := map[string][]string{}
	for _, m := range got.GetMethods() {
		name := m.GetServiceName() + "/" + m.GetMethodName()
		if name != strings.ToLower(name) {
			t.Errorf("%s is not lower-case", name)
		}
		features[name] = m.GetFeatures()
	}
	const groups = "event_store.client.persistent_subscriptions.persistentsubscriptions/"
	for _, m := range []string{"create", "update", "delete", "read", "getinfo", "replayparked", "list", "restartsubsystem"} {
		if !slices.Equal(features[groups+m], []string{"stream", "all"}) {
			t.Errorf("%s has features %v, want stream and all", m, features[groups+m])
		}
	}
	if f := features["event_store.client.streams.streams/batchappend"]; !slices.Equal(f, []string{"deadline_duration"}) {
		t.Errorf("batchappend has %v", f)
	}
	if _, listed := features["event_store.client.projections.projections/create"]; listed {
		t.Error("projections create is listed, but not implemented")
	}
	version, err := r.client.GetServerVersion()
	if r.must(err); version.Major != 24 || version.Minor != 10 {
		t.Errorf("the client sees version %+v", version)
	}
}

// Pitfall 28, sections 1.1 and 10.1.
func TestDiscoveringClientReachesTheAdvertisedAddress(t *testing.T) {
	r := start(t)
	client := dial(t, "esdb+discover://"+r.node.Addr().String()+"?tls=false&gossipTimeout=5")
	defer client.Close()
	if _, err := client.AppendToStream(r.ctx, "order-1", esdb.AppendToStreamOptions{}, event("x")); err != nil {
		t.Fatal(err)
	}
	info, err := gossip.NewGossipClient(r.conn).Read(r.ctx, &shared.Empty{})
	r.must(err)
	m := info.GetMembers()[0]
	if len(info.GetMembers()) != 1 || m.GetState() != gossip.MemberInfo_Leader || !m.GetIsAlive() {
		t.Fatalf("gossip says %v", info)
	}
	if age := time.Since(time.Unix(0, m.GetTimeStamp()*100)); age < 0 || age > time.Minute {
		t.Errorf("the time stamp is %v old", age)
	}
}

func TestAdvertisedAddressIsAnOption(t *testing.T) {
	r := start(t, func(o *Options) { o.Advertise = "shop.example:2113" })
	info, err := gossip.NewGossipClient(r.conn).Read(r.ctx, &shared.Empty{})
	r.must(err)
	if e := info.GetMembers()[0].GetHttpEndPoint(); e.GetAddress() != "shop.example" || e.GetPort() != 2113 {
		t.Fatalf("advertises %v", e)
	}
	if host, port, err := splitAddress("[::]:2113"); err != nil || host != "127.0.0.1" || port != 2113 {
		t.Errorf("an unspecified host is advertised as %s:%d, %v", host, port, err)
	}
	if _, err := New(r.log, Options{Advertise: "nowhere"}); err == nil {
		t.Error("an address without a port was taken")
	}
}

// Pitfall 26, section 1.2: clients differ in what they send over plaintext.
func TestCredentialsAndLeaderHeadersAreIgnored(t *testing.T) {
	r := start(t)
	r.append("order-1", events(1)...)
	r.ctx = metadata.AppendToOutgoingContext(r.ctx, "authorization", "Basic bm9ib2R5Ondyb25n", "requires-leader", "TRUE")
	if _, _, err := r.rawRead(readOptions("order-1")); err != nil {
		t.Fatal(err)
	}
}

// Pitfall 1, section 1.3: the Go client pings also without a stream. This sends pings at a rate that
// grpc-go's default enforcement would end with GOAWAY at the third.
func TestPingsWithoutStreamsAreTaken(t *testing.T) {
	t.Parallel()
	r := start(t)
	conn, err := net.Dial("tcp", r.node.Addr().String())
	r.must(err)
	defer conn.Close()
	r.must(conn.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	r.must(err)
	framer := http2.NewFramer(conn, conn)
	r.must(framer.WriteSettings())
	every := time.NewTicker(600 * time.Millisecond)
	defer every.Stop()
	for ping := range 4 {
		r.must(framer.WritePing(false, [8]byte{byte(ping)}))
		for acked := false; !acked; {
			frame, err := framer.ReadFrame()
			r.must(err)
			switch f := frame.(type) {
			case *http2.GoAwayFrame:
				t.Fatalf("GOAWAY at ping %d: %s", ping, f.DebugData())
			case *http2.PingFrame:
				acked = f.IsAck() && f.Data[0] == byte(ping)
			}
		}
		<-every.C
	}
}

func TestHTTP1IsServedOnTheSamePort(t *testing.T) {
	r := start(t)
	for path, want := range map[string]int{"/health/live": 204, "/info": 200, "/ping": 200, "/streams/x": 404} {
		resp, err := http.Get("http://" + r.node.Addr().String() + path)
		r.must(err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s answers %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
}

func TestUsersAndUnknownServicesAreUnimplemented(t *testing.T) {
	r := start(t)
	err := r.conn.Invoke(r.ctx, "/event_store.client.users.Users/Create", &shared.Empty{}, &shared.Empty{})
	if statusOf(err) != codes.Unimplemented {
		t.Fatalf("users answer %v, want UNIMPLEMENTED", err)
	}
}

func TestPanicsAreRecoveredAsUnknown(t *testing.T) {
	var panics atomic.Bool
	r := start(t, func(o *Options) {
		o.Now = func() time.Time {
			if panics.Load() {
				panic("a clock gone wrong")
			}
			return time.Now()
		}
	})
	panics.Store(true)
	_, err := gossip.NewGossipClient(r.conn).Read(r.ctx, &shared.Empty{})
	panics.Store(false)
	if statusOf(err) != codes.Unknown || strings.Contains(err.Error(), "clock") {
		t.Fatalf("got %v, want UNKNOWN without the reason", err)
	}
	if _, err := gossip.NewGossipClient(r.conn).Read(r.ctx, &shared.Empty{}); err != nil {
		t.Fatalf("the node did not survive: %v", err)
	}
}

func TestStopEndsSubscriptionsAndMayBeRepeated(t *testing.T) {
	before := goleak.IgnoreCurrent()
	r := start(t)
	sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	r.must(err)
	r.must(r.client.CreatePersistentSubscription(r.ctx, "order-1", "g", esdb.PersistentStreamSubscriptionOptions{}))
	consumer, err := r.client.SubscribeToPersistentSubscription(r.ctx, "order-1", "g", esdb.SubscribeToPersistentSubscriptionOptions{})
	r.must(err)
	// A connection that says nothing, and one that waits for an answer to half a request.
	silent, err := net.Dial("tcp", r.node.Addr().String())
	r.must(err)
	defer silent.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	began := time.Now()
	for range 2 {
		r.must(r.node.Stop(ctx))
	}
	if took := time.Since(began); took > drainFor+patience/2 {
		t.Errorf("stopping took %v", took)
	}
	for e := sub.Recv(); ; e = sub.Recv() {
		if e.SubscriptionDropped != nil {
			if c := statusOf(e.SubscriptionDropped.Error); c != codes.Unavailable && c != codes.Canceled {
				t.Errorf("the subscription ended with %v", e.SubscriptionDropped.Error)
			}
			break
		}
	}
	if e := consumer.Recv(); e.SubscriptionDropped == nil {
		t.Errorf("the consumer got %+v, want to be dropped", e)
	}
	if _, err := net.DialTimeout("tcp", r.node.Addr().String(), time.Second); err == nil {
		t.Error("the stopped node still listens")
	}
	if err := r.node.Start("127.0.0.1:0"); err == nil {
		t.Error("a stopped node started again")
	}
	r.client.Close()
	r.conn.Close()
	r.must(r.log.Close())
	goleak.VerifyNone(t, before)
}

func TestNodeThatNeverStartedStops(t *testing.T) {
	log, err := eventlog.Open(t.TempDir()+"/events.db", eventlog.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	n, err := New(log, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := New(log, Options{MaxAppendSize: 64 << 20}); err == nil {
		t.Error("an append size beyond what a message holds was taken")
	}
}
