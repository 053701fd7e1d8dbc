package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Samples of what is too much to be looked at in whole after every test.
const (
	sampledKeys    = 10
	sampledStreams = 25 // of each category
)

// holdInvariants holds everything that must be true at the end of a test that runs the whole program, past
// all faults, by the names that the invariants have in the manual.
func (e *edge) holdInvariants() {
	if e.app == nil || e.app.store == nil || e.t.Failed() || e.shared {
		return
	}
	e.documents.Heal()
	e.store.Heal()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience) // that of the test has ended
	defer cancel()
	e.sameKeySameAnswer()
	log := consult(e.t, e.app.store)
	e.nothingLost(log)
	e.nothingDoneThatWasRefused(log)
	e.foldsAgree(ctx, log)
	token := ""
	if e.secret != nil {
		token = e.as("operator", "the end of a test")
	}
	screensAreFolds(e.t, newAPIClient(e.app.url, token))
	e.deliveriesAddUp()
	w := e.witness
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range w.faults {
		e.t.Errorf("I-24: %s", fault)
	}
	for _, broken := range w.broken {
		e.t.Errorf("I-10: %s", broken)
	}
}

// sameKeySameAnswer repeats some of the commands that had a key.
func (e *edge) sameKeySameAnswer() {
	left := sampledKeys
	for _, s := range e.witness.all() {
		if left == 0 || !s.done() || s.asked.Get("Idempotency-Key") == "" {
			continue
		}
		left--
		r, err := http.NewRequest(s.method, e.app.url+s.path, strings.NewReader(string(s.body)))
		if err != nil {
			e.t.Fatal(err)
		}
		r.Header = s.asked.Clone()
		response, answer := e.do(r)
		if response.StatusCode == http.StatusTooManyRequests {
			return
		}
		if response.StatusCode != s.status || response.Header.Get("Idempotent-Replayed") != "true" || string(answer) != string(s.answer) {
			e.t.Errorf("I-11: %s %s answered %d %s, and again, with the same key, %d %s", s.method, s.path, s.status, s.answer, response.StatusCode, answer)
		}
	}
}

// nothingLost looks for what was acknowledged.
func (e *edge) nothingLost(log *oracle) {
	for _, s := range e.witness.all() {
		if !s.done() {
			continue
		}
		marks, err := readmodels.ParseTidemark(s.header.Get("Tidemark"))
		if err != nil || len(marks) == 0 {
			e.t.Errorf("I-01: %s %s was acknowledged without a tidemark: %v", s.method, s.path, err)
		}
		for _, m := range marks {
			if log.length[m.Stream] <= m.Revision {
				e.t.Errorf("I-01: %s %s was acknowledged as %s@%d, and the stream has %d events", s.method, s.path, m.Stream, m.Revision, log.length[m.Stream])
			}
		}
	}
}

// nothingDoneThatWasRefused looks for events that came of a request that was refused. Requests are told apart
// by the ids that the program gave them.
func (e *edge) nothingDoneThatWasRefused(log *oracle) {
	for _, s := range e.witness.all() {
		own := s.asked.Get("X-Request-Id") == "" && s.asked.Get("X-Correlation-Id") == "" && s.asked.Get("Traceparent") == ""
		if id := s.header.Get("X-Request-Id"); own && s.undone() && log.correlated[id] {
			e.t.Errorf("I-25: %s %s was answered %d %s, and has events", s.method, s.path, s.status, s.answer)
		}
	}
}

// foldsAgree folds some streams of each kind in several ways.
func (e *edge) foldsAgree(ctx context.Context, log *oracle) {
	foldsAgree(ctx, e, log, application.Orders, order.Order.Apply)
	foldsAgree(ctx, e, log, application.Products, product.Product.Apply)
	foldsAgree(ctx, e, log, application.Stocks, inventory.Stock.Apply)
	foldsAgree(ctx, e, log, application.Accounts, account.Account.Apply)
	foldsAgree(ctx, e, log, application.Fulfilments, fulfilment.Process.Apply)
}

func foldsAgree[S any](ctx context.Context, e *edge, log *oracle, aggregate *application.Aggregate[S], apply func(S, domain.Recorded) S) {
	e.t.Helper()
	every := e.config.SnapshotEvery
	if every == 0 {
		every = -1
	}
	ways := map[string]*application.Executor{
		"without snapshots": application.NewExecutor(e.app.store, application.Options{SnapshotEvery: -1, CacheBytes: -1, StoreWait: patience}),
		"with snapshots":    application.NewExecutor(e.app.store, application.Options{SnapshotEvery: every, CacheBytes: -1, StoreWait: patience}),
		"as remembered":     e.app.service.Executor,
	}
	left := sampledStreams
	for stream, length := range log.length { // any will do
		if domain.Category(stream) != aggregate.Category || left == 0 {
			continue
		}
		left--
		loads := map[string]application.Loaded[S]{}
		for way, executor := range ways {
			loaded, err := application.Load(ctx, executor, aggregate, domain.StreamID(stream))
			if err != nil || loaded.Revision < length-1 {
				e.t.Errorf("I-19: %s %s is at %d of %d: %v", stream, way, loaded.Revision, length-1, err)
			}
			loads[way] = loaded
		}
		states := foldTwice(ctx, e.t, e.app.store, stream, apply) // a process may have gone on meanwhile
		for way, loaded := range loads {
			if diff := cmp.Diff(states[loaded.Revision], loaded.State); diff != "" {
				e.t.Errorf("I-19: %s@%d %s (-fold +loaded):\n%s", stream, loaded.Revision, way, diff)
			}
		}
	}
}

