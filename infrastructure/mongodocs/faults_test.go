package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

func document(id string, version int64) readmodels.Document {
	return readmodels.Document{
		ID: id, Version: version, Sources: map[string]int64{"order-" + id: version - 1}, Body: fmt.Appendf(nil, `{"n":%d}`, version),
	}
}

// prepared is a store behind a wire, with the documents a and b at version 1 and two collections.
func prepared(t *testing.T, options Options) (*Store, *wire) {
	t.Helper()
	w, uri := openWire(t, ferretURI(t))
	store := open(t, uri, options)
	for _, name := range []string{"orders", "orders_rows"} {
		if err := store.Ensure(t.Context(), readmodels.Collection{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := store.Write(t.Context(), "orders", []readmodels.Put{{Document: document("a", 1)}, {Document: document("b", 1)}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.play(nil) })
	return store, w
}

func versions(t *testing.T, store *Store, ids ...string) map[string]int64 {
	t.Helper()
	documents, err := store.Load(t.Context(), "orders", ids)
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int64{}
	for _, d := range documents {
		at[d.ID] = d.Version
	}
	return at
}

// together runs cases at the same time: after a fault the driver waits half a second before it looks for a
// server again, and that is all that these cases spend time on.
type together struct {
	t       *testing.T
	running sync.WaitGroup
}

func (r *together) run(name string, test func(t *testing.T)) {
	r.running.Go(func() { r.t.Run(name, test) })
}

func (r *together) wait() { r.running.Wait() }

// Whatever happens to a command on its way, the outcome of each put is exact.
func TestWritesSurviveTheNetwork(t *testing.T) {
	t.Parallel()
	failedMajority := bson.D{{Key: "writeConcernError", Value: bson.D{
		{Key: "code", Value: int32(64)}, {Key: "codeName", Value: "WriteConcernFailed"}, {Key: "errmsg", Value: "waiting for replication timed out"},
	}}}
	fates := map[string]fate{
		"command lost":            {cut: true},
		"answer lost":             {lost: true},
		"primary stepped down":    {answer: steppedDown},
		"majority not yet told":   {amend: failedMajority},
		"nothing happens to them": {},
	}
	all := together{t: t}
	defer all.wait()
	for name, doom := range fates {
		for _, command := range []string{"insert", "update"} {
			for _, repeats := range []int{1, 2} {
				all.run(fmt.Sprintf("%s, %s, %d times", name, command, repeats), func(t *testing.T) {
					store, w := prepared(t, Options{})
					w.play(times(repeats, command, doom))
					applied, err := store.Write(t.Context(), "orders", []readmodels.Put{
						{Document: document("c", 1)}, {Document: document("a", 9)},
						{Document: document("a", 3), IfVersion: 1}, {Document: document("b", 4), IfVersion: 2}, {Document: document("x", 4), IfVersion: 2},
					})
					if err != nil {
						t.Fatal(err)
					}
					if diff := cmp.Diff([]bool{true, false, true, false, false}, applied); diff != "" {
						t.Fatalf("outcomes: %s", diff)
					}
					if diff := cmp.Diff(map[string]int64{"a": 3, "b": 1, "c": 1}, versions(t, store, "a", "b", "c", "x")); diff != "" {
						t.Fatal(diff)
					}
				})
			}
		}
	}
}

// Rows that arrive twice are there once, and their document follows.
func TestRowsSurviveTheNetwork(t *testing.T) {
	t.Parallel()
	all := together{t: t}
	defer all.wait()
	for name, doom := range map[string]fate{"command lost": {cut: true}, "answer lost": {lost: true}, "primary stepped down": {answer: steppedDown}} {
		all.run(name, func(t *testing.T) {
			store, w := prepared(t, Options{})
			w.play(times(1, "insert", doom))
			rows := []readmodels.Document{document("order-a@1", 1), document("order-a@2", 1)}
			applied, err := store.Write(t.Context(), "orders", []readmodels.Put{{Document: document("a", 3), IfVersion: 1, RowsIn: "orders_rows", Rows: rows}})
			if err != nil || !applied[0] {
				t.Fatalf("applied %v, %v", applied, err)
			}
			found, err := store.Find(t.Context(), "orders_rows", readmodels.Find{Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(rows, found); diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

// A store that stays away: nothing was sent, or nobody knows.
func TestWritesToAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	store, w := prepared(t, Options{})
	put := []readmodels.Put{{Document: document("a", 2), IfVersion: 1}}
	// away writes through a store of its own that soon gives up. On a busy machine soon may be too soon for as
	// many commands as are wanted; then it is given more time.
	away := func(want int, doom func(command string, body bson.Raw) fate) error {
		for within := 1500 * time.Millisecond; ; within *= 4 {
			brief, err := Open(t.Context(), "mongodb://"+w.listener.Addr().String()+"/", Options{Database: store.options.Database, Timeout: within})
			if err != nil {
				t.Fatal(err)
			}
			w.play(doom)
			_, err = brief.Write(t.Context(), "orders", put)
			sent := w.count("update")
			if closed := brief.Close(); closed != nil { // waits until nothing of it is under way any more
				t.Error(closed)
			}
			w.play(nil)
			if sent >= want {
				return err
			}
			if within > time.Minute {
				t.Fatalf("tried %d times within %v, want %d: %v", sent, within, want, err)
			}
		}
	}

	err := away(2, times(1000, "update", fate{cut: true}))
	if domain.KindOf(err) != domain.KindUnknown {
		t.Fatalf("commands that never arrive: want unknown, have %v", err)
	}
	if diff := cmp.Diff(map[string]int64{"a": 1}, versions(t, store, "a")); diff != "" {
		t.Fatal(diff)
	}

	// The answer is lost, and so is every attempt to see what became of it.
	err = away(1, func(command string, _ bson.Raw) fate { return fate{lost: command == "update", cut: command == "find"} })
	if domain.KindOf(err) != domain.KindUnknown {
		t.Fatalf("answers that never arrive: want unknown, have %v", err)
	}
	if diff := cmp.Diff(map[string]int64{"a": 2}, versions(t, store, "a")); diff != "" {
		t.Fatal(diff)
	}
	applied, err := store.Write(t.Context(), "orders", put)
	if err != nil || applied[0] {
		t.Fatalf("the repeat of a write that took hold: applied %v, %v", applied, err)
	}

	// A caller whose time is over before anything was sent.
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Millisecond))
	defer cancel()
	if _, err := store.Write(ctx, "orders", put); domain.KindOf(err) != domain.KindUnavailable {
		t.Fatalf("nothing sent: want unavailable, have %v", err)
	}
}

// Everything else may simply be done again.
func TestOtherCallsSurviveTheNetwork(t *testing.T) {
	t.Parallel()
	calls := map[string]func(ctx context.Context, store *Store) error{
		"create": func(ctx context.Context, store *Store) error {
			return store.Ensure(ctx, readmodels.Collection{Name: "more"})
		},
		"createIndexes": func(ctx context.Context, store *Store) error {
			return store.Ensure(ctx, readmodels.Collection{Name: "more", Indexes: [][]string{{"n"}}})
		},
		"listIndexes": func(ctx context.Context, store *Store) error {
			return store.Ensure(ctx, readmodels.Collection{Name: "more", Indexes: [][]string{{"n"}}})
		},
		"drop":   func(ctx context.Context, store *Store) error { return store.Drop(ctx, "orders_rows") },
		"delete": func(ctx context.Context, store *Store) error { return store.Delete(ctx, "orders", []string{"b"}) },
		"find": func(ctx context.Context, store *Store) error {
			_, err := store.Load(ctx, "orders", []string{"a"})
			return err
		},
		"aggregate": func(ctx context.Context, store *Store) error {
			_, err := store.Group(ctx, "orders", readmodels.Grouping{})
			return err
		},
		"listCollections": func(ctx context.Context, store *Store) error {
			_, err := store.Collections(ctx)
			return err
		},
	}
	fates := map[string]fate{"command lost": {cut: true}, "answer lost": {lost: true}, "primary stepped down": {answer: steppedDown}}
	all := together{t: t}
	defer all.wait()
	for name, doom := range fates {
		for command, call := range calls {
			all.run(name+", "+command, func(t *testing.T) {
				store, w := prepared(t, Options{})
				w.play(times(1, command, doom))
				if err := call(t.Context(), store); err != nil {
					t.Fatal(err)
				}
				if w.count(command) == 0 {
					t.Fatal("the command was not sent")
				}
			})
		}
	}
}

// A conflict that only the server sees, with the same keys under another name, is one too.
func TestIndexConflictFoundByTheServer(t *testing.T) {
	store, w := prepared(t, Options{})
	w.play(times(1, "createIndexes", fate{answer: bson.D{
		{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: "Index already exists with a different name: theirs"}, {Key: "code", Value: int32(85)},
	}}))
	err := store.Ensure(t.Context(), readmodels.Collection{Name: "orders", Indexes: [][]string{{"n"}}})
	if conflict, ok := errors.AsType[*IndexConflictError](err); !ok || conflict.Collection != "orders" || conflict.Err == nil {
		t.Fatalf("want an index conflict, have %v", err)
	}
}

// Somebody writes between our command and the look at who wrote: the outcome is still exact or not given.
func TestOvertaken(t *testing.T) {
	store, _ := prepared(t, Options{})
	ctx := t.Context()
	mine := func(id string, ifVersion, version int64) *entry {
		list, err := prepare([]readmodels.Put{{Document: document(id, version), IfVersion: ifVersion}})
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	write := func(id string, ifVersion, version int64) {
		t.Helper()
		if applied, err := store.Write(ctx, "orders", []readmodels.Put{{Document: document(id, version), IfVersion: ifVersion}}); err != nil || !applied[0] {
			t.Fatalf("applied %v, %v", applied, err)
		}
	}
	write("a", 1, 5)
	write("b", 1, 2)
	ahead, behind := mine("a", 1, 3), mine("b", 1, 4)
	if err := store.tell(ctx, "orders", []*entry{ahead, behind}, 1); err != nil || !ahead.applied || behind.applied {
		t.Errorf("one of two matched: %v %v, %v; want the one that was written over", ahead.applied, behind.applied, err)
	}
	ahead, behind = mine("a", 1, 3), mine("b", 1, 4)
	if err := store.tell(ctx, "orders", []*entry{ahead, behind}, 0); err != nil || ahead.applied || behind.applied || !ahead.decided {
		t.Errorf("none matched: %v %v, %v", ahead.applied, behind.applied, err)
	}
	write("b", 2, 6)
	ahead, behind = mine("a", 1, 3), mine("b", 1, 4)
	if err := store.tell(ctx, "orders", []*entry{ahead, behind}, 1); err == nil {
		t.Error("one of two that were both written over: want an error")
	}
	doubtful := mine("a", 1, 3)
	doubtful.doubtful = true
	if err := store.review(ctx, "orders", []*entry{doubtful}); err == nil || doubtful.decided {
		t.Errorf("written over after an attempt without an outcome: want an error, have %v", err)
	}
}

// Searches on secondaries wait until the secondary has what was loaded before.
func TestSecondaryReadsAreCausal(t *testing.T) {
	w, uri := openWire(t, ferretURI(t))
	store := open(t, uri, Options{SecondaryReads: true})
	store.clock.stale, store.patience = time.Hour, time.Minute
	ctx := readmodels.Relaxed(t.Context())
	if err := store.Ensure(ctx, readmodels.Collection{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	var after []bson.RawValue
	at := bson.Timestamp{T: 100, I: 1}
	w.play(func(command string, body bson.Raw) fate {
		if command == "find" || command == "aggregate" {
			after = append(after, body.Lookup("readConcern", "afterClusterTime"))
			at.I++
			return fate{amend: bson.D{{Key: "operationTime", Value: at}}}
		}
		return fate{}
	})
	for range 2 {
		if _, err := store.Load(ctx, "orders", []string{"a"}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Find(ctx, "orders", readmodels.Find{Limit: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Group(ctx, "orders", readmodels.Grouping{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, value := range after[1:] {
		seconds, increment, ok := value.TimestampOK()
		if !ok || seconds != 100 || increment != uint32(2+i) {
			t.Errorf("command %d waits for %v, want that of the one before it", i+1, value)
		}
	}
}
