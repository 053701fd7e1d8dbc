package esnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// rig is a node on a free port over a log in a temporary folder, with the official client and a bare
// connection for what that client never sends.
type rig struct {
	*testing.T
	path        string
	projections []string
	log         *eventlog.Log
	node        *Node
	client      *esdb.Client
	conn        *grpc.ClientConn
	ctx         context.Context
}

// patience bounds every wait of a test. Only a test that fails needs it, so it is generous.
const patience = time.Minute

func start(t *testing.T, change ...func(*Options)) *rig { return startWith(t, nil, change...) }

func startWith(t *testing.T, projections []string, change ...func(*Options)) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	r := &rig{T: t, path: filepath.Join(t.TempDir(), "events.db"), projections: projections, ctx: ctx}
	r.open(change...)
	t.Cleanup(r.close)
	return r
}

func (r *rig) open(change ...func(*Options)) {
	r.Helper()
	var err error
	r.log, err = eventlog.Open(r.path, eventlog.Options{Relaxed: true, Projections: r.projections})
	r.must(err)
	r.serve(change...)
}

// serve starts a node over the log that is open.
func (r *rig) serve(change ...func(*Options)) {
	r.Helper()
	var err error
	options := Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range change {
		f(&options)
	}
	r.node, err = New(r.log, options)
	r.must(err)
	r.must(r.node.Start("127.0.0.1:0"))
	address := r.node.Addr().String()
	r.client = dial(r.T, "esdb://"+address+"?tls=false")
	r.conn, err = grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	r.must(err)
}

func (r *rig) close() {
	r.client.Close()
	r.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := errors.Join(r.node.Stop(ctx), r.log.Close()); err != nil {
		r.Error(err)
	}
}

// reopen stops the node as a crash does, without any last words of groups, and starts it again.
func (r *rig) reopen() {
	r.Helper()
	r.close()
	r.open()
}

func dial(t testing.TB, connection string) *esdb.Client {
	t.Helper()
	settings, err := esdb.ParseConnectionString(connection)
	if err != nil {
		t.Fatal(err)
	}
	settings.Logger = esdb.NoopLogging()
	client, err := esdb.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func event(eventType string, change ...func(*esdb.EventData)) esdb.EventData {
	e := esdb.EventData{EventID: uuid.New(), EventType: eventType, ContentType: esdb.ContentTypeJson, Data: []byte(`{"a":1}`)}
	for _, f := range change {
		f(&e)
	}
	return e
}

func events(n int) []esdb.EventData {
	all := make([]esdb.EventData, n)
	for i := range all {
		all[i] = event(fmt.Sprintf("event-%d", i))
	}
	return all
}

// append writes n events to a stream, whatever it is at.
func (r *rig) append(stream string, all ...esdb.EventData) *esdb.WriteResult {
	r.Helper()
	done, err := r.client.AppendToStream(r.ctx, stream, esdb.AppendToStreamOptions{}, all...)
	r.must(err)
	return done
}

// read has the events of a stream, or the error of the read.
func (r *rig) read(stream string, options esdb.ReadStreamOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	r.Helper()
	s, err := r.client.ReadStream(r.ctx, stream, options, count)
	if err != nil {
		return nil, err
	}
	return collect(s)
}

func (r *rig) readAll(options esdb.ReadAllOptions, count uint64) ([]*esdb.ResolvedEvent, error) {
	r.Helper()
	s, err := r.client.ReadAll(r.ctx, options, count)
	if err != nil {
		return nil, err
	}
	return collect(s)
}

func collect(s *esdb.ReadStream) (all []*esdb.ResolvedEvent, err error) {
	defer s.Close()
	for {
		e, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

// numbers are the revisions of events, of the link where there is one.
func numbers(all []*esdb.ResolvedEvent) []uint64 {
	out := []uint64{}
	for _, e := range all {
		out = append(out, e.OriginalEvent().EventNumber)
	}
	return out
}

func codeOf(err error) esdb.ErrorCode {
	var e *esdb.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return -1
}

// eventually waits for something that comes about beside the test.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestOfficialClientAppendsReadsAndSubscribes(t *testing.T) {
	r := start(t)
	done := r.append("order-1", events(3)...)
	if done.NextExpectedVersion != 2 || done.CommitPosition == 0 || done.CommitPosition != done.PreparePosition {
		t.Fatalf("append answered %+v", done)
	}
	all, err := r.read("order-1", esdb.ReadStreamOptions{}, 10)
	r.must(err)
	if len(all) != 3 {
		t.Fatalf("read %d events, want 3", len(all))
	}
	sub, err := r.client.SubscribeToStream(r.ctx, "order-1", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.must(err)
	defer sub.Close()
	for i := range 3 {
		if e := sub.Recv().EventAppeared; e == nil || e.OriginalEvent().EventNumber != uint64(i) {
			t.Fatalf("event %d: %+v", i, e)
		}
	}
	if sub.Recv().CaughtUp == nil {
		t.Fatal("not caught up behind the last event")
	}
	r.append("order-1", event("later"))
	if e := sub.Recv().EventAppeared; e == nil || e.OriginalEvent().EventType != "later" {
		t.Fatalf("live event: %+v", e)
	}
}

func TestOfficialClientConsumesAGroup(t *testing.T) {
	r := start(t)
	r.append("order-1", events(5)...)
	r.must(r.client.CreatePersistentSubscription(r.ctx, "order-1", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}}))
	sub, err := r.client.SubscribeToPersistentSubscription(r.ctx, "order-1", "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 2})
	r.must(err)
	defer sub.Close()
	first, second := sub.Recv().EventAppeared, sub.Recv().EventAppeared
	r.must(sub.Nack("again", esdb.NackActionRetry, first.Event))
	r.must(sub.Ack(second.Event))
	var got []string
	for range 4 {
		e := sub.Recv().EventAppeared
		got = append(got, fmt.Sprintf("%d#%d", e.Event.OriginalEvent().EventNumber, e.RetryCount))
		r.must(sub.Ack(e.Event))
	}
	if want := []string{"0#1", "2#0", "3#0", "4#0"}; !slices.Equal(got, want) {
		t.Fatalf("delivered %v after the first two, want %v", got, want)
	}
}
