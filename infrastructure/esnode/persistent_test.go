package esnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

// Section 8.1 and the rows of 7.1 about groups.
func TestGroupsAreRefusedAsTheOriginalDoes(t *testing.T) {
	r := start(t)
	r.append("order-1", events(1)...)
	r.group("order-1", "g")
	onStream := func(stream, group string, s *persistent.CreateReq_Settings) *persistent.CreateReq_Options {
		return &persistent.CreateReq_Options{GroupName: group, Settings: s, StreamOption: &persistent.CreateReq_Options_Stream{
			Stream: &persistent.CreateReq_StreamOptions{StreamIdentifier: streamID(stream), RevisionOption: &persistent.CreateReq_StreamOptions_Start{Start: &shared.Empty{}}}}}
	}
	onAll := func(commit, prepare uint64) *persistent.CreateReq_Options {
		return &persistent.CreateReq_Options{GroupName: "x", Settings: wireSettings(), StreamOption: &persistent.CreateReq_Options_All{
			All: &persistent.CreateReq_AllOptions{AllOption: &persistent.CreateReq_AllOptions_Position{Position: &persistent.CreateReq_Position{CommitPosition: commit, PreparePosition: prepare}}}}}
	}
	strategy := func(name string) *persistent.CreateReq_Settings {
		return wireSettings(func(s *persistent.CreateReq_Settings) { s.ConsumerStrategy = name })
	}
	for _, test := range []struct {
		name      string
		options   *persistent.CreateReq_Options
		code      codes.Code
		exception string
	}{
		{"there already", onStream("order-1", "g", wireSettings()), codes.AlreadyExists, "persistent-subscription-exists"},
		{"no stream", onStream("", "x", wireSettings()), codes.Internal, "persistent-subscription-failed"},
		{"$all as a stream", onStream("$all", "x", wireSettings()), codes.Internal, "persistent-subscription-failed"},
		{"unknown strategy", onStream("s", "x", strategy("Random")), codes.Internal, "persistent-subscription-failed"},
		{"a batch as large as the buffer", onStream("s", "x", wireSettings(func(s *persistent.CreateReq_Settings) { s.ReadBatchSize = 500 })), codes.Internal, "persistent-subscription-failed"},
		{"prepare behind commit", onAll(1, 2), codes.Internal, "persistent-subscription-failed"},
		{"beyond the end of the log", onAll(1<<40, 1<<40), codes.Internal, "persistent-subscription-failed"},
		{"no settings", onStream("s", "x", nil), codes.InvalidArgument, ""},
	} {
		trailers, err := r.rawCreate(test.options)
		if statusOf(err) != test.code || first(trailers, "exception") != test.exception {
			t.Errorf("%s: %v %v", test.name, err, trailers)
		}
		if test.exception != "" && len(trailers.Get("stream-name"))+len(trailers.Get("group-name")) != 2 {
			t.Errorf("%s: trailers %v", test.name, trailers)
		}
		if test.code == codes.Internal && first(trailers, "reason") == "" {
			t.Errorf("%s: no reason", test.name)
		}
	}
	for _, name := range []string{"RoundRobin", "DispatchToSingle", "Pinned", "PinnedByCorrelation"} {
		if _, err := r.rawCreate(onStream("s", name, strategy(name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := r.wireInfo("s", name).GetNamedConsumerStrategy(); got != name {
			t.Errorf("%s is told as %s", name, got)
		}
	}
}

func TestMissingGroupsAreTold(t *testing.T) {
	r := start(t)
	r.append("order-1", events(1)...)
	stream := streamID("order-1")
	var trailers metadata.MD
	for name, call := range map[string]func() error{
		"update": func() error {
			_, err := r.persistent().Update(r.ctx, &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{GroupName: "g", StreamIdentifier: stream,
				Settings: &persistent.UpdateReq_Settings{HistoryBufferSize: 10}}}, grpc.Trailer(&trailers))
			return err
		},
		"delete": func() error {
			_, err := r.persistent().Delete(r.ctx, &persistent.DeleteReq{Options: &persistent.DeleteReq_Options{GroupName: "g",
				StreamOption: &persistent.DeleteReq_Options_StreamIdentifier{StreamIdentifier: stream}}}, grpc.Trailer(&trailers))
			return err
		},
		"info": func() error {
			_, err := r.persistent().GetInfo(r.ctx, &persistent.GetInfoReq{Options: &persistent.GetInfoReq_Options{GroupName: "g",
				StreamOption: &persistent.GetInfoReq_Options_StreamIdentifier{StreamIdentifier: stream}}}, grpc.Trailer(&trailers))
			return err
		},
		"replay": func() error {
			_, err := r.persistent().ReplayParked(r.ctx, &persistent.ReplayParkedReq{Options: &persistent.ReplayParkedReq_Options{GroupName: "g",
				StreamOption: &persistent.ReplayParkedReq_Options_StreamIdentifier{StreamIdentifier: stream}}}, grpc.Trailer(&trailers))
			return err
		},
		"read": func() error {
			c, err := r.rawConsume("order-1", "g", 1)
			trailers = c.call.Trailer()
			return err
		},
	} {
		err := call()
		if statusOf(err) != codes.NotFound || first(trailers, "exception") != "persistent-subscription-does-not-exist" ||
			first(trailers, "stream-name") != "order-1" || first(trailers, "group-name") != "g" {
			t.Errorf("%s: %v %v", name, err, trailers)
		}
	}
}

// Section 8.3.
func TestConsumersAreRefused(t *testing.T) {
	r := start(t)
	r.group("s", "g", func(o *esdb.PersistentStreamSubscriptionOptions) { o.Settings.MaxSubscriberCount = 1 })
	if _, err := r.rawConsume("s", "g", 0); statusOf(err) != codes.InvalidArgument {
		t.Errorf("no buffer: %v", err)
	}
	one, err := r.rawConsume("s", "g", 1)
	if r.must(err); one.id != "s::g" {
		t.Errorf("the subscription is called %q", one.id)
	}
	two, err := r.rawConsume("s", "g", 1)
	if statusOf(err) != codes.FailedPrecondition || first(two.call.Trailer(), "exception") != "maximum-subscribers-reached" {
		t.Errorf("one too many: %v %v", err, two.call.Trailer())
	}
	// Half-closing ends a consumer, as the Node clients do it; then there is a place.
	r.must(one.call.CloseSend())
	eventually(t, "the place is free", func() bool { c, err := r.rawConsume("s", "g", 1); _ = c; return err == nil })
	bare, err := r.persistent().Read(r.ctx)
	r.must(err)
	r.must(bare.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Ack_{Ack: &persistent.ReadReq_Ack{}}}))
	if _, err := bare.Recv(); statusOf(err) != codes.InvalidArgument {
		t.Errorf("an ack before the options: %v", err)
	}
}

