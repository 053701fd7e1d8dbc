package esnode

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/grpc/codes"
)

// Clients can end the streams that a group keeps for itself. The node starts all the same, the group begins
// as if it had never stored anything, and it can be deleted.
func TestTombstonedStreamsOfAGroupStopNobody(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	r.group("s", "g", func(o *esdb.PersistentStreamSubscriptionOptions) { o.Settings.CheckpointUpperBound = 1 })
	got(t, r.consume("s", "g", 5), 3, true)
	eventually(t, "a checkpoint", func() bool { return r.wireInfo("s", "g").GetLastCheckpointedEventPosition() == "2" })
	for _, stream := range []string{"$persistentsubscription-s::g-checkpoint", "$persistentsubscription-s::g-parked"} {
		_, err := r.client.TombstoneStream(r.ctx, stream, esdb.TombstoneStreamOptions{})
		r.must(err)
	}
	r.reopen()
	if all := got(t, r.consume("s", "g", 5), 3, false); all != "0 1 2" {
		t.Errorf("after the restart: %s", all)
	}
	r.must(r.client.DeletePersistentSubscription(r.ctx, "s", "g", esdb.DeletePersistentSubscriptionOptions{}))
}

// What a consumer says of a message that it could not process is kept with each, so it is cut.
func TestReasonsOfParkedMessagesAreBounded(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	r.group("s", "g")
	c, err := r.rawConsume("s", "g", 5)
	r.must(err)
	r.must(c.call.Send(&persistent.ReadReq{Content: &persistent.ReadReq_Nack_{Nack: &persistent.ReadReq_Nack{
		Ids: []*shared.UUID{c.event().GetEvent().GetId()}, Action: persistent.ReadReq_Nack_Park, Reason: "x" + strings.Repeat("é", 1<<20)}}}))
	eventually(t, "it is parked", func() bool { return r.wireInfo("s", "g").GetParkedMessageCount() == 1 })
	parked, err := r.read("$persistentsubscription-s::g-parked", esdb.ReadStreamOptions{}, 1)
	r.must(err)
	var meta parkedMeta
	r.must(json.Unmarshal(parked[0].OriginalEvent().UserMetadata, &meta))
	_, reason, _ := strings.Cut(meta.Reason, "\n")
	if len(reason) != maxReason-1 || !utf8.ValidString(reason) || strings.Contains(reason, "\uFFFD") {
		t.Errorf("the reason has %d bytes and begins with %.20q", len(reason), reason)
	}
}

// Timeouts are told in 32 bits. One that is longer counts as the longest, not as one that is long over.
func TestTimeoutsBeyondWhatCanBeToldAreTheLongest(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	_, err := r.rawCreate(&persistent.CreateReq_Options{GroupName: "g", StreamIdentifier: streamID("s"), Settings: wireSettings(func(s *persistent.CreateReq_Settings) {
		s.MessageTimeout = &persistent.CreateReq_Settings_MessageTimeoutTicks{MessageTimeoutTicks: math.MaxInt64}
		s.CheckpointAfter = &persistent.CreateReq_Settings_CheckpointAfterTicks{CheckpointAfterTicks: math.MaxInt64}
	})})
	r.must(err)
	info := r.wireInfo("s", "g")
	if info.GetMessageTimeoutMilliseconds() != math.MaxInt32 || info.GetCheckPointAfterMilliseconds() != math.MaxInt32 {
		t.Errorf("told as %d and %d ms", info.GetMessageTimeoutMilliseconds(), info.GetCheckPointAfterMilliseconds())
	}
	if d := r.node.groups.find(groupKey{"s", "g"}).config.settings().MessageTimeout; d <= 0 {
		t.Errorf("a message may take %v", d)
	}
}

// A group that can't be started again when all are is not forgotten: the next try and the next start find it.
func TestGroupsThatCanNotBeRestartedAreKept(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	r.group("s", "one")
	r.group("s", "two")
	one := r.node.groups.find(groupKey{"s", "one"})
	one.config.Filter = &filterSpec{Regex: "("} // it is looked at when a group starts
	if r.node.groups.restart() == nil {
		t.Fatal("restarted with a filter that can't be read")
	}
	one.config.Filter = nil
	r.consume("s", "two", 1) // the others are not held up
	if _, err := r.rawConsume("s", "one", 1); statusOf(err) != codes.NotFound {
		t.Errorf("a group that has not been started: %v", err)
	}
	r.group("s", "three") // writes the settings of all
	r.must(r.node.groups.restart())
	r.reopen()
	for _, name := range []string{"one", "two", "three"} {
		if all := got(t, r.consume("s", name, 1), 1, true); all != "0" {
			t.Errorf("%s gets %s", name, all)
		}
	}
}
