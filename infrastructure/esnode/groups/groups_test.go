package groups

import (
	"testing"
	"time"
)

func TestGroupsDeliverAsTheOriginal(t *testing.T) {
	quick := func(s *Settings) { s.MaxRetryCount = 1 }
	strategy := func(k Strategy) func(*Settings) { return func(s *Settings) { s.Strategy = k } }
	for _, test := range []struct {
		name     string
		settings Settings
		script   string
	}{
		{"a consumer gets as many as it has slots for", defaults(), `
			offer 0-4
			connect a 2  => a:0 a:1
			ack 1        => a:2
			ack 0 2      => a:3 a:4
			ack 9        =>`},
		{"a group buffers without a consumer and has no room when full", defaults(func(s *Settings) { s.HistoryBufferSize = 3 }), `
			room         => 3
			offer 0-2
			room         => 0
			connect a 2  => a:0 a:1
			room         => 2`},
		{"max retries 1 means two deliveries, then parked", defaults(quick), `
			connect a 1
			offer 0      => a:0
			retry 0      => a:0#1
			retry 0      => park 0 (Reached retry count of 1)
			parked 0     =>
			stats        => total 2 since 2 buffered 0 retrying 0 in flight 0 outstanding 0; a total 2 free 1 in flight 0`},
		{"max retries 0 parks at the first failure, whatever its kind", defaults(func(s *Settings) { s.MaxRetryCount = 0 }), `
			connect a 5
			offer 0-1    => a:0 a:1
			unknown 0    => park 0 (Reached retry count of 0)
			tick 30s     => park 1 (Reached retry count of 0)`},
		{"a timeout is a failure, noticed by the tick", defaults(quick), `
			connect a 1
			offer 0-1    => a:0
			tick 29s     =>
			tick 1s      => a:0#1
			ack 0        => a:1
			tick 30s     => a:1#1
			tick 30s     => park 1 (Reached retry count of 1)`},
		{"a timeout of 0 expires at the next tick", defaults(func(s *Settings) { s.MessageTimeout = 0 }), `
			connect a 1
			offer 0      => a:0
			tick 1s      => a:0#1`},
		{"park says why, skip and stop settle", defaults(), `
			connect a 3
			offer 0-2    => a:0 a:1 a:2
			park 0       => park 0 (Client explicitly NAK'ed message./broken)
			skip 1       =>
			stop 2       =>
			stats        => total 3 since 3 buffered 0 retrying 0 in flight 0 outstanding 1; a total 3 free 3 in flight 0`},
		{"retries come first and in source order", defaults(), `
			connect a 3
			offer 0-5    => a:0 a:1 a:2
			retry 2 1    => a:1#1 a:2#1
			ack 0        => a:3`},
		{"a consumer that leaves gives its messages to the others, never to the parked stream", defaults(func(s *Settings) { s.MaxRetryCount = 0 }), `
			connect a 3
			offer 0-2    => a:0 a:1 a:2
			connect b 2
			disconnect a => b:0#1 b:1#1
			ack 0        => b:2#1
			disconnect b
			connect c 9  => c:1#2 c:2#2`},
		{"a late ack of a message that waits for its retry does not remove it", defaults(), `
			connect a 1
			offer 0      => a:0
			disconnect a
			ack 0        =>
			connect b 1  => b:0#1`},
		{"any consumer may ack, and one ack settles every message in flight with its id", defaults(), `
			connect a 1
			connect b 2
			offer 0      => a:0
			offer 1      => b:1
			ack 1 0      =>
			stats        => total 2 since 2 buffered 0 retrying 0 in flight 0 outstanding 0; a total 1 free 1 in flight 0; b total 1 free 2 in flight 0`},
		{"replayed messages come behind retries and start from zero", defaults(quick), `
			connect a 2
			offer 0-3    => a:0 a:1
			replay 0-1   =>
			retry 0      => a:0#1
			ack 1        => a:p0
			retry p0     => a:p1
			ack 0        => a:p0#1
			retry p0     => a:2 park p0 (Reached retry count of 1)
			replayed     => -1 open 2`},
		{"round robin passes to the next with a free slot", defaults(), `
			connect a 2
			connect b 1
			connect c 2
			offer 0-4    => a:0 b:1 c:2 a:3 c:4`},
		{"dispatch to single fills one before the next", defaults(strategy(DispatchToSingle)), `
			connect a 2
			connect b 2
			offer 0-2    => a:0 a:1 b:2
			ack 0 1      =>
			offer 3-4    => b:3 a:4`},
		{"a full group takes no more consumers", defaults(func(s *Settings) { s.MaxSubscriberCount = 1 }), `
			connect a 1
			connect b 1  => maximum subscribers reached
			disconnect a
			connect c 1`},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, newMachine(test.settings, -1, false), test.script) })
	}
}

