package sqlitedocs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

func open(t testing.TB, path string, options Options) *Store {
	t.Helper()
	store, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}

// eventually polls a condition that another goroutine brings about.
func eventually(t testing.TB, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for !condition() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("it did not come about")
		}
	}
}

// blockUntil is the work of a job that holds the writer up.
func blockUntil(held, hold chan struct{}) func(*sqlite.Conn) error {
	return func(*sqlite.Conn) error {
		close(held)
		<-hold
		return nil
	}
}

func TestContract(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents {
		return open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	})
}

// With one reading connection and hardly a page cache everything still holds.
func TestContractUnderPressure(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents {
		return open(t, filepath.Join(t.TempDir(), "documents.db"), Options{Readers: 1, CacheBytes: 64 << 10})
	})
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "documents.db")
	ctx := t.Context()
	collection := readmodels.Collection{Name: "orders_1", Indexes: [][]string{{"status", "createdAt"}, {"createdAt"}, {"createdat"}, {"in.Side"}, {}}}
	first, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Ensure(ctx, collection); err != nil {
		t.Fatal(err)
	}
	want := benchmarkedDocument(7, 3)
	if _, err := first.Write(ctx, "orders_1", []readmodels.Put{{Document: want}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := first.Load(ctx, "orders_1", []string{"x"}); domain.KindOf(err) != domain.KindUnavailable {
		t.Fatalf("a closed store: want unavailable, have %v", err)
	}
	if _, err := first.Write(ctx, "orders_1", []readmodels.Put{{Document: want}}); domain.KindOf(err) != domain.KindUnavailable {
		t.Fatalf("a closed store: want unavailable, have %v", err)
	}
	if err := first.Watch(ctx, "orders_1", func([]string) {}); domain.KindOf(err) != domain.KindUnavailable {
		t.Fatalf("a closed store: want unavailable, have %v", err)
	}

	second := open(t, path, Options{})
	got, err := second.Load(ctx, "orders_1", []string{want.ID})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]readmodels.Document{want}, got); diff != "" {
		t.Fatal(diff)
	}
	if _, steps := second.plan(collection); len(steps) != 0 {
		t.Fatalf("a collection that is there needs %q", steps)
	}
}

// Close may come at any time: every call ends, and what was acknowledged is there.
func TestCloseUnderLoad(t *testing.T) {
	for round := range 20 {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("documents-%d.db", round))
		store := open(t, path, Options{})
		if err := store.Ensure(t.Context(), benchmarked); err != nil {
			t.Fatal(err)
		}
		const writers = 8
		written := make(chan string, 10_000)
		var running sync.WaitGroup
		for w := range writers {
			running.Go(func() {
				for i := 0; ; i++ {
					put := batch(w*1000+i, 1, 1)
					_, err := store.Write(t.Context(), benchmarked.Name, put)
					if domain.KindOf(err) == domain.KindUnavailable {
						return
					}
					if err != nil {
						t.Errorf("write: %v", err)
						return
					}
					written <- put[0].Document.ID
				}
			})
		}
		eventually(t, func() bool { return len(written) > round })
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		close(written)
		again := open(t, path, Options{})
		for id := range written {
			if found, err := again.Load(t.Context(), benchmarked.Name, []string{id}); err != nil || len(found) != 1 {
				t.Fatalf("%s was acknowledged: %d documents, %v", id, len(found), err)
			}
		}
	}
}

// What a newer release or another program wrote is refused, and not one byte of it changes.
func TestForeignFilesStayUntouched(t *testing.T) {
	tests := map[string]struct {
		script string
		as     func(error) bool
	}{
		"newer release": {
			fmt.Sprintf("PRAGMA application_id=%d; PRAGMA user_version=99; CREATE TABLE future(x)", applicationID),
			func(err error) bool {
				newer, ok := errors.AsType[*sqlite.NewerError](err)
				return ok && newer.Found == 99
			},
		},
		"another program": {
			"PRAGMA application_id=7; CREATE TABLE theirs(x)",
			func(err error) bool { _, ok := errors.AsType[*sqlite.ForeignError](err); return ok },
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "documents.db")
			conn, err := sqlite3.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(conn.Exec(test.script), conn.Close()); err != nil {
				t.Fatal(err)
			}
			before := fingerprint(t, path)
			if store, err := Open(path, Options{}); !test.as(err) {
				t.Fatalf("opened %v with %v", store, err)
			}
			if after := fingerprint(t, path); after != before {
				t.Fatalf("the directory changed from %s to %s", before, after)
			}
		})
	}
}

func fingerprint(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var print strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(filepath.Dir(path), entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&print, "%s %x ", entry.Name(), sha256.Sum256(content))
	}
	return print.String()
}

