package esdb

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// node is an embedded node on a port of its own; it can be stopped and started again over the same log.
type node struct {
	*testing.T
	log     *eventlog.Log
	running *esnode.Node
	address string
}

func startNode(t *testing.T) *node {
	t.Helper()
	log, err := eventlog.Open(filepath.Join(t.TempDir(), "log.db"), eventlog.Options{Relaxed: true})
	if err != nil {
		t.Fatal(err)
	}
	n := &node{T: t, log: log, address: "127.0.0.1:0"}
	n.start()
	t.Cleanup(func() {
		n.stop()
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func (n *node) start() {
	n.Helper()
	running, err := esnode.New(n.log, esnode.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		n.Fatal(err)
	}
	if err := running.Start(n.address); err != nil {
		n.Fatal(err)
	}
	n.running, n.address = running, running.Addr().String()
}

// stop is idempotent.
func (n *node) stop() {
	n.Helper()
	if n.running == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.running.Stop(ctx); err != nil {
		n.Error(err)
	}
	n.running = nil
}

func subject(store *Store) storetest.Subject {
	return storetest.Subject{Store: store, Subscriptions: store, Groups: store,
		Foreign: func(ctx context.Context, stream string, after int64, eventType, data string) error {
			_, err := store.appendAt(ctx, stream, after, []client.EventData{{
				EventID: uuid.New(), EventType: eventType, ContentType: client.ContentTypeJson, Data: []byte(data), Metadata: []byte(`{"schemaVersion":2}`),
			}})
			return err
		}}
}

func TestTheStoreOnTheEmbeddedNode(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	store := open(t, n.address, Options{})
	storetest.Run(t, func(*testing.T) storetest.Subject { return subject(store) })
}

func TestTheStoreOnTheEmbeddedNodeWithSmallPages(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	store := open(t, n.address, Options{Page: 3, Calls: 8})
	storetest.Run(t, func(*testing.T) storetest.Subject { return subject(store) })
}

func TestTheStoreBehindDelays(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	store := open(t, n.address, Options{})
	slow := storetest.NewFaulty(store, store, storetest.Faults{Seed: 1, Delay: 2 * time.Millisecond})
	storetest.Run(t, func(*testing.T) storetest.Subject {
		s := subject(store)
		s.Store, s.Subscriptions = slow, slow
		return s
	})
}

// A writer that repeats what it isn't sure of writes everything once, whatever the store says.
func TestRepeatsThroughFaultsWriteOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	store := open(t, n.address, Options{})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	faulty := storetest.NewFaulty(store, store, storetest.Faults{Seed: seed, Unavailable: .2, Lost: .2, Undone: .2, Broken: .3, Repeat: .2, Drop: .1, Shuffle: true})
	stream, after := "order-"+uuid.NewString(), newStream
	var ids []string
	for range 40 {
		batch := claims(2)
		ids = append(ids, batch[0].ID, batch[1].ID)
		for {
			appended, err := faulty.Append(t.Context(), stream, after, batch)
			if err == nil {
				after = domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
				break
			}
			if kind := domain.KindOf(err); kind != domain.KindUnavailable && kind != domain.KindUnknown {
				t.Fatal(err)
			}
		}
	}
	var read []string
	for len(read) < len(ids) {
		for recorded, err := range faulty.ReadStream(t.Context(), stream, int64(len(read))) {
			if err != nil {
				break
			}
			read = append(read, recorded.ID)
		}
	}
	if diff := cmp.Diff(ids, read); diff != "" {
		t.Errorf("seed %d:\n%s", seed, diff)
	}
	if faulty.Injected() == 0 {
		t.Error("no fault was injected")
	}
}

// What is exported can be imported into another log, and its hashes still hold.
func TestExportAndImport(t *testing.T) {
	t.Parallel()
	from, to := open(t, startNode(t).address, Options{Page: 7}), open(t, startNode(t).address, Options{})
	for range 5 {
		stream, after := "order-"+uuid.NewString(), newStream
		for range 4 {
			appended, err := from.Append(t.Context(), stream, after, claims(3))
			if err != nil {
				t.Fatal(err)
			}
			after = domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
		}
	}
	if err := from.KeepNewest(t.Context(), "order-x", 5); err != nil { // system events are no part of an export
		t.Fatal(err)
	}
	export := func(store *Store, prefixes ...string) (all []codec.Raw) {
		for raw, err := range store.ReadAllRaw(t.Context(), domain.From{}, prefixes) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, raw)
		}
		return all
	}
	exported := export(from)
	for range 2 { // a second import finds everything there
		for _, raw := range exported {
			if _, err := to.AppendRaw(t.Context(), raw.Stream, raw.Revision-1, []codec.Raw{raw}); err != nil {
				t.Fatal(err)
			}
		}
	}
	prev := map[string]string{}
	imported := export(to, "order-")
	for _, raw := range imported {
		next, err := codec.Check(prev[raw.Stream], raw)
		if err != nil {
			t.Error(err)
		}
		prev[raw.Stream] = next
	}
	ignored := cmpopts.IgnoreFields(codec.Raw{}, "Position", "Stored")
	if diff := cmp.Diff(exported, imported, ignored); diff != "" || len(imported) != 60 {
		t.Errorf("%d events (-exported +imported):\n%s", len(imported), diff)
	}
	middle := exported[29]
	rest := 0
	for _, err := range from.ReadAllRaw(t.Context(), domain.From{Position: middle.Position}, nil) {
		if err != nil {
			t.Fatal(err)
		}
		rest++
	}
	if rest != 30 {
		t.Errorf("%d events behind the thirtieth, want 30", rest)
	}
}

func TestTailRawShowsWhatComes(t *testing.T) {
	store := open(t, startNode(t).address, Options{})
	enough := errors.New("enough")
	if _, err := store.Append(t.Context(), "order-1", newStream, claims(3)); err != nil {
		t.Fatal(err)
	}
	var seen []int64
	err := store.TailRaw(t.Context(), domain.From{}, nil, func(raw codec.Raw, _ bool) error {
		seen = append(seen, raw.Revision)
		if len(seen) == 3 {
			return enough
		}
		return nil
	})
	if diff := cmp.Diff([]int64{0, 1, 2}, seen); diff != "" || !errors.Is(err, enough) {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestTheStoreOnARealServer(t *testing.T) {
	url := os.Getenv("TIDEMARK_TEST_EVENTSTORE")
	if url == "" {
		t.Skip("TIDEMARK_TEST_EVENTSTORE names no server")
	}
	store, err := Open(url, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close(context.Background()) })
	storetest.Run(t, func(*testing.T) storetest.Subject { return subject(store) })
}
