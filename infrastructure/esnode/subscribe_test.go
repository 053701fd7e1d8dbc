package esnode

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// heard receives until n messages came and writes them in a line: events by type, "cp" for a
// checkpoint, "live" for caught up.
func heard(t *testing.T, sub *esdb.Subscription, n int) string {
	t.Helper()
	var out []string
	for range n {
		switch e := sub.Recv(); {
		case e.EventAppeared != nil:
			out = append(out, e.EventAppeared.OriginalEvent().EventType)
		case e.CaughtUp != nil:
			out = append(out, "live")
		case e.CheckPointReached != nil:
			out = append(out, "cp")
		default:
			t.Fatalf("%v, then dropped: %v", out, e.SubscriptionDropped.Error)
		}
	}
	return strings.Join(out, " ")
}

// Section 5.2; pitfall 9: all starts but "start" are exclusive.
func TestSubscriptionsStartBehindWhatIsNamed(t *testing.T) {
	r := start(t)
	first := r.append("s", event("e0"), event("e1"), event("e2"))
	all, err := r.readAll(esdb.ReadAllOptions{}, 10)
	r.must(err)
	second := all[1].OriginalEvent().Position
	last := esdb.Position{Commit: first.CommitPosition, Prepare: first.PreparePosition}
	toStream := func(from esdb.StreamPosition) *esdb.Subscription {
		sub, err := r.client.SubscribeToStream(r.ctx, "s", esdb.SubscribeToStreamOptions{From: from})
		r.must(err)
		t.Cleanup(func() { sub.Close() })
		return sub
	}
	toAll := func(from esdb.AllPosition) *esdb.Subscription {
		sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: from})
		r.must(err)
		t.Cleanup(func() { sub.Close() })
		return sub
	}
	subs := []struct {
		name string
		sub  *esdb.Subscription
		want string
	}{
		{"stream, start", toStream(esdb.Start{}), "e0 e1 e2 live e3 e4 e5"},
		{"stream, revision", toStream(esdb.Revision(1)), "e2 live e3 e4 e5"},
		{"stream, last revision", toStream(esdb.Revision(2)), "live e3 e4 e5"},
		{"stream, beyond the end", toStream(esdb.Revision(4)), "live e5"},
		{"stream, end", toStream(esdb.End{}), "live e3 e4 e5"},
		{"all, start", toAll(esdb.Start{}), "e0 e1 e2 live e3 e4 e5"},
		{"all, position", toAll(second), "e2 live e3 e4 e5"},
		{"all, last position", toAll(last), "live e3 e4 e5"},
		{"all, end", toAll(esdb.End{}), "live e3 e4 e5"},
	}
	live := 0
	for _, s := range subs {
		if history, _, _ := strings.Cut(s.want, "live"); true {
			live = len(strings.Fields(history)) + 1
		}
		if got := heard(t, s.sub, live); !strings.HasPrefix(s.want, got) {
			t.Errorf("%s: history %q, want the beginning of %q", s.name, got, s.want)
		}
	}
	r.append("s", event("e3"), event("e4"))
	r.append("s", event("e5"))
	for _, s := range subs {
		_, rest, _ := strings.Cut(s.want, "live ")
		if got := heard(t, s.sub, len(strings.Fields(rest))); got != rest {
			t.Errorf("%s: live %q, want %q", s.name, got, rest)
		}
	}
}

// Section 5.1: what does not exist can be subscribed to, and what is deleted waits for its return.
func TestSubscriptionsToMissingAndDeletedStreams(t *testing.T) {
	r := start(t)
	r.prepare("soft-deleted", "soft")
	for _, stream := range []string{"none", "soft"} {
		for _, from := range []esdb.StreamPosition{esdb.Start{}, esdb.End{}} {
			sub, err := r.client.SubscribeToStream(r.ctx, stream, esdb.SubscribeToStreamOptions{From: from})
			r.must(err)
			defer sub.Close()
			heard(t, sub, 1)
			name := fmt.Sprintf("%s-%T", stream, from)
			r.append(stream, event(name))
			if got := heard(t, sub, 1); got != name {
				t.Errorf("%s: heard %q", name, got)
			}
			_, err = r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{})
			r.must(err)
			r.append(stream, event("again"))
			if got := heard(t, sub, 1); got != "again" {
				t.Errorf("%s: after recreation heard %q", name, got)
			}
			_, err = r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{})
			r.must(err)
		}
	}
}