// Pitfalls 15 and 16: what the Node clients send, and ids as text.
func TestGroupsOfNodeClients(t *testing.T) {
	r := start(t)
	r.append("s", events(5)...)
	for revision, want := range map[uint64]uint64{0: 0, 3: 3} {
		name := fmt.Sprintf("g%d", revision)
		_, err := r.rawCreate(&persistent.CreateReq_Options{GroupName: name, StreamIdentifier: streamID("s"),
			Settings: wireSettings(func(s *persistent.CreateReq_Settings) { s.Revision = revision })})
		r.must(err)
		c, err := r.rawConsume("s", name, 1)
		r.must(err)
		e := c.event()
		if e.GetEvent().GetStreamRevision() != want || e.GetRetryCount() != 0 || e.GetCount() == nil {
			t.Errorf("from %d: %v", revision, e)
		}
		c.ack(e.GetEvent().GetId())
		if next := c.event(); next.GetEvent().GetStreamRevision() != want+1 {
			t.Errorf("after the ack: %v", next)
		}
	}
	_, err := r.rawCreate(&persistent.CreateReq_Options{GroupName: "end", StreamIdentifier: streamID("s"),
		Settings: wireSettings(func(s *persistent.CreateReq_Settings) { s.Revision = noNumber })})
	r.must(err)
	if got := r.wireInfo("s", "end").GetStartFrom(); got != "-1" {
		t.Errorf("from the end is told as %q", got)
	}
	_, err = r.persistent().Update(r.ctx, &persistent.UpdateReq{Options: &persistent.UpdateReq_Options{GroupName: "end", StreamIdentifier: streamID("s"),
		Settings: &persistent.UpdateReq_Settings{Revision: 2, HistoryBufferSize: 300, ReadBatchSize: 3, MessageTimeout: &persistent.UpdateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: 70_000_000},
			CheckpointAfter: &persistent.UpdateReq_Settings_CheckpointAfterTicks{CheckpointAfterTicks: 30_000_000}, NamedConsumerStrategy: persistent.UpdateReq_Pinned}}})
	r.must(err)
	info := r.wireInfo("s", "end")
	if info.GetStartFrom() != "2" || info.GetBufferSize() != 300 || info.GetMessageTimeoutMilliseconds() != 7000 || info.GetCheckPointAfterMilliseconds() != 3000 || info.GetNamedConsumerStrategy() != "Pinned" {
		t.Errorf("after the update: %v", info)
	}
}

