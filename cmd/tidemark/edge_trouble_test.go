package main

import (
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// trouble is something that is wrong with a store for a while.
type trouble struct {
	name  string
	spell func(over <-chan struct{}, e *edge, w *wire) // lets it be wrong until over, then heals it

	store  string // which one
	names  string // the store that readiness names as failed while it lasts
	opens  string // the store whose breaker opens while it lasts
	works  bool   // commands are all carried out nevertheless
	crawls bool   // the store does answer, so that a command may take longer until it is refused
	folded bool   // lists may be refused, single things are told from events
}

// spell makes one of a beginning and an end.
func spell(begin, end func(e *edge, w *wire)) func(<-chan struct{}, *edge, *wire) {
	return func(over <-chan struct{}, e *edge, w *wire) {
		begin(e, w)
		<-over
		end(e, w)
	}
}

// flapping goes back and forth every 300 ms.
func flapping(begin, end func(e *edge, w *wire)) func(<-chan struct{}, *edge, *wire) {
	return func(over <-chan struct{}, e *edge, w *wire) {
		tick := time.NewTicker(300 * time.Millisecond)
		defer tick.Stop()
		for bad := true; ; bad = !bad {
			if bad {
				begin(e, w)
			} else {
				end(e, w)
			}
			select {
			case <-over:
				end(e, w)
				return
			case <-tick.C:
			}
		}
	}
}

const (
	eventStore = "event store"
	readStore  = "read store"
)

func healStore(e *edge, _ *wire)     { e.store.Heal() }
func healDocuments(e *edge, _ *wire) { e.documents.Heal() }
func mend(_ *edge, w *wire)          { w.sever(false) }
func quicken(_ *edge, w *wire)       { w.delay(0) }

func delayed(by time.Duration) func(*edge, *wire) {
	return func(_ *edge, w *wire) { w.delay(by) }
}

func ailing(f storetest.Faults) func(*edge, *wire) {
	return func(e *edge, _ *wire) { e.store.Set(f) }
}

func ailingDocuments(f documentstest.Faults) func(*edge, *wire) {
	return func(e *edge, _ *wire) { e.documents.Set(f) }
}

var troubles = []trouble{
	{store: eventStore, name: "the event store is slow", works: true, spell: spell(delayed(75*time.Millisecond), quicken)},
	{store: eventStore, name: "the event store is far too slow", names: eventStore, opens: eventStore, spell: spell(delayed(2500*time.Millisecond), quicken)},
	{store: eventStore, name: "calls to the event store dawdle", crawls: true, spell: spell(ailing(storetest.Faults{Delay: 3 * time.Second}), healStore)},
	{store: eventStore, name: "half of the calls to the event store hang", spell: spell(ailing(storetest.Faults{Hang: 0.5}), healStore)},
	{store: eventStore, name: "the event store flaps", spell: flapping(func(_ *edge, w *wire) { w.sever(true) }, mend)},
	{store: eventStore, name: "the wire stalls and goes on", names: eventStore, opens: eventStore,
		spell: spell(func(_ *edge, w *wire) { w.stall(true) }, func(_ *edge, w *wire) { w.stall(false) })},
	{store: eventStore, name: "connections stay half-open", names: eventStore, opens: eventStore,
		spell: spell(func(_ *edge, w *wire) { w.lose(true) }, func(_ *edge, w *wire) { w.lose(false) })},
	{store: readStore, name: "the read store is slow", works: true, spell: spell(ailingDocuments(documentstest.Faults{Delay: 600 * time.Millisecond}), healDocuments)},
	{store: readStore, name: "half of the calls to the read store hang", works: true, folded: true, spell: spell(ailingDocuments(documentstest.Faults{Hang: 0.5}), healDocuments)},
	{store: readStore, name: "the read store hangs", works: true, folded: true, names: readStore, opens: readStore,
		spell: spell(ailingDocuments(documentstest.Faults{Hang: 1}), healDocuments)},
	{store: readStore, name: "the read store flaps", works: true, folded: true, spell: flapping(ailingDocuments(documentstest.Faults{Unavailable: 1}), healDocuments)},
}

// troublesAlways are the ones of every test run, one of each kind; CI and TIDEMARK_TEST_OUTAGE take all.
var troublesAlways = []string{"half of the calls to the event store hang", "the wire stalls and goes on", "the read store hangs", "the read store flaps"}

// troublesAtOnce is how many of them the machine is trusted with.
const troublesAtOnce = 4

// TestStoresInTrouble: whatever is wrong with a store, commands end in time and say what became of them,
// nothing acknowledged is lost and nothing applied twice, screens answer and know their age, readiness
// names the store, and when it is over everything works again by itself and nothing is left behind.
func TestStoresInTrouble(t *testing.T) {
	if testing.Short() {
		t.Skip("troubles take seconds")
	}
	lasts, chosen := 2*time.Second, slices.DeleteFunc(slices.Clone(troubles), func(what trouble) bool { return !slices.Contains(troublesAlways, what.name) })
	if text := os.Getenv(outageVariable); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
		chosen = troubles
	}
	if len(chosen) < len(troublesAlways) {
		t.Fatalf("of %q only %d are troubles", troublesAlways, len(chosen))
	}
	pulse := startPulse(t)
	cases := make([]*ordeal, len(chosen))
	for i, what := range chosen { // all of them wait most of the time: they do so together
		cases[i] = newOrdeal(t, what, lasts)
		cases[i].pulse = pulse
	}
	before, held := runtime.NumGoroutine(), heap()
	var all sync.WaitGroup
	room := make(chan struct{}, troublesAtOnce)
	for _, o := range cases {
		room <- struct{}{}
		all.Go(func() {
			defer func() { <-room }()
			t.Run(o.what.name, func(inner *testing.T) {
				o.e.t = inner
				defer func() { o.e.t = t }() // which stops it
				o.run()
			})
		})
	}
	all.Wait()
	http.DefaultClient.CloseIdleConnections()
	cases[0].e.until("goroutines are as many as before", 60*time.Second, func() bool { return runtime.NumGoroutine() <= before+25 })
	if now := heap(); now > held+128<<20 {
		t.Errorf("the heap grew from %d to %d MiB", held>>20, now>>20)
	}
}

// heap is what is held in memory, in bytes.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// breakerOpen says whether the breaker in front of a store refuses calls, by the metrics.
func (e *edge) breakerOpen(store string) bool {
	e.t.Helper()
	text := string(e.send("GET", "/metrics", nil).expect(http.StatusOK, "").body)
	return strings.Contains(text, `tidemark_breaker_open{store="`+store+`"} 1`)
}

// failedChecks are the dependencies that readiness names as failed.
func (e *edge) failedChecks() []string {
	e.t.Helper()
	var failed []string
	checks, _ := e.send("GET", "/readyz", nil).json()["checks"].([]any)
	for _, c := range checks {
		if check := c.(map[string]any); check["status"] == "failed" {
			failed = append(failed, check["name"].(string))
		}
	}
	return failed
}