func TestTwinIdsAreSettledTogether(t *testing.T) {
	m := newMachine(defaults(), -1, false)
	check(t, m, `
		connect a 5
		offer 0-1 => a:0 a:1`)
	// Two events with one id, as a client may write them into two streams.
	g := New(defaults(), -1, false, epoch)
	if err := g.Connect(epoch, 1, 5); err != nil {
		t.Fatal(err)
	}
	g.Offer(epoch, []*Message{{Seq: 0, ID: key32(7)}, {Seq: 1, ID: key32(7)}, {Seq: 2, ID: key32(8)}}, 2, 0)
	if e := g.Take(Effects{}); len(e.Deliveries) != 3 {
		t.Fatalf("delivered %d, want both twins and the other", len(e.Deliveries))
	}
	g.Ack(epoch, key32(7))
	if s := g.Stats(epoch); s.InFlight != 1 {
		t.Fatalf("%d in flight after one ack, want 1", s.InFlight)
	}
	g.Tick(epoch.Add(31 * time.Second))
	if e := g.Take(Effects{}); len(e.Deliveries) != 1 || e.Deliveries[0].Message.Seq != 2 {
		t.Fatalf("redelivered %v, want only the message that nobody acked", e.Deliveries)
	}
}

func TestCheckpointsFollowTheLowestUnsettled(t *testing.T) {
	for _, test := range []struct {
		name       string
		settings   Settings
		checkpoint int64
		has        bool
		script     string
	}{
		{"nothing is written below the lower count", defaults(), -1, false, `
			connect a 100
			offer 0-8    => a:0 a:1 a:2 a:3 a:4 a:5 a:6 a:7 a:8
			ack 0-8      =>
			tick 10s     =>
			offer 9      => a:9
			ack 9        =>
			tick 1s      => checkpoint 9
			stored       =>
			tick 10s     =>`},
		{"the lowest unsettled bounds it", defaults(func(s *Settings) { s.MaxCheckpointCount, s.MinCheckpointCount = 3, 1 }), -1, false, `
			connect a 100
			offer 0-5    => a:0 a:1 a:2 a:3 a:4 a:5
			ack 1-5      =>
			tick 3s      =>
			ack 0        => checkpoint 5`},
		{"parked counts as settled only once it is stored", defaults(func(s *Settings) { s.MaxCheckpointCount = 1 }), -1, false, `
			connect a 100
			offer 0-1    => a:0 a:1
			park 0       => park 0 (Client explicitly NAK'ed message./broken)
			ack 1        =>
			unparked 0   =>
			tick 1s      => park 0 (Client explicitly NAK'ed message./broken)
			parked 0     => checkpoint 1`},
		{"filtered events count and are passed", defaults(func(s *Settings) { s.MaxCheckpointCount = 100 }), 50, true, `
			connect a 1
			offer skip 99 to 1000     =>
			offer 1010 skip 50 to 1200 => a:1010
			ack 1010     => checkpoint 1200`},
		{"one write at a time, a failed one is made up for", defaults(func(s *Settings) { s.MaxCheckpointCount = 1 }), -1, false, `
			connect a 5
			offer 0-2    => a:0 a:1 a:2
			ack 0        => checkpoint 0
			ack 1        =>
			unstored     =>
			ack 2        => checkpoint 2
			stored       =>`},
		{"a write that ended lets the next go", defaults(func(s *Settings) { s.MaxCheckpointCount = 1 }), -1, false, `
			connect a 5
			offer 0-1    => a:0 a:1
			ack 0        => checkpoint 0
			ack 1        =>
			stored       => checkpoint 1`},
		{"checkpoint after 0 means never by time", defaults(func(s *Settings) { s.CheckpointAfter, s.MinCheckpointCount = 0, 1 }), -1, false, `
			connect a 5
			offer 0      => a:0
			ack 0        =>
			tick 1h      =>`},
		{"replayed messages do not count", defaults(func(s *Settings) { s.MaxCheckpointCount = 1 }), 41, true, `
			connect a 5
			replay 0-1   => a:p0 a:p1
			ack p1       =>
			replayed     => -1 open 2
			ack p0       =>
			replayed     => 1 open 0`},
	} {
		t.Run(test.name, func(t *testing.T) { check(t, newMachine(test.settings, test.checkpoint, test.has), test.script) })
	}
}

