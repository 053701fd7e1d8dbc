package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// Snapshots and documents are used by the version of the fold that made them. A fold that changes under
// the same version goes on from states that it would never have made itself, and nobody notices. So what
// every fold makes of fixed histories is on file for every version, and a changed fold needs a new one.
//
// Histories are exports in testdata/folds: history.ndjson, and history.<case>.ndjson for what comes later;
// like the goldens they are added to by further files, never changed.

var updateFolds = flag.Bool("update", false, "add goldens for versions of folds that have none; existing ones never change")

// foldHistory is a fixed history. Goldens of the first one bear no case.
type foldHistory struct {
	name   string
	events []domain.Recorded
}

func foldHistories(t *testing.T) []foldHistory {
	t.Helper()
	paths, err := filepath.Glob("testdata/folds/history*.ndjson")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no histories: %v", err)
	}
	histories := []foldHistory{{name: ".long", events: longHistory()}}
	for _, path := range paths {
		if _, err := surveyEvents(path); err != nil {
			t.Fatal(err)
		}
		h := foldHistory{name: strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "history"), ".ndjson")}
		err := eachEvent(path, func(_ int64, raw codec.Raw) error {
			recorded, err := codec.Decode(raw)
			h.events = append(h.events, recorded)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		histories = append(histories, h)
	}
	return histories
}

// longHistory has streams so long that folds which bound or divide their lists do so.
func longHistory() (events []domain.Recorded) {
	at := time.Date(2026, 3, 1, 20, 30, 0, 0, time.UTC)
	add := func(stream string, revision int, event domain.Event) {
		n := len(events)
		at = at.Add(1001 * time.Millisecond)
		events = append(events, domain.Recorded{Event: event, Type: event.EventType(), ID: fmt.Sprintf("event-%d", n), Stream: stream, Revision: int64(revision), Position: uint64(n + 1), Stored: at,
			Meta: domain.Meta{SchemaVersion: codec.Version(event.EventType()), CorrelationID: "c", CommandID: fmt.Sprintf("command-%d", n), Actor: "tester", BatchSize: 1, At: at}})
	}
	add("order-long", 0, order.Created{CustomerID: "cust-1", AccountID: "long", Currency: "EUR", Items: []order.Line{}})
	for i := range 150 {
		add("order-long", i+1, order.ItemAdded{Line: order.Line{SKU: fmt.Sprint("SKU-", i%11), Quantity: 1, UnitPrice: int64(i)}})
	}
	for i := range 1300 { // each order is paid once; some are credited soon after, some much later
		id := func(n int) string { return fmt.Sprintf("o-%04d", n*7919%1300) }
		switch {
		case i%5 == 4:
			add("account-long", i, account.Credited{Amount: 2, Currency: "EUR", OrderID: id(i - 2)})
		case i%7 == 6:
			add("account-long", i, account.Credited{Amount: 3, Currency: "EUR", OrderID: id(i / 2)})
		default:
			add("account-long", i, account.Withdrawn{Amount: 5, Currency: "EUR", OrderID: id(i)})
		}
	}
	return events
}

// noted says whether the state after an event is put on file: all of short streams, some of long ones.
func noted(revision int64) bool { return revision < 40 || revision%64 == 0 }

// noteOf is a line of a golden; what is very long is there as its hash.
func noteOf(t *testing.T, what string, state any) string {
	t.Helper()
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 4000 {
		text = fmt.Appendf(nil, "%d bytes, SHA-256 %x", len(text), sha256.Sum256(text))
	}
	return what + " " + string(text)
}

// foldedStates is what an aggregate's fold makes of a history, event by event.
func foldedStates[S interface{ Apply(r domain.Recorded) S }](category string) func(t *testing.T, events []domain.Recorded) []string {
	return func(t *testing.T, events []domain.Recorded) (lines []string) {
		t.Helper()
		states := map[string]S{}
		for _, r := range events {
			if domain.Category(r.Stream) != category {
				continue
			}
			states[r.Stream] = states[r.Stream].Apply(r)
			if noted(r.Revision) {
				lines = append(lines, noteOf(t, fmt.Sprintf("%s@%d %s", r.Stream, r.Revision, r.Type), states[r.Stream]))
			}
		}
		return lines
	}
}