// Section 8.2; pitfall 9: persistent starts are inclusive.
func TestGroupsStartWhereTheyAreTold(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	at := func(from esdb.StreamPosition) func(*esdb.PersistentStreamSubscriptionOptions) {
		return func(o *esdb.PersistentStreamSubscriptionOptions) { o.StartFrom = from }
	}
	for name, test := range map[string]struct {
		from      esdb.StreamPosition
		want      string
		startFrom string
	}{
		"start": {esdb.Start{}, "0 1 2 3 4", "0"}, "revision": {esdb.Revision(1), "1 2 3 4", "1"},
		"future": {esdb.Revision(4), "4", "4"}, "end": {esdb.End{}, "3 4", "-1"},
	} {
		r.group("s", name, at(test.from))
		if info := r.wireInfo("s", name); info.GetStartFrom() != test.startFrom {
			t.Errorf("%s starts from %q, want %q", name, info.GetStartFrom(), test.startFrom)
		}
		defer func() {
			if got := got(t, r.consume("s", name, 10), len(strings.Fields(test.want)), true); got != test.want {
				t.Errorf("%s: %q, want %q", name, got, test.want)
			}
		}()
	}
	all, err := r.readAll(esdb.ReadAllOptions{}, 3)
	r.must(err)
	second := all[1].OriginalEvent().Position
	for name, test := range map[string]struct {
		from esdb.AllPosition
		want []uint64
	}{
		"start": {esdb.Start{}, []uint64{0, 1, 2, 3, 4}}, "position": {second, []uint64{1, 2, 3, 4}}, "end": {esdb.End{}, []uint64{3, 4}},
	} {
		r.groupOnAll(name, func(o *esdb.PersistentAllSubscriptionOptions) {
			o.StartFrom = test.from
			o.Filter = &esdb.SubscriptionFilter{Type: esdb.StreamFilterType, Prefixes: []string{"s"}}
		})
		defer func() {
			sub := r.consume(allStream, name, 10)
			var got []uint64
			for range test.want {
				got = append(got, delivered(t, sub).Event.OriginalEvent().EventNumber)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("$all, %s: %v, want %v", name, got, test.want)
			}
		}()
	}
	r.append("s", events(2)...)
}

// Section 8.8; pitfall 21.
func TestConsumersAreDroppedByUpdateDeleteAndRestart(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	r.group("s", "g")
	settings := esdb.SubscriptionSettingsDefault()
	for name, do := range map[string]func() error{
		"update": func() error {
			return r.client.UpdatePersistentSubscription(r.ctx, "s", "g", esdb.PersistentStreamSubscriptionOptions{Settings: &settings})
		},
		"restart": func() error {
			return r.client.RestartPersistentSubscriptionSubsystem(r.ctx, esdb.RestartPersistentSubscriptionSubsystemOptions{})
		},
	} {
		c, err := r.rawConsume("s", "g", 10)
		r.must(err)
		if e := c.event(); e.GetEvent().GetStreamRevision() != 0 || e.GetRetryCount() != 0 {
			t.Errorf("before %s: %v", name, e)
		}
		r.must(do())
		c.expectDropped(name)
	}
	c, err := r.rawConsume("s", "g", 10)
	r.must(err)
	r.must(r.client.DeletePersistentSubscription(r.ctx, "s", "g", esdb.DeletePersistentSubscriptionOptions{}))
	c.expectDropped("delete")
}

func (c *rawConsumer) expectDropped(by string) {
	c.Helper()
	for {
		if _, err := c.call.Recv(); err != nil {
			md := c.call.Trailer()
			if statusOf(err) != codes.Canceled || first(md, "exception") != "persistent-subscription-dropped" || first(md, "stream-name") != "s" || first(md, "group-name") != "g" {
				c.Errorf("dropped by %s: %v %v", by, err, md)
			}
			return
		}
	}
}

// Section 8.2, the last paragraph.
func TestTombstonedSourceFaultsTheGroup(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	r.group("s", "g")
	c, err := r.rawConsume("s", "g", 10)
	r.must(err)
	c.event()
	_, err = r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{})
	r.must(err)
	r.append("s", events(1)...) // a soft delete does not end it
	if e := c.event(); e.GetEvent().GetStreamRevision() != 1 {
		t.Fatalf("after the soft delete: %v", e)
	}
	_, err = r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{})
	r.must(err)
	c.expectDropped("tombstone")
	_, err = r.rawConsume("s", "g", 10)
	if statusOf(err) != codes.Canceled {
		t.Errorf("a new consumer: %v", err)
	}
	r.reopen()
	if _, err := r.rawConsume("s", "g", 10); statusOf(err) != codes.Canceled {
		t.Errorf("after a restart: %v", err)
	}
}
