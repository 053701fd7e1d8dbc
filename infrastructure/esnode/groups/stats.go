package groups

import (
	"sort"
	"time"
)

// observed is how many latencies a consumer remembers.
const observed = 1000

type (
	// Stats is a group as an operator sees it. Counts "since last" are relative to the query before.
	Stats struct {
		Total            int64 // deliveries, with retries
		SinceLast        int64
		AveragePerSecond int32
		Buffered         int
		Retrying         int
		InFlight         int
		Outstanding      int // in flight, waiting for a retry or being parked
		Consumers        []ConsumerStats
	}

	// ConsumerStats is one consumer of it.
	ConsumerStats struct {
		ID               uint64
		Total            int64
		SinceLast        int64
		AveragePerSecond int32
		Free             int
		InFlight         int
		Measurements     []Measurement // only with extra statistics
	}

	// Measurement is a point of the latency histogram, in milliseconds.
	Measurement struct {
		Key   string
		Value int64
	}

	consumer struct {
		id       uint64
		size     int
		inFlight int
		buckets  int
		since    time.Time
		total    int64
		lastSeen int64
		extra    bool
		latency  []time.Duration // a ring of the newest
		at       int
	}
)

func (c *consumer) free() int { return c.size - c.inFlight }

func (c *consumer) observe(d time.Duration) {
	if !c.extra {
		return
	}
	if len(c.latency) < observed {
		c.latency = append(c.latency, d)
		return
	}
	c.latency[c.at] = d
	c.at = (c.at + 1) % observed
}

// Stats reports the group and starts a new measurement.
func (g *Group) Stats(now time.Time) Stats {
	s := Stats{
		Total: g.total, SinceLast: g.total - g.lastSeen, AveragePerSecond: perSecond(g.total, now.Sub(g.started)),
		Buffered: g.buffer.len(), Retrying: g.retry.len() + g.replays.len(), InFlight: g.inFlight(),
	}
	s.Outstanding = s.InFlight + s.Retrying + len(g.parking)
	g.lastSeen = g.total
	for _, c := range g.consumers {
		s.Consumers = append(s.Consumers, ConsumerStats{
			ID: c.id, Total: c.total, SinceLast: c.total - c.lastSeen, AveragePerSecond: perSecond(c.total, now.Sub(c.since)),
			Free: c.free(), InFlight: c.inFlight, Measurements: c.measurements(),
		})
		c.lastSeen = c.total
	}
	return s
}

func perSecond(n int64, d time.Duration) int32 {
	return int32(float64(n) / max(d.Seconds(), 1))
}

func (c *consumer) measurements() []Measurement {
	if !c.extra || len(c.latency) == 0 {
		return nil
	}
	sorted := append([]time.Duration(nil), c.latency...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	var sum time.Duration
	for _, d := range sorted {
		sum += d
	}
	at := func(q float64) int64 { return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)].Milliseconds() }
	return []Measurement{
		{"Mean", (sum / time.Duration(len(sorted))).Milliseconds()}, {"Median", at(0.5)},
		{"Fastest", sorted[0].Milliseconds()},
		{"Quintile 1", at(0.2)}, {"Quintile 2", at(0.4)}, {"Quintile 3", at(0.6)}, {"Quintile 4", at(0.8)}, {"Quintile 5", at(1)},
		{"90%", at(0.9)}, {"95%", at(0.95)}, {"99%", at(0.99)}, {"99.5%", at(0.995)}, {"99.9%", at(0.999)},
		{"Highest", sorted[len(sorted)-1].Milliseconds()},
	}
}
