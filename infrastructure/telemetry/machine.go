package telemetry

import (
	"os"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// EngineState is what is known of an embedded event log when metrics are asked for.
type EngineState struct {
	Events     int64         // in the log
	Commits    int64         // since the start
	CommitTime time.Duration // spent in them, the sync included
	Queued     int           // appends that wait now
}

var (
	fileBytes     = prometheus.NewDesc("tidemark_data_file_bytes", "Size of a file in the data directory.", []string{"file"}, nil)
	freeBytes     = prometheus.NewDesc("tidemark_data_free_bytes", "Room that is left on the file system of the data directory.", nil, nil)
	totalBytes    = prometheus.NewDesc("tidemark_data_total_bytes", "Size of the file system of the data directory.", nil, nil)
	logEvents     = prometheus.NewDesc("tidemark_eventlog_events", "Events in the embedded log.", nil, nil)
	logCommits    = prometheus.NewDesc("tidemark_eventlog_commits_total", "Commits of the embedded log; each may hold many appends.", nil, nil)
	logCommitting = prometheus.NewDesc("tidemark_eventlog_commit_seconds_total", "Time spent in commits of the embedded log, syncing included.", nil, nil)
	logQueued     = prometheus.NewDesc("tidemark_eventlog_queued_appends", "Appends that wait for a commit of the embedded log.", nil, nil)
	expiry        = prometheus.NewDesc("tidemark_tls_certificate_expiry_timestamp_seconds", "When the certificate of the public listener ends.", nil, nil)
)

// scraped is a collector that asks at each scrape.
type scraped struct {
	descriptors []*prometheus.Desc
	collect     func(gauge, counter func(d *prometheus.Desc, value float64, labels ...string))
}

// Describe implements prometheus.Collector.
func (s *scraped) Describe(to chan<- *prometheus.Desc) {
	for _, d := range s.descriptors {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (s *scraped) Collect(to chan<- prometheus.Metric) {
	as := func(kind prometheus.ValueType) func(*prometheus.Desc, float64, ...string) {
		return func(d *prometheus.Desc, value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(d, kind, value, labels...)
		}
	}
	s.collect(as(prometheus.GaugeValue), as(prometheus.CounterValue))
}

// DataDir makes the registry ask for the room around a data directory, and for the size of those of its
// files that are there.
func (m *Metrics) DataDir(path string, files []string) {
	m.registry.MustRegister(&scraped{[]*prometheus.Desc{fileBytes, freeBytes, totalBytes}, func(gauge, _ func(*prometheus.Desc, float64, ...string)) {
		for _, file := range files {
			if info, err := os.Stat(path + string(os.PathSeparator) + file); err == nil {
				gauge(fileBytes, float64(info.Size()), file)
			}
		}
		var fs syscall.Statfs_t
		if syscall.Statfs(path, &fs) == nil {
			gauge(freeBytes, float64(fs.Bavail)*float64(fs.Bsize))
			gauge(totalBytes, float64(fs.Blocks)*float64(fs.Bsize))
		}
	}})
}

// Engine makes the registry ask how an embedded event log is.
func (m *Metrics) Engine(state func() EngineState) {
	m.registry.MustRegister(&scraped{[]*prometheus.Desc{logEvents, logCommits, logCommitting, logQueued}, func(gauge, counter func(*prometheus.Desc, float64, ...string)) {
		s := state()
		gauge(logEvents, float64(s.Events))
		gauge(logQueued, float64(s.Queued))
		counter(logCommits, float64(s.Commits))
		counter(logCommitting, s.CommitTime.Seconds())
	}})
}

// Certificate makes the registry ask when the certificate of the public listener ends.
func (m *Metrics) Certificate(ends func() time.Time) {
	m.registry.MustRegister(&scraped{[]*prometheus.Desc{expiry}, func(gauge, _ func(*prometheus.Desc, float64, ...string)) {
		if at := ends(); !at.IsZero() {
			gauge(expiry, float64(at.Unix()))
		}
	}})
}

// UnderWay makes the registry ask how many requests of each class are being worked on and wait.
func (m *Metrics) UnderWay(classes func() map[string][2]int) {
	m.registry.MustRegister(&scraped{[]*prometheus.Desc{underWay, waiting}, func(gauge, _ func(*prometheus.Desc, float64, ...string)) {
		for class, n := range classes() {
			gauge(underWay, float64(n[0]), class)
			gauge(waiting, float64(n[1]), class)
		}
	}})
}

var (
	underWay = prometheus.NewDesc("tidemark_http_in_flight_requests", "Requests being worked on, by class of work.", []string{"class"}, nil)
	waiting  = prometheus.NewDesc("tidemark_http_waiting_requests", "Requests that wait for a slot of their class.", []string{"class"}, nil)
)
