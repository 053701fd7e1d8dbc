package main

import (
	"context"
	"iter"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// commandNode is an embedded node over a file, which commands reach the way they do in production.
type commandNode struct {
	file string
	node *esnode.Node
	log  *eventlog.Log
}

func startCommandNode(tb testing.TB) *commandNode {
	tb.Helper()
	n := &commandNode{file: filepath.Join(tb.TempDir(), "events.db")}
	n.start(tb)
	tb.Cleanup(func() { n.stop(tb) })
	return n
}

func (n *commandNode) start(tb testing.TB) {
	tb.Helper()
	var err error
	if n.log, err = eventlog.Open(n.file, eventlog.Options{}); err != nil {
		tb.Fatal(err)
	}
	if n.node, err = esnode.New(n.log, esnode.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		tb.Fatal(err)
	}
	if err := n.node.Start("127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
}

func (n *commandNode) stop(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.node.Stop(ctx); err != nil {
		tb.Error(err)
	}
	if err := n.log.Close(); err != nil {
		tb.Error(err)
	}
}

// connect opens a store to the node, as one replica of the program has it.
func (n *commandNode) connect(tb testing.TB) *esdb.Store {
	tb.Helper()
	store, err := esdb.Open("esdb://"+n.node.Addr().String()+"?tls=false", esdb.Options{Patience: patience})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return store
}

// replica is a service of its own over store, whose snapshots are taken until the test ends.
func replica(tb testing.TB, store application.EventStore, options application.Options) *application.Service {
	tb.Helper()
	if options.StoreWait == 0 {
		options.StoreWait = patience // a busy machine is no silent store
	}
	service := application.NewService(store, options)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	tb.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return service
}

// stored reads a whole stream and holds that it has no hole.
func stored(tb testing.TB, store application.EventStore, stream string) []domain.Recorded {
	tb.Helper()
	var events []domain.Recorded
	for r, err := range store.ReadStream(tb.Context(), stream, 0) {
		if err != nil {
			tb.Fatal(err)
		}
		if r.Revision != int64(len(events)) {
			tb.Fatalf("%s goes on at %d after %d events", stream, r.Revision, len(events))
		}
		if last := len(events) - 1; last >= 0 && r.Meta.PrevHash != events[last].Meta.Hash {
			tb.Fatalf("%s: the event at %d does not follow the one before", stream, r.Revision)
		}
		events = append(events, r)
	}
	return events
}

// breakable is a store whose calls fail where a test wants them to.
type breakable struct {
	application.EventStore
	mu    sync.Mutex
	calls int
	fail  func(number int, appends bool) (err error, done bool)
}

func (b *breakable) next(appends bool) (err error, done bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	number := b.calls
	b.calls++
	if b.fail == nil {
		return nil, false
	}
	return b.fail(number, appends)
}

func (b *breakable) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	failure, done := b.next(true)
	if failure != nil && !done {
		return domain.Appended{}, failure
	}
	appended, err := b.EventStore.Append(ctx, stream, after, events)
	if err == nil && failure != nil {
		return domain.Appended{}, failure
	}
	return appended, err
}

func (b *breakable) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	if failure, _ := b.next(false); failure != nil {
		return func(yield func(domain.Recorded, error) bool) { yield(domain.Recorded{}, failure) }
	}
	return b.EventStore.ReadStream(ctx, stream, from)
}

func (b *breakable) ReadLast(ctx context.Context, stream string) (domain.Recorded, bool, error) {
	if failure, _ := b.next(false); failure != nil {
		return domain.Recorded{}, false, failure
	}
	return b.EventStore.ReadLast(ctx, stream)
}

// The two ways in which a call to a store fails.
func notDone() error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "It can't be reached."}
}

func nobodyKnows() error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "The answer was lost."}
}

// byKey is a command under an idempotency key.
func byKey(operation, key, asks string) application.Command {
	return application.Command{
		ID: application.CommandID("ann", key), Keyed: true, Operation: operation, RequestHash: asks, Actor: "ann",
		CorrelationID: "correlation-" + key,
	}
}
