package esnode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/stats"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// Section 1.3: the largest event that the original takes fits into a message, for writers and for every
// kind of reader.
func TestLargestEventPassesThroughEveryDoor(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxAppendSize = maxEvent })
	large := event("t", func(e *esdb.EventData) {
		e.Data, e.ContentType = make([]byte, maxEvent-2), esdb.ContentTypeBinary
		for i := 0; i < len(e.Data); i += 1 << 10 {
			e.Data[i] = byte(rand.Uint32())
		}
	})
	r.append("large", large)
	same := func(door string, e *esdb.ResolvedEvent) {
		t.Helper()
		if e == nil || !bytes.Equal(e.Event.Data, large.Data) {
			t.Errorf("%s: not the event", door)
		}
	}
	all, err := r.read("large", esdb.ReadStreamOptions{}, 1)
	r.must(err)
	same("read", all[0])
	all, err = r.readAll(esdb.ReadAllOptions{}, 1)
	r.must(err)
	same("read of $all", all[0])
	sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	r.must(err)
	defer sub.Close()
	same("subscription", sub.Recv().EventAppeared)
	r.group("large", "g")
	same("group", delivered(t, r.consume("large", "g", 1)).Event)
	large.Data = append(large.Data, 0)
	if _, err := r.client.AppendToStream(r.ctx, "large", esdb.AppendToStreamOptions{}, large); err == nil {
		t.Error("one byte more was taken")
	}
}

// Section 3: a batch that grows too large in pieces is refused at once, and the rest of it is passed over.
func TestBatchThatGrowsTooLargeIsRefusedOnce(t *testing.T) {
	b := startBatch(t, func(o *Options) { o.MaxAppendSize = 1000 })
	one, two := textID(), textID()
	b.send(one, batchOptions("a"), false, batchMessages(1, 600))
	b.send(one, nil, false, batchMessages(1, 600))
	got := b.recv()
	if got.GetCorrelationId().GetString_() != one.GetString_() || got.GetError().GetMessage() != "MaximumAppendSizeExceeded" || string(got.GetStreamIdentifier().GetStreamName()) != "a" {
		t.Fatalf("answered %v", got)
	}
	b.send(one, nil, true, batchMessages(1, 600))
	b.send(two, batchOptions("b"), true, batchMessages(1, 600))
	if got := b.recv(); got.GetCorrelationId().GetString_() != two.GetString_() || got.GetSuccess() == nil {
		t.Fatalf("the next answer is %v", got)
	}
	if _, err := b.read("a", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("a part was written: %v", err)
	}
}

// lateCalls hears of calls that the node ended because of their deadline.
type lateCalls chan struct{}

func (lateCalls) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (lateCalls) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (lateCalls) HandleConn(context.Context, stats.ConnStats)                       {}

func (l lateCalls) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok && (statusOf(end.Error) == codes.DeadlineExceeded || statusOf(end.Error) == codes.Canceled) {
		l <- struct{}{}
	}
}

// An append that waits for the writer longer than its deadline is not made.
func TestAppendThatWaitsTooLongIsNotMade(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r := start(t)
	r.close()
	var err error
	r.log, err = eventlog.Open(r.path, eventlog.Options{Relaxed: true, NewID: func() [16]byte { // of the log's own events, asked for by the writer
		once.Do(func() {
			close(held)
			<-release
		})
		return uuid.New()
	}})
	r.must(err)
	late := make(lateCalls, 1)
	r.serve(func(o *Options) { o.Stats = late })
	r.append("other", event("x"))
	r.append("s", event("first"))
	first := make(chan error, 1)
	go func() {
		_, err := r.client.DeleteStream(r.ctx, "other", esdb.DeleteStreamOptions{})
		first <- err
	}()
	<-held
	deadline := 50 * time.Millisecond
	_, err = r.client.AppendToStream(r.ctx, "s", esdb.AppendToStreamOptions{Deadline: &deadline}, event("late"))
	if codeOf(err) != esdb.ErrorCodeDeadlineExceeded {
		t.Errorf("got %v, want the deadline to be exceeded", err)
	}
	<-late // the node may see it a moment later than the client
	close(release)
	r.must(<-first)
	r.append("s", event("next"))
	all, err := r.read("s", esdb.ReadStreamOptions{}, 10)
	r.must(err)
	if len(all) != 2 || all[1].Event.EventType != "next" {
		t.Errorf("the stream has %s", names(all))
	}
}