// The questions of the screens are answered from indexes, in their order, without sorting.
func TestFindsUseIndexes(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	ctx := t.Context()
	err := store.Ensure(ctx, readmodels.Collection{Name: "orders", Indexes: [][]string{
		{"customerId", "createdAt"}, {"customerId", "status", "createdAt"}, {"available"}, {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	customer := readmodels.Condition{Path: "customerId", Value: "c"}
	period := []readmodels.Condition{customer, {Path: "createdAt", Op: readmodels.GreaterOrEqual, Value: "a"}, {Path: "createdAt", Op: readmodels.Less, Value: "b"}}
	newest := []readmodels.Sort{{Path: "createdAt", Desc: true}}
	tests := []struct {
		name string
		find readmodels.Find
		want string
	}{
		{"by customer, newest first", readmodels.Find{Where: []readmodels.Condition{customer}, Sort: newest, Limit: 20}, `customerId=\?`},
		{"the next page", readmodels.Find{Where: []readmodels.Condition{customer}, Sort: newest, After: []any{"a", "id"}, Limit: 20}, `customerId=\? AND \(\$\.created\^At,id\)<\(\?,\?\)`},
		{"with a status", readmodels.Find{Where: []readmodels.Condition{customer, {Path: "status", Value: "open"}}, Sort: newest, Limit: 20}, `customerId=\? AND \$\.status=\?`},
		{"in a period", readmodels.Find{Where: period, Sort: newest, Limit: 20}, `customerId=\? AND \$\.created\^At>\? AND \$\.created\^At<\?`},
		{"low stock", readmodels.Find{Where: []readmodels.Condition{{Path: "available", Op: readmodels.Less, Value: int64(5)}}, Sort: []readmodels.Sort{{Path: "available"}}, Limit: 20}, `available<\?`},
		{"all that is visible", readmodels.Find{Limit: 20}, `SCAN .* USING INDEX`},
		{"the next of all", readmodels.Find{After: []any{"id"}, Limit: 20}, `USING INDEX .*\(id>\?\)`},
		{"hidden ones too", readmodels.Find{After: []any{"id"}, Limit: 20, Hidden: true}, `USING INDEX sqlite_autoindex.*\(id>\?\)`},
		{"by id", readmodels.Find{Where: []readmodels.Condition{{Path: "_id", Value: "a"}}, Limit: 1}, `USING INDEX .*\(id=\?\)`},
		{"mixed directions", readmodels.Find{Sort: []readmodels.Sort{{Path: "available", Desc: true}, {Path: "_id"}}, After: []any{int64(4), "id"}, Limit: 20}, `available<\?`},
	}
	for _, test := range tests {
		q := findSQL(store.table("orders"), test.find)
		plan := explain(t, store, q)
		if !matches(test.want, plan) {
			t.Errorf("%s:\n%s\n%s", test.name, q.text.String(), plan)
		}
		if strings.Contains(plan, "TEMP B-TREE") && test.name != "mixed directions" {
			t.Errorf("%s is sorted:\n%s\n%s", test.name, q.text.String(), plan)
		}
	}
	group := groupSQL(store.table("orders"), readmodels.Grouping{Where: []readmodels.Condition{customer}, By: []string{"status"}})
	if plan := explain(t, store, group); !matches(`USING COVERING INDEX .*customerId=\?`, plan) {
		t.Errorf("counts per status:\n%s\n%s", group.text.String(), plan)
	}
}

func explain(t *testing.T, store *Store, q *query) string {
	t.Helper()
	var plan []string
	err := store.transact(t.Context(), func(r *sqlite.Conn) error {
		return each(r, "EXPLAIN QUERY PLAN "+q.text.String(), q.args, func(row *sqlite3.Stmt) error {
			plan = append(plan, row.ColumnText(3))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(plan, "\n")
}

func matches(pattern, text string) bool {
	return regexp.MustCompile(strings.ReplaceAll(pattern, "customerId", `customer\^Id`)).MatchString(text)
}

// A caller that gives up while the writer is busy with others has certainly done nothing; one whose write is
// under way does not know.
func TestGivingUp(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	if err := store.Ensure(t.Context(), benchmarked); err != nil {
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	underWay, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- store.submit(underWay, &job{run: blockUntil(held, hold)}) }()
	<-held
	stop()
	if err := <-ended; domain.KindOf(err) != domain.KindUnknown {
		t.Errorf("given up under way: want unknown, have %v", err)
	}
	queued, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := store.Write(queued, benchmarked.Name, batch(0, 1, 1)); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("given up in the queue: want unavailable, have %v", err)
	}
	close(hold)
	if _, err := store.Write(t.Context(), benchmarked.Name, batch(1, 1, 1)); err != nil {
		t.Fatal(err)
	}
	found, err := store.Find(t.Context(), benchmarked.Name, readmodels.Find{Limit: 10})
	if err != nil || len(found) != 1 || found[0].ID != benchmarkedDocument(1, 1).ID {
		t.Errorf("found %d documents, %v; want only the last", len(found), err)
	}
}

// A watcher that doesn't keep up is told so, and nobody waits for it.
func TestSlowWatcher(t *testing.T) {
	var h hub
	w := h.add("orders")
	for i := range heldIDs + 1 {
		h.tell("orders", []string{fmt.Sprint(i)})
	}
	if ids := w.take(); ids != nil {
		t.Fatalf("after an overflow: %d ids, want nil", len(ids))
	}
	h.tell("orders", []string{"a"})
	h.tell("orders", []string{"a", "b"})
	if ids := w.take(); len(ids) != 2 {
		t.Fatalf("took %v", ids)
	}
	h.remove("orders", w)
	h.tell("orders", []string{"c"})
	if ids := w.take(); len(ids) != 0 {
		t.Fatalf("heard %v after the end", ids)
	}
}

func TestSources(t *testing.T) {
	for _, sources := range []map[string]int64{
		nil, {"order-a": 0}, {"a": 1, "b": -1, "c": 1 << 60}, {`pro"duct-\x`: 3, "ä,}:": 4}, {"a,b": 1, "c}d": 2, "e:f": 3}, {"\x00<&": 9},
	} {
		text, err := sourcesText(sources)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseSources(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(sources, back); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	for _, broken := range []string{`{"a"`, `{"a":x}`, `{`, `{"a":1`, `{"a:1}`} {
		if back, err := parseSources([]byte(broken)); err == nil {
			t.Errorf("%s was read as %v", broken, back)
		}
	}
}
