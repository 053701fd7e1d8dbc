package baseline

import (
	"errors"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func start(t *testing.T, count int) *esdb.Client {
	t.Helper()
	server, err := Start(filepath.Join(t.TempDir(), "journal"), count, Event{Stream: "thing-1", Type: "Happened", Data: []byte(`{"a":1}`), Metadata: []byte(`{"b":2}`)})
	if err != nil {
		t.Fatal(err)
	}
	config, err := esdb.ParseConnectionString("esdb://" + server.Addr().String() + "?tls=false")
	if err != nil {
		t.Fatal(err)
	}
	client, err := esdb.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
	return client
}

// The official client must take the answers for those of a node, or what is measured is something else.
func TestAppendsFromManyWritersAreAnswered(t *testing.T) {
	client := start(t, 0)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for i := range 20 {
				options := esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}
				if i > 0 {
					options.ExpectedRevision = esdb.Revision(uint64(i - 1))
				}
				event := esdb.EventData{EventID: uuid.New(), EventType: "Happened", ContentType: esdb.ContentTypeJson, Data: make([]byte, 128<<10)}
				done, err := client.AppendToStream(t.Context(), "thing-1", options, event)
				if err != nil || done.NextExpectedVersion != uint64(i) || done.CommitPosition == 0 {
					t.Errorf("append %d: %+v, %v", i, done, err)
					return
				}
			}
		})
	}
	group.Wait() // 20 MiB: the journal has begun again
}

func TestReadsGiveThePreparedEvents(t *testing.T) {
	client := start(t, 10)
	for _, c := range []struct{ from, count, want uint64 }{{0, 10, 10}, {0, 4, 4}, {8, 10, 2}, {10, 10, 0}, {99, 1, 0}} {
		read, err := client.ReadStream(t.Context(), "thing-1", esdb.ReadStreamOptions{From: esdb.Revision(c.from)}, c.count)
		if err != nil {
			t.Fatal(err)
		}
		got := uint64(0)
		for ; ; got++ {
			event, err := read.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e := event.Event; e.EventNumber != c.from+got || e.EventType != "Happened" || string(e.Data) != `{"a":1}` ||
				string(e.UserMetadata) != `{"b":2}` || e.EventID == uuid.Nil || e.CreatedDate.IsZero() {
				t.Errorf("event %d: %+v", got, e)
			}
		}
		read.Close()
		if got != c.want {
			t.Errorf("from %d, at most %d: %d events, want %d", c.from, c.count, got, c.want)
		}
	}
}