// Section 5.4.
func TestTombstoneIsShownAndEndsTheSubscription(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	sub, err := r.client.SubscribeToStream(r.ctx, "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.must(err)
	defer sub.Close()
	heard(t, sub, 2)
	_, err = r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{})
	r.must(err)
	if e := sub.Recv().EventAppeared; e == nil || e.Event.EventType != "$streamDeleted" || e.Event.EventNumber != uint64(eventlog.Tombstone) {
		t.Fatalf("heard %+v, want the tombstone", e)
	}
	if d := sub.Recv().SubscriptionDropped; d == nil || statusOf(d.Error) != codes.FailedPrecondition {
		t.Fatalf("then %+v", d)
	}
	_, err = r.client.SubscribeToStream(r.ctx, "s", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	if codeOf(err) != esdb.ErrorCodeStreamDeleted {
		t.Fatalf("a new one: %v", err)
	}
}

// A subscription that is still in history when its stream is tombstoned shows the tombstone, too.
func TestTombstoneDuringHistoryIsShown(t *testing.T) {
	r := start(t)
	for range 10 {
		r.append("s", slicesOf(100, 10_000)...)
	}
	call, err := r.streams().Read(r.ctx, &streams.ReadReq{Options: readOptions("s", subscribing)})
	r.must(err)
	_, err = call.Recv()
	r.must(err)
	_, err = r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{})
	r.must(err)
	var last uint64
	for {
		resp, err := call.Recv()
		if err != nil {
			if statusOf(err) != codes.FailedPrecondition || first(call.Trailer(), "exception") != "stream-deleted" {
				t.Fatalf("ended with %v", err)
			}
			break
		}
		if e := resp.GetEvent(); e != nil {
			last = e.GetEvent().GetStreamRevision()
		}
	}
	if last != uint64(eventlog.Tombstone) {
		t.Fatalf("the last event is %d, want the tombstone", last)
	}
}

func slicesOf(n, size int) []esdb.EventData {
	all := events(n)
	for i := range all {
		all[i].Data = make([]byte, size)
	}
	return all
}

// Section 5.3.
func TestCheckpointsOfFilteredSubscriptions(t *testing.T) {
	r := start(t)
	write := func(types ...string) {
		t.Helper()
		for i, eventType := range types {
			r.append(fmt.Sprintf("s-%d", i%3), event(eventType))
		}
	}
	write("no", "yes", "no", "no", "no", "no", "yes", "no", "no", "no")
	subscribe := func(from esdb.AllPosition, window, interval int) *esdb.Subscription {
		sub, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: from, MaxSearchWindow: window, CheckpointInterval: interval,
			Filter: &esdb.SubscriptionFilter{Type: esdb.EventFilterType, Prefixes: []string{"yes"}}})
		r.must(err)
		t.Cleanup(func() { sub.Close() })
		return sub
	}
	// Every 4 events looked at there is a checkpoint, and one at the end of history.
	fours := subscribe(esdb.Start{}, 2, 2)
	if got := heard(t, fours, 6); got != "yes cp yes cp cp live" {
		t.Fatalf("history: %q", got)
	}
	write("no", "no", "no", "yes", "no", "no", "no", "no", "yes")
	if got := heard(t, fours, 4); got != "yes cp cp yes" {
		t.Fatalf("live: %q", got)
	}
	// Resuming at a checkpoint neither loses nor repeats a match.
	resume := subscribe(esdb.Start{}, 1, 1)
	var at *esdb.Position
	matches := 0
	for at == nil {
		e := resume.Recv()
		if e.EventAppeared != nil {
			matches++
		} else if e.CheckPointReached != nil && matches == 2 {
			at = e.CheckPointReached
		}
	}
	rest := subscribe(*at, 32, 1)
	got := ""
	for !strings.HasSuffix(got, "live") {
		got += " " + heard(t, rest, 1)
	}
	if strings.Count(got, "yes") != 2 {
		t.Fatalf("after the resume: %q, want the two matches that are left", got)
	}
	// Nothing but filtered subscriptions has checkpoints.
	plain, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	r.must(err)
	defer plain.Close()
	if got := heard(t, plain, 20); strings.Contains(got, "cp") || !strings.HasSuffix(got, "live") {
		t.Fatalf("unfiltered: %q", got)
	}
}

