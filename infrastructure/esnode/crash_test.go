package esnode

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// childLog names the log that this test binary serves when it runs as a node of its own, to be killed.
const childLog = "TIDEMARK_TEST_NODE_LOG"

func TestMain(m *testing.M) {
	if path := os.Getenv(childLog); path != "" {
		serveChild(path)
	}
	os.Exit(m.Run())
}

func serveChild(path string) {
	log, err := eventlog.Open(path, eventlog.Options{})
	if err == nil {
		var n *Node
		if n, err = New(log, Options{}); err == nil {
			err = n.Start("127.0.0.1:0")
			fmt.Println(n.Addr())
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // until the parent is gone, if it does not kill before
	os.Exit(0)
}

// child starts a node in a process of its own and returns a client of it, and how to kill it.
func child(t *testing.T, path string) (*esdb.Client, func()) {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childLog+"="+path)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, "esdb://"+strings.TrimSpace(line)+"?tls=false")
	return client, func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = in.Close()
		_ = client.Close()
	}
}

// Whatever was acknowledged is there after kill -9, groups go on from their checkpoints, and between
// them every event is delivered.
func TestKilledNodeLosesNothing(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	path := filepath.Join(t.TempDir(), "events.db")
	seen := map[uint64]bool{}
	var appended, last, checkpoint uint64
	for round := range 4 {
		client, kill := child(t, path)
		settings := esdb.SubscriptionSettingsDefault()
		settings.CheckpointUpperBound = 25
		if round == 0 {
			if err := client.CreatePersistentSubscription(ctx, "s", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &settings}); err != nil {
				t.Fatal(err)
			}
		}
		sub, err := client.SubscribeToPersistentSubscription(ctx, "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 50})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			done, err := client.AppendToStream(ctx, "s", esdb.AppendToStreamOptions{}, events(10)...)
			if err != nil {
				t.Fatal(err)
			}
			appended = done.NextExpectedVersion + 1
		}
		if want := uint64(100 * (round + 1)); appended != want {
			t.Fatalf("round %d: the stream has %d events, want %d", round, appended, want)
		}
		for n := 0; n < 60; n++ {
			e := sub.Recv()
			if e.SubscriptionDropped != nil {
				t.Fatal(e.SubscriptionDropped.Error)
			}
			number := e.EventAppeared.Event.OriginalEvent().EventNumber
			if round > 0 && number <= checkpoint {
				t.Fatalf("round %d: %d comes again, although the checkpoint is %d", round, number, checkpoint)
			}
			seen[number], last = true, number
			if err := sub.Ack(e.EventAppeared.Event); err != nil {
				t.Fatal(err)
			}
		}
		// Acknowledgements are not answered: wait until the checkpoint of the last 25 is stored.
		eventually(t, "the checkpoint is stored", func() bool {
			info, err := client.GetPersistentSubscriptionInfo(ctx, "s", "g", esdb.GetPersistentSubscriptionOptions{})
			if err != nil {
				t.Fatal(err)
			}
			at, ok := info.Stats.LastCheckpointedEventRevision, info.Stats.LastCheckpointedEventRevision != nil
			if ok && *at+25 >= last {
				checkpoint = *at
				return true
			}
			return false
		})
		kill()
	}
	client, kill := child(t, path)
	defer kill()
	sub, err := client.SubscribeToPersistentSubscription(ctx, "s", "g", esdb.SubscribeToPersistentSubscriptionOptions{BufferSize: 500})
	if err != nil {
		t.Fatal(err)
	}
	for uint64(len(seen)) < appended {
		e := sub.Recv()
		if e.SubscriptionDropped != nil {
			t.Fatalf("%d of %d were delivered, then: %v", len(seen), appended, e.SubscriptionDropped.Error)
		}
		seen[e.EventAppeared.Event.OriginalEvent().EventNumber] = true
		if err := sub.Ack(e.EventAppeared.Event); err != nil {
			t.Fatal(err)
		}
	}
}
