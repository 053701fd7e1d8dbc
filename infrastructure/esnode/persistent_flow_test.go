package esnode

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// Section 8.5; pitfall 18: max 10 means 11 deliveries, then the parked stream.
func TestRetriesAreCountedAndEndInTheParkedStream(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	r.group("s", "g")
	sub := r.consume("s", "g", 1)
	for retry := range 11 {
		e := delivered(t, sub)
		if e.Event.OriginalEvent().EventNumber != 0 || e.RetryCount != retry {
			t.Fatalf("delivery %d: event %d, retry %d", retry, e.Event.OriginalEvent().EventNumber, e.RetryCount)
		}
		r.must(sub.Nack("broken", esdb.NackActionRetry, e.Event))
	}
	e := delivered(t, sub)
	r.must(sub.Nack("I don't like it", esdb.NackActionPark, e.Event))
	if last := got(t, sub, 1, true); last != "2" {
		t.Fatalf("then %s", last)
	}
	eventually(t, "two are parked", func() bool { return r.info("s", "g").Stats.ParkedMessagesCount == 2 })
	parked, err := r.read("$persistentsubscription-s::g-parked", esdb.ReadStreamOptions{}, 10)
	r.must(err)
	for i, want := range []struct{ data, reason string }{{"0@s", "Reached retry count of 10"}, {"1@s", "Client explicitly NAK'ed message.\nI don't like it"}} {
		var meta map[string]any
		r.must(json.Unmarshal(parked[i].Event.UserMetadata, &meta))
		number, told := meta["subscriptionEventNumber"]
		if string(parked[i].Event.Data) != want.data || parked[i].Event.EventType != "$>" || meta["reason"] != want.reason || told != (i > 0) || told && number != float64(i) {
			t.Errorf("parked %d: %s with %v", i, parked[i].Event.Data, meta)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(meta["added"])); err != nil {
			t.Error(err)
		}
	}
}

// clock is a time that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time       { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) move(d time.Duration) { c.ahead.Add(int64(d)) }
func (c *clock) option(o *Options)    { o.Now = c.now }

func TestTimeoutsAndDisconnectsCountAsRetries(t *testing.T) {
	t.Parallel()
	var c clock
	r := start(t, c.option)
	r.append("s", events(2)...)
	r.group("s", "g", func(o *esdb.PersistentStreamSubscriptionOptions) { o.Settings.MaxRetryCount = 1 })
	one := r.consume("s", "g", 1)
	if first := got(t, one, 1, false); first != "0" {
		t.Fatal(first)
	}
	c.move(31 * time.Second)
	if again := got(t, one, 1, false); again != "0#1" {
		t.Fatalf("after the timeout: %s", again)
	}
	r.must(one.Close())
	eventually(t, "the first consumer has gone", func() bool { return len(r.wireInfo("s", "g").GetConnections()) == 0 })
	two := r.consume("s", "g", 1)
	if again := got(t, two, 1, false); again != "0#2" {
		t.Fatalf("after the disconnect, which never parks: %s", again)
	}
	c.move(31 * time.Second)
	if next := got(t, two, 1, true); next != "1" {
		t.Fatalf("after the last timeout: %s", next)
	}
	eventually(t, "the first is parked", func() bool { return r.info("s", "g").Stats.ParkedMessagesCount == 1 })
}

// Section 8.7; pitfall 20.
func TestReplayOfParkedMessages(t *testing.T) {
	r := start(t)
	r.append("s", events(5)...)
	r.append("doomed", events(1)...)
	link := event("$>", func(e *esdb.EventData) { e.Data, e.ContentType = []byte("0@doomed"), esdb.ContentTypeBinary })
	r.append("s", link)
	r.group("s", "g", func(o *esdb.PersistentStreamSubscriptionOptions) {
		o.Settings.MaxRetryCount, o.Settings.ResolveLinkTos = 1, true
	})
	if err := r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{}); err != nil {
		t.Fatalf("nothing is parked: %v", err)
	}
	c, err := r.rawConsume("s", "g", 20)
	r.must(err)
	for range 6 {
		e := c.event()
		id := e.GetEvent().GetId()
		if e.GetLink() != nil {
			id = e.GetLink().GetId()
		}
		c.nack(persistent.ReadReq_Nack_Park, id)
	}
	eventually(t, "all are parked", func() bool { return r.wireInfo("s", "g").GetParkedMessageCount() == 6 })
	_, err = r.client.DeleteStream(r.ctx, "doomed", esdb.DeleteStreamOptions{})
	r.must(err)
	// Up to a revision of the parked stream, exclusive.
	r.must(r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: 2}))
	for want := range uint64(2) {
		e := c.event()
		if e.GetLink() == nil || string(e.GetLink().GetStreamIdentifier().GetStreamName()) != "$persistentsubscription-s::g-parked" ||
			e.GetEvent().GetStreamRevision() != want || e.GetLink().GetStreamRevision() != want || e.GetRetryCount() != 0 {
			t.Fatalf("replayed %v", e)
		}
		c.ack(e.GetEvent().GetId()) // is not what a replayed message is acknowledged by
		if want == 0 {
			c.ack(e.GetLink().GetId())
		} else {
			c.nack(persistent.ReadReq_Nack_Retry, e.GetLink().GetId())
			again := c.event()
			if again.GetRetryCount() != 1 || again.GetLink().GetId().GetString_() != e.GetLink().GetId().GetString_() {
				t.Fatalf("failed again: %v", again)
			}
			c.nack(persistent.ReadReq_Nack_Retry, e.GetLink().GetId()) // and is parked at the end
		}
	}
	eventually(t, "one is done, one at the end", func() bool { return r.wireInfo("s", "g").GetParkedMessageCount() == 5 })
	eventually(t, "the parked stream is cut", func() bool {
		all, err := r.read("$persistentsubscription-s::g-parked", esdb.ReadStreamOptions{}, 20)
		r.must(err)
		return slices.Equal(numbers(all), []uint64{2, 3, 4, 5, 6})
	})
	// The rest: the one whose target is gone is dropped in silence.
	r.must(r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{}))
	var revisions []uint64
	for range 4 {
		e := c.event()
		revisions = append(revisions, e.GetEvent().GetStreamRevision())
		c.ack(e.GetLink().GetId())
	}
	if !slices.Equal(revisions, []uint64{2, 3, 4, 1}) {
		t.Fatalf("replayed %v", revisions)
	}
	eventually(t, "nothing is parked", func() bool { return r.wireInfo("s", "g").GetParkedMessageCount() == 0 })
	if err := r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{StopAt: -1}); err == nil {
		t.Error("a negative end was taken")
	}
}

