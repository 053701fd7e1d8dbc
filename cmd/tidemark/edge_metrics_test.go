package main

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// monitoring is the folder of what ships for Prometheus and Grafana.
var monitoring = filepath.Join("..", "..", "docs", "monitoring")

// series are the metrics of a scrape with the names of their labels.
type series map[string]map[string]bool

var sample = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? \S+$`)

// scraped reads the text format: enough of it for our own names and labels.
func scraped(text string) series {
	found := series{}
	for _, line := range sample.FindAllStringSubmatch(text, -1) {
		labels := found[line[1]]
		if labels == nil {
			labels = map[string]bool{}
			found[line[1]] = labels
		}
		for _, label := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(line[2], -1) {
			labels[label[1]] = true
		}
	}
	return found
}

var (
	metricName = regexp.MustCompile(`\b(?:tidemark|process|go)_[a-z_]+\b`)
	byLabels   = regexp.MustCompile(`\b(?:by|on) \(([a-z_, ]+)\)`)
	selected   = regexp.MustCompile(`\b([a-z_]+)\{([^}]*)\}`)
	selector   = regexp.MustCompile(`\b([a-z_]+)(?:!=|=~|=)"`)
	ruled      = regexp.MustCompile(`(?m)- alert: (\w+)\s+expr: (?:\|\n((?:          .*\n)+)|(.+))`)
)

// ofPrometheus are the labels that a scrape adds.
var ofPrometheus = map[string]bool{"instance": true, "job": true}

// expressions are the PromQL expressions of the alerts and of the dashboard, with where they are from.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	alerts, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ruled.FindAllStringSubmatch(string(alerts), -1) {
		found["alert "+m[1]] = m[2] + m[3]
	}
	if len(found) != strings.Count(string(alerts), "- alert:") {
		t.Fatalf("%d alerts have an expression", len(found))
	}
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			found["panel "+panel.Title+": "+target.Expr] = target.Expr
		}
	}
	if len(found) < 20 {
		t.Fatalf("only %d expressions found: the reading is broken", len(found))
	}
	return found
}

// TestAlertsAndDashboardAskForWhatIsThere: each metric and label of docs/monitoring is in a scrape of the
// running program, also those of what has not gone wrong yet; else an alert could never fire.
func TestAlertsAndDashboardAskForWhatIsThere(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
	s := e.furnish("ann")
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil).expect(http.StatusOK, "")
	e.shown("/v1/orders", "/v1/board")
	scrape := func() series {
		return scraped(string(e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "").body))
	}
	e.until("what happened is counted, a moment after it shows", patience, func() bool {
		have := scrape()
		return have["tidemark_fulfilment_steps_total"] != nil && have["tidemark_readmodel_delay_seconds_bucket"] != nil
	})
	have := scrape()
	maps.Copy(have, whatOthersServe(t))
	for where, expression := range expressions(t) {
		asks(t, have, where, expression)
	}
	for _, name := range []string{"tidemark_readmodel_lag_events", "tidemark_readmodel_lag_seconds"} {
		if !have[name]["readmodel"] {
			t.Errorf("%s has no label readmodel", name)
		}
	}
}

// whatOthersServe are metrics that only some processes have.
func whatOthersServe(t *testing.T) series {
	t.Helper()
	metrics := telemetry.NewNodeMetrics()
	metrics.Certificate(time.Now)
	answer := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return scraped(answer.Body.String())
}

// asks holds an expression against what is there.
func asks(t *testing.T, have series, where, expression string) {
	t.Helper()
	names := metricName.FindAllString(expression, -1)
	if len(names) == 0 {
		t.Errorf("%s asks for nothing", where)
	}
	all := map[string]bool{}
	for _, name := range names {
		if _, ok := have[name]; !ok {
			t.Errorf("%s: nothing is called %s", where, name)
		}
		maps.Copy(all, have[name])
	}
	for _, s := range selected.FindAllStringSubmatch(expression, -1) {
		for _, label := range selector.FindAllStringSubmatch(s[2], -1) {
			if !have[s[1]][label[1]] {
				t.Errorf("%s: %s has no label %s", where, s[1], label[1])
			}
		}
	}
	for _, by := range byLabels.FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ", ") {
			if !all[label] && !ofPrometheus[label] {
				t.Errorf("%s: nothing in it has a label %s", where, label)
			}
		}
	}
}