func TestPinnedKeepsABucketWithItsConsumer(t *testing.T) {
	settings := defaults(func(s *Settings) { s.Strategy = Pinned })
	m := newMachine(settings, -1, false)
	for _, line := range []string{"key 0 1", "key 1 2", "key 2 1", "key 3 2", "key 4 3", "key 5 1", "key 6 2"} {
		m.run(line)
	}
	check(t, m, `
		connect a 1
		connect b 3
		offer 0-1    => a:0 b:1
		offer 2      =>
		offer 3      => b:3
		ack 0        => a:2
		disconnect a => b:2#1
		ack 1 2 3    =>
		connect c 1
		offer 4-6    => b:4 c:5 b:6`)
}

func TestExtraStatisticsMeasureLatency(t *testing.T) {
	g := New(defaults(func(s *Settings) { s.ExtraStatistics = true }), -1, false, epoch)
	if err := g.Connect(epoch, 1, 5000); err != nil {
		t.Fatal(err)
	}
	for i := range int64(1500) {
		g.Offer(epoch, []*Message{{Seq: i, ID: key32(uint64(i))}}, i, 0)
		g.Ack(epoch.Add(time.Duration(i)*time.Millisecond), key32(uint64(i)))
	}
	got := map[string]int64{}
	for _, m := range g.Stats(epoch.Add(time.Minute)).Consumers[0].Measurements {
		got[m.Key] = m.Value
	}
	// The newest 1000 took 500 to 1499 ms.
	for key, want := range map[string]int64{"Fastest": 500, "Highest": 1499, "Median": 1000, "Mean": 999, "90%": 1400, "Quintile 1": 700} {
		if got[key] != want {
			t.Errorf("%s is %d ms, want %d", key, got[key], want)
		}
	}
	if len(got) != 14 {
		t.Errorf("%d measurements, want 14", len(got))
	}
}

// Retried messages leave no trace behind: a group may run for months.
func TestRetriesTakeNoRoomThatGrows(t *testing.T) {
	g := New(defaults(func(s *Settings) { s.MaxRetryCount = 1 << 30 }), -1, false, epoch)
	if err := g.Connect(epoch, 1, 10); err != nil {
		t.Fatal(err)
	}
	g.Offer(epoch, []*Message{{Seq: 0, ID: key32(7)}, {Seq: 1, ID: key32(8)}}, 1, 0)
	for range 10_000 {
		g.Nack(epoch, Retry, "", key32(7))
	}
	if held := cap(g.retry.items); held > 100 || g.retry.len() != 0 {
		t.Errorf("the queue of %d retries keeps room for %d", g.retry.len(), held)
	}
}
