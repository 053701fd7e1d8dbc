package documentstest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

func checkCollections(t *testing.T, s *suite) {
	list := func() []string {
		t.Helper()
		names, err := s.docs.Collections(s.ctx)
		if err != nil {
			t.Fatalf("collections: %v", err)
		}
		return names
	}
	s.same("an empty store", list(), []string{})
	for range 3 {
		s.ensure("orders_2", []string{"customer", "at"}, []string{"status"}, []string{})
		s.ensure("_models")
		s.ensure("orders_1")
	}
	s.same("collections", list(), []string{"_models", "orders_1", "orders_2"})

	s.insert("orders_1", doc("a", 1, `{"total":5}`))
	s.ensure("orders_1", []string{"total"}) // an index that comes later
	s.same("documents survive a new index", s.find("orders_1", readmodels.Find{
		Where: []readmodels.Condition{{Path: "total", Value: int64(5)}}, Limit: 5,
	}), []string{"a"})

	for range 2 {
		if err := s.docs.Drop(s.ctx, "orders_1"); err != nil {
			t.Fatalf("drop: %v", err)
		}
	}
	s.same("collections after a drop", list(), []string{"_models", "orders_2"})
	s.ensure("orders_1")
	s.same("a collection made anew is empty", s.find("orders_1", readmodels.Find{Limit: 5, Hidden: true}), []string{})

	longest := string(slices.Repeat([]byte("c"), 60))
	s.ensure(longest, []string{"a.b.c.d", "e"}, []string{"a.b.c.d", "f"})
	s.insert(longest, doc("a", 1, `{"a":{"b":{"c":{"d":"x"}}}}`))
	s.same("the longest name", s.find(longest, readmodels.Find{Where: []readmodels.Condition{{Path: "a.b.c.d", Value: "x"}}, Limit: 5}), []string{"a"})

	var wg sync.WaitGroup // several workers start at once
	for range 4 {
		wg.Go(func() {
			if err := s.docs.Ensure(s.ctx, readmodels.Collection{Name: "stock", Indexes: [][]string{{"available"}, {"sku", "available"}}}); err != nil {
				t.Errorf("concurrent ensure: %v", err)
			}
		})
	}
	wg.Wait()
	if err := s.docs.Ping(s.ctx); err != nil {
		t.Fatalf("ping: %v", err)
	}
}

func checkMissingCollection(t *testing.T, s *suite) {
	s.same("load", s.load("nowhere", "a"), []readmodels.Document{})
	s.same("find", s.find("nowhere", readmodels.Find{Limit: 5}), []string{})
	s.same("group", s.group("nowhere", readmodels.Grouping{By: []string{"a"}}), []readmodels.Total{})
	if err := s.docs.Delete(s.ctx, "nowhere", []string{"a"}); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err := s.docs.Write(s.ctx, "nowhere", []readmodels.Put{put(0, doc("a", 1, `{}`))})
	s.unavailable("write", err)
	s.ensure("here")
	_, err = s.docs.Write(s.ctx, "here", []readmodels.Put{{Document: doc("a", 1, `{}`), RowsIn: "nowhere", Rows: []readmodels.Document{doc("r", 1, `{}`)}}})
	s.unavailable("write with rows", err)
	s.same("nothing was done", s.find("here", readmodels.Find{Limit: 5}), []string{})
	if err := s.docs.Drop(s.ctx, "here"); err != nil {
		t.Fatalf("drop: %v", err)
	}
	_, err = s.docs.Write(s.ctx, "here", []readmodels.Put{put(0, doc("a", 1, `{}`))})
	s.unavailable("write after a drop", err)
	names, err := s.docs.Collections(s.ctx)
	if err != nil {
		t.Fatalf("collections: %v", err)
	}
	s.same("no collection came into being", names, []string{})
}

func checkLoad(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	a := readmodels.Document{ID: "a", Version: 7, Sources: map[string]int64{"order-a": 3, "fulfilment-a": 2}, Body: []byte(`{"n":1}`)}
	odd := readmodels.Document{ID: `Ä/"%_$.'` + "\U0001F6D2", Version: 1, Sources: map[string]int64{"product-x.y$z": 0}, Body: []byte(`{}`)}
	none := readmodels.Document{ID: "none", Version: 1, Body: []byte(`{"sources":"none"}`)}
	big := readmodels.Document{ID: "big", Version: 1<<53 + 1, Sources: map[string]int64{"order-big": 1 << 53}, Body: []byte(`{}`)}
	s.insert(orders, a, odd, none, big)
	s.same("by ids", s.load(orders, "a", "missing", odd.ID, "none"), []readmodels.Document{a, none, odd})
	s.same("named twice", s.load(orders, "a", "a", "a"), []readmodels.Document{a})
	s.same("large version", s.load(orders, "big"), []readmodels.Document{big})
	s.same("by no ids", s.load(orders), []readmodels.Document{})
	s.same("ids are case-sensitive", s.load(orders, "A"), []readmodels.Document{})

	var many []readmodels.Document
	var ids []string
	for i := range 300 {
		many = append(many, doc(name("m", i), 1, fmt.Sprintf(`{"n":%d}`, i)))
		ids = append(ids, many[i].ID, name("missing", i))
	}
	s.insert(orders, many...)
	s.same("many", s.load(orders, ids...), many)

	loaded := s.load(orders, "a") // what is handed out belongs to the caller
	loaded[0].Body[1], loaded[0].Sources["order-a"] = 'X', 99
	s.same("after a caller changed its copy", s.load(orders, "a"), []readmodels.Document{a})
}

