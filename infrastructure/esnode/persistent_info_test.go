package esnode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
)

func (r *rig) rawList(stream string) ([]string, error) {
	o := &persistent.ListReq_Options{ListOption: &persistent.ListReq_Options_ListAllSubscriptions{}}
	if stream == allStream {
		o.ListOption = &persistent.ListReq_Options_ListForStream{ListForStream: &persistent.ListReq_StreamOption{StreamOption: &persistent.ListReq_StreamOption_All{All: &shared.Empty{}}}}
	} else if stream != "" {
		o.ListOption = &persistent.ListReq_Options_ListForStream{ListForStream: &persistent.ListReq_StreamOption{StreamOption: &persistent.ListReq_StreamOption_Stream{Stream: streamID(stream)}}}
	}
	resp, err := r.persistent().List(r.ctx, &persistent.ListReq{Options: o})
	var out []string
	for _, s := range resp.GetSubscriptions() {
		out = append(out, s.GetEventSource()+"::"+s.GetGroupName())
	}
	return out, err
}

// Section 8.9.
func TestGroupsAreListed(t *testing.T) {
	r := start(t)
	list := func(stream, want string) {
		t.Helper()
		got, err := r.rawList(stream)
		text := strings.Join(got, " ")
		if statusOf(err) == codes.NotFound {
			text = "missing"
		} else {
			r.must(err)
		}
		if text != want {
			t.Errorf("of %q: %q, want %q", stream, text, want)
		}
	}
	list("", "")
	list("b", "missing")
	list(allStream, "missing")
	r.group("b", "g2")
	r.group("b", "g1")
	r.group("a", "g")
	r.groupOnAll("g")
	list("", "$all::g a::g b::g1 b::g2")
	list("b", "b::g1 b::g2")
	list(allStream, "$all::g")
	r.must(r.client.DeletePersistentSubscription(r.ctx, "a", "g", esdb.DeletePersistentSubscriptionOptions{}))
	list("a", "")
	r.reopen()
	list("", "$all::g b::g1 b::g2")
	subs, err := r.client.ListAllPersistentSubscriptions(r.ctx, esdb.ListPersistentSubscriptionsOptions{})
	if r.must(err); len(subs) != 3 {
		t.Errorf("the official client lists %d", len(subs))
	}
}

// Section 8.9; pitfall 22: everything a client parses, parses.
func TestInfoTellsHowAGroupStands(t *testing.T) {
	r := start(t)
	r.append("s", events(30)...)
	r.group("s", "g", func(o *esdb.PersistentStreamSubscriptionOptions) {
		o.Settings.ExtraStatistics, o.Settings.MaxSubscriberCount, o.Settings.HistoryBufferSize, o.Settings.ReadBatchSize = true, 3, 15, 5
	})
	info := r.wireInfo("s", "g")
	if info.GetStatus() != "Behind" || info.GetLastCheckpointedEventPosition() != "" || info.GetTotalItems() != 0 || info.GetMaxSubscriberCount() != 3 || info.GetReadBatchSize() != 5 {
		t.Errorf("at first: %v", info)
	}
	eventually(t, "the buffer is full", func() bool { return r.wireInfo("s", "g").GetReadBufferCount() == 15 })
	sub := r.consume("s", "g", 4)
	got(t, sub, 10, true)
	e := delivered(t, sub)
	r.must(sub.Nack("x", esdb.NackActionPark, e.Event))
	eventually(t, "four are in flight and one is parked", func() bool {
		i := r.wireInfo("s", "g")
		return i.GetTotalInFlightMessages() == 4 && i.GetParkedMessageCount() == 1
	})
	info = r.wireInfo("s", "g")
	c := info.GetConnections()[0]
	if info.GetTotalItems() != 15 || c.GetTotalItems() != 15 || c.GetInFlightMessages() != 4 || c.GetAvailableSlots() != 0 || info.GetOutstandingMessagesCount() != 4 ||
		c.GetUsername() != "anonymous" || c.GetFrom() != "" || c.GetConnectionName() != "<unknown>" {
		t.Errorf("with a consumer: %v", info)
	}
	keys := []string{}
	for _, m := range c.GetObservedMeasurements() {
		keys = append(keys, m.GetKey())
	}
	if want := "Mean Median Fastest Quintile 1 Quintile 2 Quintile 3 Quintile 4 Quintile 5 90% 95% 99% 99.5% 99.9% Highest"; strings.Join(keys, " ") != want {
		t.Errorf("measurements %v", keys)
	}
	if again := r.wireInfo("s", "g"); again.GetCountSinceLastMeasurement() != 0 || again.GetTotalItems() != 15 {
		t.Errorf("nothing happened since the last query: %v", again)
	}
	r.must(sub.Ack(delivered(t, sub).Event))
	if o := r.info("s", "g"); o.EventSource != "s" || o.GroupName != "g" || o.Settings.HistoryBufferSize != 15 || o.Settings.StartFrom != (esdb.Start{}) {
		t.Errorf("the official client sees %+v", o)
	}
	r.groupOnAll("a", func(o *esdb.PersistentAllSubscriptionOptions) { o.StartFrom = esdb.End{} })
	if o := r.info(allStream, "a"); o.Settings.StartFrom != (esdb.End{}) || o.Status != "Live" {
		t.Errorf("on $all, from the end: %+v", o)
	}
}