// What was replayed and not settled is still parked after a crash.
func TestReplayedMessagesSurviveACrash(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	r.group("s", "g")
	sub := r.consume("s", "g", 10)
	for range 3 {
		r.must(sub.Nack("later", esdb.NackActionPark, delivered(t, sub).Event))
	}
	eventually(t, "all are parked", func() bool { return r.info("s", "g").Stats.ParkedMessagesCount == 3 })
	r.must(r.client.ReplayParkedMessages(r.ctx, "s", "g", esdb.ReplayParkedMessagesOptions{}))
	r.must(sub.Ack(delivered(t, sub).Event))
	delivered(t, sub)
	eventually(t, "the first is cut off", func() bool {
		all, err := r.read("$persistentsubscription-s::g-parked", esdb.ReadStreamOptions{}, 20)
		r.must(err)
		return slices.Equal(numbers(all), []uint64{1, 2})
	})
	r.reopen()
	if n := r.info("s", "g").Stats.ParkedMessagesCount; n != 2 {
		t.Fatalf("%d are parked after the crash, want the two that nobody settled", n)
	}
}

// Section 8.6; pitfall 19.
func TestCheckpointsOutliveTheNode(t *testing.T) {
	r := start(t)
	r.append("s", events(40)...)
	settings := func(o *esdb.PersistentStreamSubscriptionOptions) {
		o.Settings.CheckpointLowerBound, o.Settings.CheckpointUpperBound = 5, 20
	}
	r.group("s", "g", settings)
	sub := r.consume("s", "g", 40)
	first := delivered(t, sub)
	got(t, sub, 39, true)
	if at := r.wireInfo("s", "g").GetLastCheckpointedEventPosition(); at != "" {
		t.Fatalf("checkpoint at %q, while the first event is not settled", at)
	}
	r.must(sub.Ack(first.Event))
	eventually(t, "all is settled", func() bool { return r.wireInfo("s", "g").GetLastCheckpointedEventPosition() == "39" })
	stored, err := r.read("$persistentsubscription-s::g-checkpoint", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	r.must(err)
	if e := stored[0].Event; string(e.Data) != `"39"` || e.EventType != "$SubscriptionCheckpoint" || e.ContentType != contentJSON {
		t.Errorf("the checkpoint is %+v", e)
	}
	r.append("s", events(4)...)
	if more := got(t, sub, 4, true); more != "40 41 42 43" {
		t.Fatal(more)
	}
	r.reopen()
	sub = r.consume("s", "g", 40)
	if again := got(t, sub, 4, false); again != "40 41 42 43" {
		t.Fatalf("after the crash %s, want what is behind the checkpoint", again)
	}
	// The start is ignored once there is a checkpoint, also by an update.
	o := esdb.SubscriptionSettingsDefault()
	r.must(r.client.UpdatePersistentSubscription(r.ctx, "s", "g", esdb.PersistentStreamSubscriptionOptions{StartFrom: esdb.Start{}, Settings: &o}))
	if again := got(t, r.consume("s", "g", 1), 1, false); again != "40" {
		t.Fatalf("after the update %s", again)
	}
	// A deleted group forgets it.
	r.must(r.client.DeletePersistentSubscription(r.ctx, "s", "g", esdb.DeletePersistentSubscriptionOptions{}))
	r.group("s", "g")
	if again := got(t, r.consume("s", "g", 1), 1, false); again != "0" {
		t.Fatalf("a new group of the name begins with %s", again)
	}
}

func TestCheckpointsByTimeNeedTheLowerCount(t *testing.T) {
	t.Parallel()
	var c clock
	r := start(t, c.option)
	r.append("s", events(12)...)
	r.group("s", "g")
	sub := r.consume("s", "g", 20)
	got(t, sub, 9, true)
	c.move(time.Minute)
	nine := time.Now()
	eventually(t, "the timer ran", func() bool { return time.Since(nine) > 1200*time.Millisecond })
	if at := r.wireInfo("s", "g").GetLastCheckpointedEventPosition(); at != "" {
		t.Fatalf("a checkpoint at %q for nine events", at)
	}
	got(t, sub, 1, true)
	eventually(t, "ten are enough", func() bool { return r.wireInfo("s", "g").GetLastCheckpointedEventPosition() == "9" })
}

// Section 8.10: groups on $all with a filter, their positions and their checkpoints across what is
// filtered out.
func TestGroupsOnAll(t *testing.T) {
	t.Parallel()
	r := start(t)
	for i := range 300 {
		r.append([]string{"order-1", "stock-1", "account-1"}[i%3], event(fmt.Sprintf("e%d", i)))
	}
	r.groupOnAll("g", func(o *esdb.PersistentAllSubscriptionOptions) {
		o.Filter = &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"order-"}}
		o.Settings.CheckpointUpperBound = 10
	})
	sub := r.consume(allStream, "g", 100)
	if all := got(t, sub, 100, true); !strings.HasPrefix(all, "0 1 2 ") || !strings.HasSuffix(all, " 98 99") {
		t.Fatal(all)
	}
	head := fmt.Sprintf("C:%d/P:%d", r.log.Head(), r.log.Head())
	eventually(t, "the checkpoint is behind the last", func() bool {
		list, err := r.persistent().List(r.ctx, &persistent.ListReq{Options: &persistent.ListReq_Options{ListOption: &persistent.ListReq_Options_ListAllSubscriptions{}}})
		r.must(err)
		info := list.GetSubscriptions()[0]
		at, ok := readPlace(info.GetLastCheckpointedEventPosition())
		return info.GetStartFrom() == "C:0/P:0" && info.GetEventSource() == "$all" && strings.HasPrefix(info.GetLastKnownEventPosition(), "C:") && ok && at >= 298 && len(head) > 0
	})
	r.reopen()
	r.append("order-1", event("after"))
	sub = r.consume(allStream, "g", 100)
	e := delivered(t, sub)
	for e.Event.OriginalEvent().EventNumber < 100 {
		if e.Event.OriginalEvent().EventNumber < 96 {
			t.Fatalf("%d came again", e.Event.OriginalEvent().EventNumber)
		}
		e = delivered(t, sub)
	}
	r.must(sub.Close())
	// No filter: system events as well, but nothing of the group's own streams.
	r.groupOnAll("everything", func(o *esdb.PersistentAllSubscriptionOptions) { o.Settings.CheckpointUpperBound = 1 })
	sub = r.consume(allStream, "everything", 50)
	for range 301 {
		e := delivered(t, sub)
		if s := e.Event.OriginalEvent().StreamID; strings.HasPrefix(s, "$persistentsubscription-$all") {
			t.Fatalf("heard of %s", s)
		}
		r.must(sub.Ack(e.Event))
	}
}