func checkDelete(t *testing.T, s *suite) {
	jobs := s.ensure("_jobs", []string{"state"})
	s.insert(jobs, doc("a", 1, `{"state":"done"}`), doc("b", 2, `{"state":"done"}`), doc("c", 3, `{"state":"run"}`))
	for range 2 {
		if err := s.docs.Delete(s.ctx, jobs, []string{"a", "c", "missing"}); err != nil {
			t.Fatalf("delete: %v", err)
		}
		s.same("left", s.find(jobs, readmodels.Find{Limit: 5}), []string{"b"})
	}
	if err := s.docs.Delete(s.ctx, jobs, nil); err != nil {
		t.Fatalf("delete nothing: %v", err)
	}
	s.insert(jobs, doc("a", 1, `{"state":"new"}`))
	s.same("written anew", s.load(jobs, "a"), []readmodels.Document{doc("a", 1, `{"state":"new"}`)})
}

func checkContext(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	s.insert(orders, doc("a", 1, `{}`))
	over, cancel := context.WithCancel(s.ctx)
	cancel()
	late, stop := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer stop()
	for _, ctx := range []context.Context{over, late} {
		_, loadErr := s.docs.Load(ctx, orders, []string{"a"})
		_, writeErr := s.docs.Write(ctx, orders, []readmodels.Put{put(0, doc("b", 1, `{}`))})
		_, findErr := s.docs.Find(ctx, orders, readmodels.Find{Limit: 5})
		_, groupErr := s.docs.Group(ctx, orders, readmodels.Grouping{})
		_, listErr := s.docs.Collections(ctx)
		calls := map[string]error{
			"load": loadErr, "write": writeErr, "find": findErr, "group": groupErr, "collections": listErr,
			"ensure": s.docs.Ensure(ctx, readmodels.Collection{Name: "late"}),
			"drop":   s.docs.Drop(ctx, orders),
			"delete": s.docs.Delete(ctx, orders, []string{"a"}),
			"ping":   s.docs.Ping(ctx),
		}
		for call, err := range calls {
			s.unavailable(call+" after the end of its context", err)
		}
	}
	s.same("nothing was done", s.find(orders, readmodels.Find{Limit: 5}), []string{"a"})

	// Deadlines that strike at any time leave the documents whole and the store usable.
	random := seeded(t)
	at := int64(1)
	for range 60 {
		ctx, cancel := context.WithTimeout(s.ctx, time.Duration(random.IntN(1500))*time.Microsecond)
		applied, err := s.docs.Write(ctx, orders, []readmodels.Put{put(at, doc("a", at+1, fmt.Sprintf(`{"n":%d}`, at+1)))})
		cancel()
		switch domain.KindOf(err) {
		case domain.KindUnavailable:
			if now := s.load(orders, "a")[0].Version; now != at {
				t.Fatalf("the store said that nothing was done, but version %d became %d", at, now)
			}
		case domain.KindUnknown:
			s.write(orders, put(at, doc("a", at+1, fmt.Sprintf(`{"n":%d}`, at+1)))) // decides it, whatever it was
			at++
		default:
			if err != nil || !applied[0] {
				t.Fatalf("write at version %d: applied %v, %v", at, applied, err)
			}
			at++
		}
	}
	s.same("at the end", s.load(orders, "a")[0].Version, at)
}

func checkWatch(t *testing.T, s *suite) {
	watcher, ok := s.docs.(readmodels.Watcher)
	if !ok {
		t.Skip("not a watcher: readers poll")
	}
	orders, others := s.ensure("orders"), s.ensure("others")
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	seen, ended := make(chan []string, 1000), make(chan error, 1)
	go func() {
		ended <- watcher.Watch(ctx, orders, func(ids []string) { seen <- slices.Clone(ids) })
	}()
	select {
	case ids := <-seen: // the first call says that the watch has begun
		s.same("the first call", ids, []string{})
	case err := <-ended:
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip("this server can't be watched: readers poll")
		}
		t.Fatalf("watch: %v", err)
	case <-time.After(patience):
		t.Fatal("the watch did not begin")
	}
	s.insert(others, doc("x", 1, `{}`))
	s.insert(orders, doc("a", 1, `{}`), doc("b", 1, `{}`))
	s.write(orders, put(1, doc("b", 2, `{}`)), put(0, doc("c", 1, `{}`)), put(5, doc("a", 6, `{}`)))
	heard := map[string]bool{}
	for !heard["a"] || !heard["b"] || !heard["c"] {
		select {
		case ids := <-seen:
			for _, id := range ids {
				heard[id] = true
			}
		case <-time.After(patience):
			t.Fatalf("heard only of %v", heard)
		}
	}
	s.same("heard of", heard, map[string]bool{"a": true, "b": true, "c": true})
	cancel()
	select {
	case err := <-ended:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("the watch ended with %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the watch outlived its context")
	}
}