// Section 8.4, over the wire: one consumer per bucket keeps the order of each stream.
func TestPinnedConsumersKeepStreamsApart(t *testing.T) {
	r := start(t)
	for name, strategy := range map[string]string{"streams": "Pinned", "correlations": "PinnedByCorrelation"} {
		_, err := r.rawCreate(&persistent.CreateReq_Options{GroupName: name,
			Settings: wireSettings(func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = strategy }),
			StreamOption: &persistent.CreateReq_Options_All{All: &persistent.CreateReq_AllOptions{
				AllOption: &persistent.CreateReq_AllOptions_Start{}, FilterOption: &persistent.CreateReq_AllOptions_Filter{Filter: &persistent.CreateReq_AllOptions_FilterOptions{
					Filter: &persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier{StreamIdentifier: &persistent.CreateReq_AllOptions_FilterOptions_Expression{Prefix: []string{"s-"}}}}}}}})
		r.must(err)
	}
	type heard struct {
		group    string
		consumer int
		event    *esdb.RecordedEvent
	}
	all := make(chan heard)
	for _, name := range []string{"streams", "correlations"} {
		for c := range 3 {
			sub := r.consume(allStream, name, 7)
			go func() {
				for {
					e := sub.Recv().EventAppeared
					if e == nil {
						return
					}
					if sub.Ack(e.Event) != nil { // first, so that none is under way when the test closes the client
						return
					}
					select {
					case all <- heard{name, c, e.Event.OriginalEvent()}:
					case <-r.ctx.Done():
						return
					}
				}
			}()
		}
	}
	const streams, each = 20, 15
	for i := range streams * each {
		r.append(fmt.Sprintf("s-%d", i%streams), event("x", func(e *esdb.EventData) { e.Metadata = []byte(fmt.Sprintf(`{"$correlationId":"c%d"}`, i%7)) }))
	}
	owner := map[string]int{}
	last := map[string]uint64{}
	consumers := map[string]bool{}
	for range 2 * streams * each {
		h := <-all
		key := h.group + h.event.StreamID
		if h.group == "correlations" {
			key = h.group + string(h.event.UserMetadata)
		}
		if c, known := owner[key]; known && c != h.consumer {
			t.Fatalf("%s went from consumer %d to %d", key, c, h.consumer)
		}
		if h.event.Position.Commit <= last[key] {
			t.Fatalf("%s: %d behind %d", key, h.event.Position.Commit, last[key])
		}
		owner[key], last[key] = h.consumer, h.event.Position.Commit
		consumers[fmt.Sprint(h.group, h.consumer)] = true
	}
	if len(consumers) != 6 {
		t.Errorf("only %v had something to do", consumers)
	}
}
