package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics holds every metric of the program. Names are tidemark_<thing>_<unit>.
type Metrics struct {
	registry *prometheus.Registry

	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	shed            *prometheus.CounterVec
	denied          *prometheus.CounterVec
	storeSeconds    *prometheus.HistogramVec
	docsSeconds     *prometheus.HistogramVec
	docsCommands    *prometheus.HistogramVec
	abandoned       *prometheus.CounterVec
	answered        *prometheus.CounterVec
	deliveries      *prometheus.CounterVec
	delay           *prometheus.HistogramVec
	commandEvents   *prometheus.HistogramVec
	commandRetries  *prometheus.CounterVec
	snapshotAge     *prometheus.HistogramVec
	snapshots       *prometheus.CounterVec
	reconnects      *prometheus.CounterVec
	processSteps    *prometheus.CounterVec
	timersFired     *prometheus.CounterVec
	breakerOpen     *prometheus.GaugeVec
	projectorPanics prometheus.Counter
}

var quick = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// NewMetrics makes the registry with the metrics of the Go runtime and of the process.
func NewMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidemark", Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tidemark", Name: name, Help: help, Buckets: buckets,
			NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour}, labels)
		m.registry.MustRegister(h)
		return h
	}
	m.requests = counter("http_requests_total", "Requests answered.", "operation", "status")
	m.requestSeconds = histogram("http_request_seconds", "Time from the request's first byte to the answer.", quick, "operation")
	m.shed = counter("http_shed_total", "Requests refused before work, by reason.", "reason")
	m.denied = counter("http_denied_total", "Requests refused for who asked, by operation.", "operation")
	m.storeSeconds = histogram("eventstore_call_seconds", "Calls to the event store.", quick, "call", "outcome")
	m.docsSeconds = histogram("documents_call_seconds", "Calls to the document store.", quick, "call", "outcome")
	m.docsCommands = histogram("documents_command_seconds", "Commands that the MongoDB driver sends, retries included.", quick, "command", "outcome")
	m.abandoned = counter("eventstore_abandoned_calls_total", "Calls whose caller's time was up before the client gave them back.", "call")
	m.answered = counter("subscription_answers_total", "Deliveries by what the event store was told: ack, retry or park.", "group", "outcome")
	m.deliveries = counter("readmodel_deliveries_total", "Deliveries to read models by what became of them: applied, duplicate, blocked or ignorable.", "readmodel", "outcome")
	m.delay = histogram("readmodel_delay_seconds", "Time from an event to the document that shows it.", quick, "readmodel")
	m.commandEvents = histogram("command_events_loaded", "Events read to carry out a command.", prometheus.ExponentialBuckets(1, 4, 9), "category")
	m.commandRetries = counter("command_conflicts_total", "Appends that lost a race and were decided again.", "category")
	m.snapshotAge = histogram("snapshot_age_events", "How far behind its stream a used snapshot was.", prometheus.ExponentialBuckets(1, 4, 9), "category")
	m.snapshots = counter("snapshots_total", "Snapshots that were taken, that could not be (failed), and that were there but not used (ignored).", "outcome")
	m.reconnects = counter("eventstore_reconnects_total", "Clients and subscriptions replaced after they died.", "what")
	m.processSteps = counter("fulfilment_steps_total", "Steps of fulfilment processes by outcome.", "step", "outcome")
	m.timersFired = counter("timers_fired_total", "Deadlines that were carried out.", "kind")
	m.breakerOpen = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tidemark", Name: "breaker_open", Help: "1 while a circuit breaker refuses calls."}, []string{"store"})
	m.projectorPanics = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidemark", Name: "recovered_panics_total", Help: "Panics that were turned into failures."})
	m.registry.MustRegister(m.breakerOpen, m.projectorPanics, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	m.begin()
	return m
}

