package telemetry

import "github.com/prometheus/client_golang/prometheus"

// ModelLag is what is known of one read model when metrics are asked for.
type ModelLag struct {
	Name            string
	Events          int64
	Seconds         float64
	Blocked         int64
	EventsPerSecond float64
	Stalled         bool
}

// GroupState is what is known of one subscription group when metrics are asked for.
type GroupState struct {
	Name             string
	Parked, InFlight int64
	Consumers        int
	Paused           bool // on purpose: nobody is meant to consume it
}

// Observe makes the registry ask for lag and groups at each scrape. Either function may be nil; they
// must be quick and bounded.
func (m *Metrics) Observe(lags func() []ModelLag, groups func() []GroupState) {
	m.registry.MustRegister(&observer{lags: lags, groups: groups})
}

type observer struct {
	lags   func() []ModelLag
	groups func() []GroupState
}

var (
	lagEvents   = prometheus.NewDesc("tidemark_readmodel_lag_events", "Events not yet in the read model.", []string{"readmodel"}, nil)
	lagSeconds  = prometheus.NewDesc("tidemark_readmodel_lag_seconds", "Age of the oldest event not yet in the read model.", []string{"readmodel"}, nil)
	blocked     = prometheus.NewDesc("tidemark_readmodel_blocked_streams", "Streams that wait behind an event that can't be applied.", []string{"readmodel"}, nil)
	rate        = prometheus.NewDesc("tidemark_readmodel_events_per_second", "Events applied per second.", []string{"readmodel"}, nil)
	stalled     = prometheus.NewDesc("tidemark_readmodel_stalled", "1 while a read model has events to apply and makes no progress.", []string{"readmodel"}, nil)
	parked      = prometheus.NewDesc("tidemark_subscription_parked_events", "Events put aside by the event store.", []string{"group"}, nil)
	inFlight    = prometheus.NewDesc("tidemark_subscription_in_flight_events", "Events delivered and not yet settled.", []string{"group"}, nil)
	consumers   = prometheus.NewDesc("tidemark_subscription_consumers", "Consumers connected to the group.", []string{"group"}, nil)
	paused      = prometheus.NewDesc("tidemark_subscription_paused", "1 while an operator has paused the group's read model, so that nobody is meant to consume it.", []string{"group"}, nil)
	descriptors = []*prometheus.Desc{lagEvents, lagSeconds, blocked, rate, stalled, parked, inFlight, consumers, paused}
)

// Describe implements prometheus.Collector.
func (o *observer) Describe(to chan<- *prometheus.Desc) {
	for _, d := range descriptors {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (o *observer) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, label string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, label)
	}
	if o.lags != nil {
		for _, l := range o.lags() {
			gauge(lagEvents, float64(l.Events), l.Name)
			gauge(lagSeconds, l.Seconds, l.Name)
			gauge(blocked, float64(l.Blocked), l.Name)
			gauge(rate, l.EventsPerSecond, l.Name)
			gauge(stalled, number(l.Stalled), l.Name)
		}
	}
	if o.groups != nil {
		for _, g := range o.groups() {
			gauge(parked, float64(g.Parked), g.Name)
			gauge(inFlight, float64(g.InFlight), g.Name)
			gauge(consumers, float64(g.Consumers), g.Name)
			gauge(paused, number(g.Paused), g.Name)
		}
	}
}