// An expression that backtracks without end ends the subscription, and faults the group, that has it; the
// node and everybody else go on.
func TestFilterThatRunsWildEndsWhoHasIt(t *testing.T) {
	r := start(t)
	wild := &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Regex: `^(a+)+$`}
	sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}, Filter: wild})
	r.must(err)
	defer sub.Close()
	r.groupOnAll("wild", func(o *esdb.PersistentAllSubscriptionOptions) { o.Filter = wild })
	r.groupOnAll("tame")
	consumer, tame := r.consume(allStream, "wild", 10), r.consume(allStream, "tame", 10)
	bomb := strings.Repeat("a", 60) + "!"
	r.append(bomb, event("x"))
	for e := sub.Recv(); ; e = sub.Recv() {
		if e.SubscriptionDropped == nil {
			continue
		}
		if statusOf(e.SubscriptionDropped.Error) != codes.InvalidArgument {
			t.Errorf("the subscription ended with %v", e.SubscriptionDropped.Error)
		}
		break
	}
	if e := consumer.Recv(); e.SubscriptionDropped == nil || statusOf(e.SubscriptionDropped.Error) != codes.Canceled {
		t.Errorf("the consumer got %+v, want to be dropped", e)
	}
	for { // the log has the groups' settings as well
		if e := delivered(t, tame).Event; e.OriginalEvent().StreamID == bomb {
			break
		}
	}
	r.must(r.client.DeletePersistentSubscriptionToAll(r.ctx, "wild", esdb.DeletePersistentSubscriptionOptions{}))
}

// A filter that takes long lets go of the feed between its events, and of a caller that has gone.
func TestSlowFilterLetsGoOfTheFeed(t *testing.T) {
	var c clock
	r := start(t, func(o *Options) {
		o.Now = func() time.Time { c.move(100 * time.Millisecond); return c.now() }
	})
	f, err := (&filterSpec{Regex: "a|b"}).compile()
	r.must(err)
	s := &source{node: r.node, filter: f}
	r.must(s.fromEnd(r.ctx))
	got, err := s.read(r.ctx, readPage, readWindow)
	if r.must(err); !got.end || !s.live {
		t.Fatalf("at the end: %+v", got)
	}
	r.append("a", events(20)...)
	eventually(t, "the feed has them", func() bool {
		r.node.feed.mu.RLock()
		defer r.node.feed.mu.RUnlock()
		return r.node.feed.head == r.log.Head()
	})
	found, reads := 0, 0
	for end := false; !end; reads++ {
		got, err := s.read(r.ctx, readPage, readWindow)
		r.must(err)
		found, end = found+len(got.events), got.end
	}
	if found != 20 || reads < 5 {
		t.Errorf("%d events in %d reads, want 20 in several", found, reads)
	}
	gone, cancel := context.WithCancel(r.ctx)
	cancel()
	if _, err := s.read(gone, readPage, readWindow); !errors.Is(err, context.Canceled) {
		t.Errorf("for a caller that has gone: %v", err)
	}
}

// Section 7.1: what an operation returns becomes a status once, for every RPC, and strangers tell nothing.
func TestErrorsBecomeStatuses(t *testing.T) {
	secret := errors.New("/secret/path is gone")
	for _, test := range []struct {
		err  error
		code codes.Code
		text string
	}{
		{fmt.Errorf("%w: %w", eventlog.ErrUncertain, eventlog.ErrFailed), codes.Aborted, "Operation timed out: the outcome of the commit is unknown"},
		{eventlog.ErrFailed, codes.Unavailable, "Server Is Not Ready"},
		{eventlog.ErrClosed, codes.Unavailable, "Server Is Not Ready"},
		{errStopping, codes.Unavailable, "Server Is Not Ready"},
		{context.DeadlineExceeded, codes.DeadlineExceeded, "context deadline exceeded"},
		{context.Canceled, codes.Canceled, "context canceled"},
		{fmt.Errorf("%w: no", eventlog.ErrInvalid), codes.InvalidArgument, "invalid argument: no"},
		{secret, codes.Unknown, "Exception was thrown by handler."},
	} {
		if f := asFault(test.err); f.code != test.code || f.text != test.text || len(f.trailers) != 0 {
			t.Errorf("%v becomes %v %q %v", test.err, f.code, f.text, f.trailers)
		}
	}
}