// TestEveryAlertIsProvedInTroubleAndInPeace: promtool runs the cases where it is there; that there are cases is held here.
func TestEveryAlertIsProvedInTroubleAndInPeace(t *testing.T) {
	alerts, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile(filepath.Join(monitoring, "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ruled.FindAllStringSubmatch(string(alerts), -1) {
		peace := regexp.MustCompile(`alertname: ` + m[1] + `, exp_alerts: \[\]`)
		trouble := regexp.MustCompile(`alertname: ` + m[1] + `\n +exp_alerts: \[\{exp_labels`)
		if !peace.Match(cases) || !trouble.Match(cases) {
			t.Errorf("%s has no case for peace and trouble", m[1])
		}
	}
}

// TestThePanelsOfTheDashboard: each is drawn, in a place of its own, from the data source that is chosen.
func TestThePanelsOfTheDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(monitoring, "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		SchemaVersion int
		Templating    struct{ List []struct{ Name, Type string } }
		Panels        []struct {
			ID          int
			Title, Type string
			Datasource  struct{ UID string }
			GridPos     struct{ X, Y, W, H int }
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ Expr, LegendFormat, RefID string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if l := dashboard.Templating.List; dashboard.SchemaVersion < 36 || len(l) != 1 || l[0].Name != "datasource" || l[0].Type != "datasource" {
		t.Errorf("schema %d, variables %v", dashboard.SchemaVersion, l)
	}
	ids, places := map[int]bool{}, map[[2]int]string{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%s: another panel has its id", p.Title)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				place := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if places[place] != "" || place[0] >= 24 {
					t.Fatalf("%s lies over %q", p.Title, places[place])
				}
				places[place] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.FieldConfig.Defaults.Unit == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s has no unit, data source or query", p.Title)
		}
		for _, target := range p.Targets {
			if target.LegendFormat == "" || target.RefID == "" {
				t.Errorf("%s: %s has no name", p.Title, target.Expr)
			}
		}
	}
}

// TestSnapshotsAreCounted: whoever watches sees whether long streams get snapshots, and whether those help.
func TestSnapshotsAreCounted(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr, c.SnapshotEvery = "127.0.0.1:0", 5 }})
	s := e.furnish("ann")
	for range 12 {
		e.send("POST", "/v1/inventory/"+s.sku+"/receipts", `{"quantity":1}`).expect(http.StatusOK, "")
	}
	e.until("snapshots are counted", patience, func() bool {
		text := string(e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "").body)
		return regexp.MustCompile(`tidemark_snapshots_total\{outcome="taken"\} [1-9]`).MatchString(text) &&
			strings.Contains(text, `tidemark_snapshots_total{outcome="failed"} 0`) && strings.Contains(text, `tidemark_snapshot_age_events_count{category="inventory"}`)
	})
}

// TestEveryAlertHasItsPageInTheRunbook: the link of each alert leads to a heading.
func TestEveryAlertHasItsPageInTheRunbook(t *testing.T) {
	alerts, err := os.ReadFile(filepath.Join(monitoring, "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	runbook, err := os.ReadFile(filepath.Join("..", "..", "docs", "runbook.md"))
	if err != nil {
		t.Fatal(err)
	}
	var anchors []string
	for _, heading := range regexp.MustCompile(`(?m)^##+ (.+)$`).FindAllStringSubmatch(string(runbook), -1) {
		anchors = append(anchors, strings.ReplaceAll(strings.ToLower(heading[1]), " ", "-"))
	}
	links := regexp.MustCompile(`runbook: docs/runbook\.md#(\S+)`).FindAllStringSubmatch(string(alerts), -1)
	if want := strings.Count(string(alerts), "- alert:"); len(links) != want {
		t.Errorf("%d of %d alerts have a link", len(links), want)
	}
	for _, link := range links {
		if !slices.Contains(anchors, link[1]) {
			t.Errorf("the runbook has no heading for #%s", link[1])
		}
	}
}

// TestMetricsAndProfilesHaveTheirListener: profiles are never on the public one, and metrics only while
// there is no other and only this machine can reach it.
func TestMetricsAndProfilesHaveTheirListener(t *testing.T) {
	t.Parallel()
	profile := "/debug/pprof/goroutine?debug=1"
	t.Run("with an admin listener", func(t *testing.T) {
		e := startEdge(t, edgeOptions{config: func(c *Config) { c.AdminAddr = "127.0.0.1:0" }})
		e.outside(e.app.adminURL+"/metrics").expect(http.StatusOK, "")
		e.outside(e.app.adminURL+profile).expect(http.StatusOK, "")
		e.send("GET", "/metrics", nil).expect(http.StatusNotFound, "not_found")
		e.send("GET", profile, nil).expect(http.StatusNotFound, "not_found")
		if got := e.outside(e.app.adminURL + "/v1/orders"); got.status != http.StatusNotFound {
			t.Errorf("the admin listener answers the API: %d", got.status)
		}
	})
	t.Run("loopback without one", func(t *testing.T) {
		e := startEdge(t, edgeOptions{})
		e.until("the lag is in the metrics", patience, func() bool { // once the log is followed
			return scraped(string(e.send("GET", "/metrics", nil).expect(http.StatusOK, "").body))["tidemark_readmodel_lag_events"] != nil
		})
		e.send("GET", profile, nil).expect(http.StatusNotFound, "not_found")
		if e.app.adminURL != "" {
			t.Errorf("an admin listener that nobody asked for: %s", e.app.adminURL)
		}
	})
	t.Run("open to others without one", func(t *testing.T) {
		e := startEdge(t, edgeOptions{keys: true, config: func(c *Config) { c.HTTPAddr, c.RateLimit = "0.0.0.0:0", "100" }})
		e.token = e.as("operator", "olga")
		e.send("GET", "/metrics", nil).expect(http.StatusNotFound, "not_found")
		e.send("GET", profile, nil).expect(http.StatusNotFound, "not_found")
	})
}

// outside asks a listener other than the API.
func (e *edge) outside(url string) got {
	e.t.Helper()
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	response, err := client.Get(url)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return got{e.t, response.StatusCode, response.Header, text, "GET " + url}
}
