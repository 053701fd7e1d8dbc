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
	connections     *prometheus.GaugeVec
	maxConnections  *prometheus.GaugeVec
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
	timersOverdue   prometheus.Gauge
	swept           *prometheus.CounterVec
	streams         prometheus.Gauge
	streamsEnded    *prometheus.CounterVec
	connected       prometheus.Gauge
	breakerOpen     *prometheus.GaugeVec
	projectorPanics prometheus.Counter
}

var quick = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

// NewNodeMetrics makes a registry with the metrics of the Go runtime and of the process, for a node that runs alone.
// Only Engine, DataDir, Shed and Connections may be called besides Handler: such a process does nothing else that is counted.
func NewNodeMetrics() *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	m.shed = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidemark", Name: "http_shed_total", Help: "Requests refused before work, and connections refused, by reason."}, []string{"reason"})
	m.connections = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tidemark", Name: "http_connections", Help: "Connections that are open, by listener: api or admin."}, []string{"listener"})
	m.maxConnections = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tidemark", Name: "http_connections_max", Help: "Connections that may be open, by listener; idle ones make room for new ones."}, []string{"listener"})
	m.registry.MustRegister(m.shed, m.connections, m.maxConnections)
	return m
}

// NewMetrics makes the registry with every metric of a process of the service.
func NewMetrics() *Metrics {
	m := NewNodeMetrics()
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
	m.requestSeconds = histogram("http_request_seconds", "Time from the request's first byte to the answer, of a live stream until it began.", quick, "operation")
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
	m.timersFired = counter("timers_fired_total", "Orders that were looked at because their deadline had come: done, or failed and looked at again.", "outcome")
	m.swept = counter("readmodel_swept_streams_total", "Streams whose events the sweep took up because no delivery had brought them.", "readmodel")
	m.streamsEnded = counter("http_live_streams_ended_total", "Live streams that ended: for the reader, for being slow, for stopping, or for an error.", "why")
	m.gauges()
	m.begin()
	return m
}

// gauges makes what goes up and down, and the counter without labels.
func (m *Metrics) gauges() {
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Namespace: "tidemark", Name: name, Help: help}
	}
	m.timersOverdue = prometheus.NewGauge(gauge("timers_overdue_seconds", "How long the most overdue order waits to be looked at or to move on."))
	m.streams = prometheus.NewGauge(gauge("http_live_streams", "Live streams that are open."))
	m.connected = prometheus.NewGauge(gauge("eventstore_connected", "1 while this process has a connection to the event store."))
	m.breakerOpen = prometheus.NewGaugeVec(gauge("breaker_open", "1 while a circuit breaker refuses calls."), []string{"store"})
	m.projectorPanics = prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidemark", Name: "recovered_panics_total", Help: "Panics that were turned into failures."})
	m.registry.MustRegister(m.timersOverdue, m.streams, m.connected, m.breakerOpen, m.projectorPanics)
}

// begin makes the series of what may go wrong before it does: an increase from nothing is none to
// Prometheus, so an alert would miss the first of them.
func (m *Metrics) begin() {
	for _, reason := range []string{"queue", "rate", "bodies", "connections", "breaker", "stopping"} {
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
	for _, outcome := range []string{"done", "failed"} {
		m.timersFired.WithLabelValues(outcome)
	}
	m.storeSeconds.WithLabelValues("append", "unknown")
	m.BreakerOpen("event store", false)
	m.BreakerOpen("read store", false)
}

// Serves names the operations of the API: each may answer 500, and refuse somebody.
func (m *Metrics) Serves(operations []string) {
	m.requests.WithLabelValues("", "500") // unknown routes
	for _, operation := range operations {
		m.requests.WithLabelValues(operation, "500")
		m.denied.WithLabelValues(operation)
	}
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

// Stream counts a live stream that opened (+1) or ended (-1), and why it ended. How long it was open is the
// reader's choice, so it is no time of a request.
func (m *Metrics) Stream(change int, why string) {
	m.streams.Add(float64(change))
	if change < 0 {
		m.streamsEnded.WithLabelValues(why).Inc()
	}
}

// Shed counts a request refused before work.
func (m *Metrics) Shed(reason string) { m.shed.WithLabelValues(reason).Inc() }

// Connections gives the callback for connections of a listener that are opened and closed, of which there may be most.
func (m *Metrics) Connections(listener string, most int) func(change int) {
	m.maxConnections.WithLabelValues(listener).Set(float64(most))
	open := m.connections.WithLabelValues(listener)
	return func(change int) { open.Add(float64(change)) }
}

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

// TimerFired counts an order that was looked at because its deadline had come.
func (m *Metrics) TimerFired(err error) {
	if err != nil {
		m.timersFired.WithLabelValues("failed").Inc()
		return
	}
	m.timersFired.WithLabelValues("done").Inc()
}

// TimersOverdue says for how long the most overdue order waits.
func (m *Metrics) TimersOverdue(by time.Duration) { m.timersOverdue.Set(by.Seconds()) }

// Swept counts streams that the sweep took up.
func (m *Metrics) Swept(readmodel string, streams int) {
	m.swept.WithLabelValues(readmodel).Add(float64(streams))
}

// Connected says whether there is a connection to the event store.
func (m *Metrics) Connected(yes bool) { m.connected.Set(number(yes)) }

// BreakerOpen says whether a store's circuit breaker refuses calls.
func (m *Metrics) BreakerOpen(store string, open bool) {
	m.breakerOpen.WithLabelValues(store).Set(number(open))
}

// number is how metrics say yes and no.
func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Panicked counts a recovered panic.
func (m *Metrics) Panicked() { m.projectorPanics.Inc() }