// foldTwice gives the state of a stream at each of its revisions, and compares each with what comes of times
// that run backwards.
func foldTwice[S any](ctx context.Context, t testing.TB, store application.EventStore, stream string, apply func(S, domain.Recorded) S) map[int64]S {
	t.Helper()
	states := map[int64]S{}
	var state, backwards S
	for r, err := range store.ReadStream(ctx, stream, 0) {
		if err != nil {
			t.Errorf("I-13: %s: %v", stream, err)
			return states
		}
		state = apply(state, r)
		states[r.Revision] = state
		r.Meta.At = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Duration(r.Revision) * time.Hour)
		backwards = apply(backwards, r)
	}
	if a, b := timeless(t, state), timeless(t, backwards); a != b {
		t.Errorf("I-16: other times make something else of %s:\n%s\n%s", stream, a, b)
	}
	return states
}

var anyTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*Z"`)

// timeless is a state with all times alike.
func timeless(t testing.TB, state any) string {
	t.Helper()
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	return anyTime.ReplaceAllString(string(text), `"time"`)
}

// screensAreFolds has every read model of a program recomputed and compared, unless the program wants to know
// who asks and the client can't say.
func screensAreFolds(t testing.TB, api *apiClient) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience) // that of the test has ended
	defer cancel()
	models, known := restingModels(ctx, t, api)
	if !known {
		return
	}
	jobs := map[string]readmodels.Job{}
	for _, model := range models {
		var job readmodels.Job
		if _, err := api.call(ctx, http.MethodPost, "/v1/ops/readmodels/"+model+"/verify", nil, &job); err != nil {
			t.Errorf("I-09: %s can't be verified: %v", model, err)
			continue
		}
		jobs[model] = job
	}
	for model, job := range jobs {
		eventually(t, "I-09: the verification of "+model+" ends", patience, func() bool {
			_, err := api.call(ctx, http.MethodGet, "/v1/ops/jobs/"+job.ID, nil, &job)
			return err == nil && job.State != readmodels.JobRunning
		})
		var found readmodels.Comparison
		if err := json.Unmarshal(job.Result, &found); err != nil || job.State != readmodels.JobDone || found.Differing > 0 {
			t.Errorf("I-09: %s differs from a fold of the log: %s %s %s", model, job.State, job.Error, job.Result)
		}
	}
}

// restingModels names the read models once each of them has caught up or is paused; known is false where the
// client may not ask.
func restingModels(ctx context.Context, t testing.TB, api *apiClient) (names []string, known bool) {
	t.Helper()
	eventually(t, "I-09: every read model has caught up", patience, func() bool {
		var list struct{ Items []readmodels.ReadModel }
		got, err := api.call(ctx, http.MethodGet, "/v1/ops/readmodels", nil, &list)
		if known = got.status != http.StatusUnauthorized; !known || err != nil {
			return !known
		}
		names = nil
		for _, m := range list.Items {
			if m.LagEvents > 0 && m.State != readmodels.StatePaused {
				return false
			}
			names = append(names, m.Name)
		}
		return true
	})
	return names, known
}

var counted = regexp.MustCompile(`(?m)^tidemark_(readmodel_deliveries|subscription_answers|eventstore_reconnects)_total\{([^}]*)\} (\S+)$`)

// deliveriesAddUp compares what read models say became of their deliveries with what the event store was told.
// Where a subscription broke off, deliveries may have been settled that nobody could acknowledge any more.
func (e *edge) deliveriesAddUp() {
	cut := e.config.Eventstore != "embedded"
	var last string
	defer func() {
		if e.t.Failed() {
			e.t.Log(last)
		}
	}()
	e.until("I-26: deliveries add up", patience, func() bool {
		lines := e.counted()
		return !slices.ContainsFunc(e.app.engine.Models(), func(m *readmodels.Model) bool {
			settled, acknowledged, broken := deliveries(lines, m.Name, e.app.group(m).Name)
			adds := settled == acknowledged || (cut || broken > 0) && settled > acknowledged
			if !adds {
				last = fmt.Sprintf("I-26: %s settled %g deliveries and acknowledged %g; its subscription broke off %g times", m.Name, settled, acknowledged, broken)
			}
			return !adds
		})
	})
}

// counter is a line of the metrics.
type counter struct {
	labels string
	n      float64
}

func (e *edge) counted() (lines []counter) {
	e.t.Helper()
	w := httptest.NewRecorder()
	e.app.metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		e.t.Fatalf("metrics: %d", w.Code)
	}
	for _, line := range counted.FindAllStringSubmatch(w.Body.String(), -1) {
		n, err := strconv.ParseFloat(line[3], 64)
		if err != nil {
			e.t.Fatal(err)
		}
		lines = append(lines, counter{line[2], n})
	}
	return lines
}

// deliveries are how many a read model has settled, how many its group has acknowledged, and how often the
// subscription to it broke off.
func deliveries(lines []counter, model, group string) (settled, acknowledged, broken float64) {
	for _, line := range lines {
		switch {
		case strings.Contains(line.labels, `what="`+group+`"`):
			broken += line.n
		case strings.Contains(line.labels, `readmodel="`+model+`"`) && !strings.Contains(line.labels, `outcome="failed"`):
			settled += line.n
		case strings.Contains(line.labels, `group="`+group+`"`) && strings.Contains(line.labels, `outcome="ack"`):
			acknowledged += line.n
		}
	}
	return settled, acknowledged, broken
}