// begin makes the series of what may go wrong before it does: an increase from nothing is none to
// Prometheus, so an alert would miss the first of them.
func (m *Metrics) begin() {
	for _, reason := range []string{"queue", "rate", "bodies", "breaker", "stopping"} {
		m.shed.WithLabelValues(reason)
	}
	for _, category := range []string{"order", "product", "inventory", "account", "fulfilment"} {
		m.commandRetries.WithLabelValues(category)
		m.commandEvents.WithLabelValues(category)
		m.snapshotAge.WithLabelValues(category)
	}
	for _, outcome := range []string{"taken", "failed", "ignored"} {
		m.snapshots.WithLabelValues(outcome)
	}
	m.BreakerOpen("event store", false)
	m.BreakerOpen("read store", false)
}

// Handler serves the metrics in the Prometheus format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// DocumentCommand records a command sent to MongoDB; failure is nil if the server did it.
func (m *Metrics) DocumentCommand(command string, took time.Duration, failure error) {
	outcome := "done"
	if failure != nil {
		outcome = "failed"
	}
	m.docsCommands.WithLabelValues(command, outcome).Observe(took.Seconds())
}

// Abandoned counts a call to the event store that was given up while it was under way.
func (m *Metrics) Abandoned(call string) { m.abandoned.WithLabelValues(call).Inc() }

// Answered counts deliveries of a group by what the event store was told about them.
func (m *Metrics) Answered(group, outcome string, events int) {
	m.answered.WithLabelValues(group, outcome).Add(float64(events))
}

// Request counts an answered request.
func (m *Metrics) Request(operation, status string, took time.Duration) {
	m.requests.WithLabelValues(operation, status).Inc()
	m.requestSeconds.WithLabelValues(operation).Observe(took.Seconds())
}

// Shed counts a request refused before work.
func (m *Metrics) Shed(reason string) { m.shed.WithLabelValues(reason).Inc() }

// Denied counts a request refused for who asked.
func (m *Metrics) Denied(operation string) { m.denied.WithLabelValues(operation).Inc() }

// Delivered counts deliveries to a read model by outcome.
func (m *Metrics) Delivered(readmodel, outcome string, n int) {
	m.deliveries.WithLabelValues(readmodel, outcome).Add(float64(n))
}

// Delay records the time from an event to its document.
func (m *Metrics) Delay(readmodel string, took time.Duration) {
	m.delay.WithLabelValues(readmodel).Observe(took.Seconds())
}

// Loaded records how many events a command had to read.
func (m *Metrics) Loaded(category string, events int) {
	m.commandEvents.WithLabelValues(category).Observe(float64(events))
}

// Conflict counts an append that lost a race.
func (m *Metrics) Conflict(category string) { m.commandRetries.WithLabelValues(category).Inc() }

// SnapshotAge records how many events lay behind a snapshot that was used.
func (m *Metrics) SnapshotAge(category string, events int64) {
	m.snapshotAge.WithLabelValues(category).Observe(float64(events))
}

// Snapshot counts a snapshot: taken, failed or ignored.
func (m *Metrics) Snapshot(outcome string) { m.snapshots.WithLabelValues(outcome).Inc() }

// Reconnected counts a client or subscription that was replaced.
func (m *Metrics) Reconnected(what string) { m.reconnects.WithLabelValues(what).Inc() }

// Step counts a step of a fulfilment process.
func (m *Metrics) Step(step, outcome string) { m.processSteps.WithLabelValues(step, outcome).Inc() }

// TimerFired counts a deadline that was carried out.
func (m *Metrics) TimerFired(kind string) { m.timersFired.WithLabelValues(kind).Inc() }

// BreakerOpen says whether a store's circuit breaker refuses calls.
func (m *Metrics) BreakerOpen(store string, open bool) {
	value := 0.0
	if open {
		value = 1
	}
	m.breakerOpen.WithLabelValues(store).Set(value)
}

// Panicked counts a recovered panic.
func (m *Metrics) Panicked() { m.projectorPanics.Inc() }