// Section 5.1: a slow client is held back, falls back to history and hears all, in order, once.
func TestSlowSubscriptionLosesNothing(t *testing.T) {
	t.Parallel()
	r := start(t)
	call, err := r.streams().Read(r.ctx, &streams.ReadReq{Options: readOptions("", fromAll, subscribing)})
	r.must(err)
	for range 2 { // confirmation, caught up
		_, err = call.Recv()
		r.must(err)
	}
	// More than the feed holds, while nobody receives.
	const rounds, each = 60, 200
	for i := range rounds {
		var batch []eventlog.Proposed
		for range each {
			batch = append(batch, eventlog.Proposed{ID: event("x").EventID, Type: "x", Data: make([]byte, 200)})
		}
		if _, err := r.log.Append(r.ctx, fmt.Sprintf("s-%d", i%7), eventlog.Any, batch); err != nil {
			t.Fatal(err)
		}
	}
	next := map[string]uint64{}
	var last uint64
	again := 0
	for n := 0; n < rounds*each || again == 0; {
		resp, err := call.Recv()
		r.must(err)
		if resp.GetCaughtUp() != nil {
			again++
			continue
		}
		e := resp.GetEvent().GetEvent()
		stream := string(e.GetStreamIdentifier().GetStreamName())
		if e.GetStreamRevision() != next[stream] || e.GetCommitPosition() <= last {
			t.Fatalf("event %d: revision %d of %s at %d behind %d", n, e.GetStreamRevision(), stream, e.GetCommitPosition(), last)
		}
		next[stream]++
		last = e.GetCommitPosition()
		n++
	}
}

func TestSubscriptionsFollowConcurrentWriters(t *testing.T) {
	t.Parallel()
	r := start(t)
	const writers, each = 8, 150
	done := make(chan error, writers)
	for w := range writers {
		go func() {
			for range each {
				if _, err := r.client.AppendToStream(r.ctx, fmt.Sprintf("s-%d", w), esdb.AppendToStreamOptions{}, event("x")); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	one, err := r.client.SubscribeToStream(r.ctx, "s-3", esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.must(err)
	defer one.Close()
	all, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	r.must(err)
	defer all.Close()
	for sub, want := range map[*esdb.Subscription]int{one: each, all: writers * each} {
		next := map[string]uint64{}
		for got := 0; got < want; {
			e := sub.Recv()
			if e.SubscriptionDropped != nil {
				t.Fatal(e.SubscriptionDropped.Error)
			}
			if e.EventAppeared == nil {
				continue
			}
			o := e.EventAppeared.OriginalEvent()
			if o.EventNumber != next[o.StreamID] {
				t.Fatalf("%d of %s, want %d", o.EventNumber, o.StreamID, next[o.StreamID])
			}
			next[o.StreamID]++
			got++
		}
	}
	for range writers {
		r.must(errors.Join(<-done))
	}
}

// What $all hides is followed in its own stream.
func TestHiddenStreamsAreFollowedByName(t *testing.T) {
	r := start(t)
	const stream = "$persistentsubscription-$all::g-parked"
	sub, err := r.client.SubscribeToStream(r.ctx, stream, esdb.SubscribeToStreamOptions{From: esdb.Start{}})
	r.must(err)
	defer sub.Close()
	all, err := r.client.SubscribeToAll(r.ctx, esdb.SubscribeToAllOptions{From: esdb.Start{}})
	r.must(err)
	defer all.Close()
	heard(t, sub, 1)
	heard(t, all, 1)
	r.append(stream, event("hidden"))
	r.append("s", event("seen"))
	if got := heard(t, sub, 1); got != "hidden" {
		t.Errorf("of the stream: %q", got)
	}
	if got := heard(t, all, 1); got != "seen" {
		t.Errorf("of the whole log: %q", got)
	}
}

// The fields of the 26 line that newer clients read.
func TestCaughtUpTellsWhereTo(t *testing.T) {
	r := start(t)
	done := r.append("s", events(3)...)
	for name, test := range map[string]struct {
		options *streams.ReadReq_Options
		want    string
	}{
		"stream": {readOptions("s", subscribing), "2:2"},
		"all":    {readOptions("", fromAll, subscribing), fmt.Sprintf("3:%d", done.CommitPosition)},
		"empty":  {readOptions("none", subscribing), fmt.Sprintf("3:%d", done.CommitPosition)},
	} {
		call, err := r.streams().Read(r.ctx, &streams.ReadReq{Options: test.options})
		r.must(err)
		for {
			resp, err := call.Recv()
			r.must(err)
			if c := resp.GetCaughtUp(); c != nil {
				if got := caughtUpFields(t, c.ProtoReflect().GetUnknown()); got != test.want {
					t.Errorf("%s: %q, want %q", name, got, test.want)
				}
				break
			}
		}
	}
}