func TestFoldsOfAggregatesChangeWithTheirVersion(t *testing.T) {
	histories := foldHistories(t)
	for _, aggregate := range []struct {
		name    string
		version int
		fold    func(t *testing.T, events []domain.Recorded) []string
	}{
		{"order", order.FoldVersion, foldedStates[order.Order]("order")},
		{"product", product.FoldVersion, foldedStates[product.Product]("product")},
		{"inventory", inventory.FoldVersion, foldedStates[inventory.Stock]("inventory")},
		{"account", account.FoldVersion, foldedStates[account.Account]("account")},
		{"fulfilment", fulfilment.FoldVersion, foldedStates[fulfilment.Process]("fulfilment")},
	} {
		t.Run(aggregate.name, func(t *testing.T) {
			for _, h := range histories {
				checkFold(t, foldGolden{aggregate.name, aggregate.version, h.name, "FoldVersion in domain/" + aggregate.name}, aggregate.fold(t, h.events))
			}
		})
	}
}

// foldGolden says whose fold it is; raise is what to raise where it has changed.
type foldGolden struct {
	name    string
	version int
	history string
	raise   string
}

// checkFold compares what a fold made with what is on file for its version.
func checkFold(t *testing.T, g foldGolden, lines []string) {
	t.Helper()
	if len(lines) == 0 {
		return // the history is about something else
	}
	newest, err := newestGolden("testdata/folds", g.name)
	if err != nil {
		t.Fatal(err)
	}
	if newest > g.version {
		t.Errorf("%s is at version %d, but there was a version %d before: versions are never used twice", g.name, g.version, newest)
	}
	path := filepath.Join("testdata", "folds", fmt.Sprintf("%s.v%d%s.golden", g.name, g.version, g.history))
	golden, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		addGolden(t, path, lines)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if difference := firstDifference(strings.Split(strings.TrimSuffix(string(golden), "\n"), "\n"), lines); difference != "" {
		t.Errorf("the fold of %s, or the reading of what it folds, has changed, but its version is still %d: raise %s, then add the golden with -update.\n"+
			"The first difference to %s:\n%s", g.name, g.version, g.raise, path, difference)
	}
}

func addGolden(t *testing.T, path string, lines []string) {
	t.Helper()
	if !*updateFolds {
		t.Errorf("there is no %s: go test ./cmd/tidemark -run Folds -update adds it; commit it with the change of the fold", path)
		return
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // never over one that is there
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("added %s: read it before it is committed", path)
}

// newestGolden is the highest version that has a golden, 0 if none has.
func newestGolden(dir, name string) (newest int, err error) {
	paths, err := filepath.Glob(filepath.Join(dir, name+".v*.golden"))
	for _, path := range paths {
		number, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(path), name+".v"), ".")
		version, err := strconv.Atoi(number)
		if err != nil {
			return 0, fmt.Errorf("golden %s is not named <name>.v<N>[.<case>].golden", path)
		}
		newest = max(newest, version)
	}
	return newest, err
}

func firstDifference(golden, now []string) string {
	for i := range max(len(golden), len(now)) {
		before, after := "(nothing)", "(nothing)"
		if i < len(golden) {
			before = golden[i]
		}
		if i < len(now) {
			after = now[i]
		}
		if before != after {
			return fmt.Sprintf("line %d\n-%s\n+%s", i+1, before, after)
		}
	}
	return ""
}

// An event that no history has could be folded in any way.
func TestFoldsAreAskedAboutEveryEvent(t *testing.T) {
	type shape struct {
		kind    string
		version int
	}
	had := map[shape]bool{}
	for _, h := range foldHistories(t) {
		for _, r := range h.events {
			had[shape{r.Type, r.Meta.SchemaVersion}] = true
		}
	}
	for _, events := range [][]domain.Event{order.Events(), product.Events(), inventory.Events(), account.Events(), fulfilment.Events()} {
		for _, e := range events {
			for version := 1; version <= codec.Version(e.EventType()); version++ {
				if !had[shape{e.EventType(), version}] {
					t.Errorf("no history has an %s of version %d: add testdata/folds/history.<case>.ndjson, an export with streams of it", e.EventType(), version)
				}
			}
		}
	}
}