// Sections 8.10 and 8.5; pitfalls 14 and 15: on a category's stream one acks the link.
func TestGroupsOnACategory(t *testing.T) {
	r := startWith(t, []string{eventlog.ByCategory})
	r.append("order-1", events(2)...)
	r.append("order-2", events(1)...)
	_, err := r.client.DeleteStream(r.ctx, "order-2", esdb.DeleteStreamOptions{})
	r.must(err)
	r.group("$ce-order", "g", func(o *esdb.PersistentStreamSubscriptionOptions) { o.Settings.ResolveLinkTos = true })
	c, err := r.rawConsume("$ce-order", "g", 1)
	r.must(err)
	var heard []string
	for range 4 {
		e := c.event()
		text := "gone"
		if e.GetEvent() != nil {
			text = fmt.Sprintf("%d@%s", e.GetEvent().GetStreamRevision(), e.GetEvent().GetStreamIdentifier().GetStreamName())
			if e.GetEvent().GetCommitPosition() != e.GetLink().GetCommitPosition() {
				t.Errorf("event and link have positions %d and %d, want that of the link for both", e.GetEvent().GetCommitPosition(), e.GetLink().GetCommitPosition())
			}
			c.ack(e.GetEvent().GetId()) // without effect: the buffer of one stays full
		}
		heard = append(heard, fmt.Sprintf("%d: %s", e.GetLink().GetStreamRevision(), text))
		c.ack(e.GetLink().GetId())
	}
	if want := []string{"0: 0@order-1", "1: 1@order-1", "2: gone", "3: 0@$$order-2"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}
