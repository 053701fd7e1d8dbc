package documentstest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

func checkConditionalWrite(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	first, second := doc("a", 1, `{"n":1}`), doc("a", 2, `{"n":2}`)
	steps := []struct {
		what string
		put  readmodels.Put
		want bool
		left []readmodels.Document
	}{
		{"replacing what is not there", put(1, second), false, nil},
		{"the first write", put(0, first), true, []readmodels.Document{first}},
		{"a second first write", put(0, doc("a", 7, `{"n":7}`)), false, []readmodels.Document{first}},
		{"a condition ahead", put(2, doc("a", 3, `{"n":3}`)), false, []readmodels.Document{first}},
		{"the next version", put(1, second), true, []readmodels.Document{second}},
		{"a condition behind", put(1, doc("a", 4, `{"n":4}`)), false, []readmodels.Document{second}},
		{"a jump", put(2, doc("a", 900, `{"n":900}`)), true, []readmodels.Document{doc("a", 900, `{"n":900}`)}},
	}
	for _, step := range steps {
		if got := s.write(orders, step.put)[0]; got != step.want {
			t.Fatalf("%s: applied %v, want %v", step.what, got, step.want)
		}
		s.same(step.what, s.load(orders, "a"), step.left)
	}
}

func checkBatch(t *testing.T, s *suite) {
	orders := s.ensure("orders", []string{"n"})
	s.insert(orders, doc("a", 1, `{"n":1}`), doc("b", 5, `{"n":5}`))
	applied := s.write(orders,
		put(0, doc("c", 1, `{"n":1}`)), // new
		put(0, doc("a", 9, `{"n":9}`)), // is there already
		put(5, doc("b", 6, `{"n":6}`)), // next
		put(3, doc("d", 4, `{"n":4}`)), // isn't there
		put(0, doc("e", 2, `{"n":2}`)), // new
		put(2, doc("a", 3, `{"n":3}`)), // is behind
	)
	s.same("outcomes", applied, []bool{true, false, true, false, true, false})
	s.same("documents", s.load(orders, "a", "b", "c", "d", "e"), []readmodels.Document{
		doc("a", 1, `{"n":1}`), doc("b", 6, `{"n":6}`), doc("c", 1, `{"n":1}`), doc("e", 2, `{"n":2}`),
	})
	s.same("an empty batch", s.write(orders), []bool{})
}

func checkBatchTwice(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	applied := s.write(orders,
		put(0, doc("a", 1, `{"n":1}`)),
		put(0, doc("b", 1, `{"n":1}`)),
		put(1, doc("a", 2, `{"n":2}`)),
		put(1, doc("a", 3, `{"n":3}`)),
		put(2, doc("a", 4, `{"n":4}`)),
		put(0, doc("b", 2, `{"n":2}`)),
	)
	s.same("outcomes in the batch's order", applied, []bool{true, true, true, false, true, false})
	s.same("documents", s.load(orders, "a", "b"), []readmodels.Document{doc("a", 4, `{"n":4}`), doc("b", 1, `{"n":1}`)})
}

func checkLargeBatch(t *testing.T, s *suite) {
	const size = 130 // beyond the hundred that some servers choke on
	orders := s.ensure("orders")
	var fresh, next []readmodels.Put
	for i := range size {
		fresh = append(fresh, put(0, doc(name("d", i), 1, fmt.Sprintf(`{"n":%d}`, i))))
		ifVersion := int64(1 + i%2) // every second condition does not hold
		next = append(next, put(ifVersion, doc(name("d", i), 3, fmt.Sprintf(`{"n":%d}`, -i))))
	}
	for i, applied := range s.write(orders, fresh...) {
		if !applied {
			t.Fatalf("new document %d of %d was not written", i, size)
		}
	}
	for i, applied := range s.write(orders, next...) {
		if want := i%2 == 0; applied != want {
			t.Fatalf("replacement %d of %d: applied %v, want %v", i, size, applied, want)
		}
	}
	var ids []string
	for i := range size {
		ids = append(ids, name("d", i))
	}
	for i, document := range s.load(orders, ids...) {
		if want := int64(3 - 2*(i%2)); document.ID != ids[i] || document.Version != want {
			t.Fatalf("document %d is %s at version %d, want %s at %d", i, document.ID, document.Version, ids[i], want)
		}
	}
}

// checkConcurrentWriters has writers that load and replace the same documents; each success must
// be exactly one step, so the sum of successes is the sum of versions, and for each version
// there is one winner.
func checkConcurrentWriters(t *testing.T, s *suite) {
	const writers, documents, target = 4, 3, 8
	orders := s.ensure("orders", []string{"n"})
	var (
		mu   sync.Mutex
		wins = map[string]int{} // "id@version" → how many writers were told that they wrote it
		wg   sync.WaitGroup
	)
	for w := range writers {
		wg.Go(func() {
			for range 200 {
				batch, done := s.race(orders, w, documents, target)
				if done {
					return
				}
				applied, err := s.docs.Write(s.ctx, orders, batch)
				if err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
				mu.Lock()
				for i, ok := range applied {
					if ok {
						wins[fmt.Sprintf("%s@%d", batch[i].Document.ID, batch[i].Document.Version)]++
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	want := map[string]int{}
	for d := range documents {
		for version := range target {
			want[fmt.Sprintf("%s@%d", name("d", d), version+1)] = 1
		}
	}
	s.same("winners of each version", wins, want)
}

// race is one step of a writer: the puts that move each document that isn't at target yet.
func (s *suite) race(collection string, writer, documents int, target int64) (batch []readmodels.Put, done bool) {
	versions := map[string]int64{}
	var ids []string
	for d := range documents {
		ids = append(ids, name("d", d))
	}
	loaded, err := s.docs.Load(s.ctx, collection, ids)
	if err != nil {
		s.t.Errorf("writer %d: %v", writer, err)
		return nil, true
	}
	for _, document := range loaded {
		versions[document.ID] = document.Version
	}
	for _, id := range ids {
		if at := versions[id]; at < target {
			batch = append(batch, put(at, doc(id, at+1, fmt.Sprintf(`{"n":%d,"by":%d}`, at+1, writer))))
		}
	}
	return batch, len(batch) == 0
}

// checkForward lets random writers loose and watches that no version ever goes back.
func checkForward(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	s.insert(orders, doc("a", 1, `{}`))
	random := seeded(t)
	at := int64(1)
	for range 40 {
		ifVersion := at + int64(random.IntN(3)) - 1
		to := ifVersion + 1 + int64(random.IntN(4))
		if ifVersion < 0 {
			continue
		}
		applied := s.write(orders, put(ifVersion, doc("a", to, `{}`)))[0]
		if applied != (ifVersion == at) {
			t.Fatalf("at version %d, a write on condition %d was applied: %v", at, ifVersion, applied)
		}
		if applied {
			at = to
		}
		if loaded := s.load(orders, "a"); loaded[0].Version != at {
			t.Fatalf("the document is at version %d, want %d", loaded[0].Version, at)
		}
	}
}

func checkRows(t *testing.T, s *suite) {
	accounts, entries := s.ensure("accounts"), s.ensure("accounts_rows", []string{"account", "at"})
	row := func(n int) readmodels.Document {
		return readmodels.Document{
			ID: name("account-a@", n), Version: int64(n + 1), Sources: map[string]int64{"account-a": int64(n)},
			Body: fmt.Appendf(nil, `{"account":"a","at":%d}`, n),
		}
	}
	with := func(p readmodels.Put, rows ...readmodels.Document) readmodels.Put {
		p.RowsIn, p.Rows = entries, rows
		return p
	}
	all := readmodels.Find{Where: []readmodels.Condition{{Path: "account", Value: "a"}}, Sort: []readmodels.Sort{{Path: "at"}}, Limit: 100}

	applied := s.write(accounts, with(put(0, doc("a", 2, `{}`)), row(0), row(1)), put(0, doc("b", 1, `{}`)))
	s.same("outcomes", applied, []bool{true, true})
	s.same("rows of an applied put", s.find(entries, all), []string{row(0).ID, row(1).ID})
	s.same("a row", s.load(entries, row(1).ID), []readmodels.Document{row(1)})

	applied = s.write(accounts, with(put(2, doc("a", 4, `{}`)), row(1), row(2), row(3)))
	s.same("outcome with rows that are there", applied, []bool{true})
	s.same("no row twice", s.find(entries, all), []string{row(0).ID, row(1).ID, row(2).ID, row(3).ID})

	changed := row(2)
	changed.Body = []byte(`{"account":"a","at":2,"note":"mended"}`)
	s.write(accounts, with(put(4, doc("a", 5, `{}`)), changed))
	s.same("a row is written without condition", s.load(entries, changed.ID), []readmodels.Document{changed})

	if s.write(accounts, with(put(1, doc("a", 9, `{}`)), row(2)))[0] {
		t.Fatal("a put with rows ignored its condition")
	}
}

func checkHidden(t *testing.T, s *suite) {
	board := s.ensure("board", []string{"status"})
	hidden := readmodels.Document{ID: "h", Version: 3, Sources: map[string]int64{"order-h": 2}, Hidden: true, Body: []byte(`{"status":"shipped"}`)}
	bare := readmodels.Document{ID: "k", Version: 1, Sources: map[string]int64{"order-k": 0}, Hidden: true}
	s.insert(board, doc("a", 1, `{"status":"shipped"}`), hidden, bare, doc("z", 1, `{"status":"open"}`))

	s.same("load", s.load(board, "h", "k"), []readmodels.Document{hidden, bare})
	shipped := readmodels.Find{Where: []readmodels.Condition{{Path: "status", Value: "shipped"}}, Limit: 10}
	s.same("find", s.find(board, shipped), []string{"a"})
	shipped.Hidden = true
	s.same("find with hidden ones", s.find(board, shipped), []string{"a", "h"})
	s.same("all", s.find(board, readmodels.Find{Limit: 10}), []string{"a", "z"})
	s.same("all with hidden ones", s.find(board, readmodels.Find{Limit: 10, Hidden: true}), []string{"a", "h", "k", "z"})
	s.same("group", s.group(board, readmodels.Grouping{By: []string{"status"}}), []readmodels.Total{
		{By: []string{"open"}, Count: 1}, {By: []string{"shipped"}, Count: 1},
	})

	shown := doc("h", 4, `{"status":"shipped"}`)
	s.write(board, put(3, shown), put(1, readmodels.Document{ID: "a", Version: 2, Hidden: true}))
	shipped.Hidden = false
	s.same("after the turn", s.find(board, shipped), []string{"h"})
}

// checkRepeat repeats a write as a caller does that was told "unknown".
func checkRepeat(t *testing.T, s *suite) {
	orders, rows := s.ensure("orders"), s.ensure("orders_rows")
	row := readmodels.Document{ID: "order-a@0", Version: 1, Body: []byte(`{"n":0}`)}
	first := readmodels.Put{Document: doc("a", 1, `{"n":1}`), RowsIn: rows, Rows: []readmodels.Document{row}}
	s.write(orders, first)
	for range 3 {
		s.write(orders, first) // applied or not is for the caller to find out by loading
		s.same("document", s.load(orders, "a"), []readmodels.Document{first.Document})
		s.same("rows", s.find(rows, readmodels.Find{Limit: 10}), []string{row.ID})
	}
	s.write(orders, put(1, doc("a", 2, `{"n":2}`)))
	if s.write(orders, first)[0] {
		t.Fatal("a late repeat was applied over a newer document")
	}
	s.same("document after a late repeat", s.load(orders, "a"), []readmodels.Document{doc("a", 2, `{"n":2}`)})
}

func checkNonsense(t *testing.T, s *suite) {
	orders := s.ensure("orders")
	writes := map[string]readmodels.Put{
		"no id":                    put(0, doc("", 1, `{}`)),
		"version not above":        put(3, doc("a", 3, `{}`)),
		"negative condition":       put(-1, doc("a", 3, `{}`)),
		"body is no JSON":          put(0, doc("a", 1, `{"n":`)),
		"body is no object":        put(0, doc("a", 1, `[1]`)),
		"rows without a place":     {Document: doc("a", 1, `{}`), Rows: []readmodels.Document{doc("r", 1, `{}`)}},
		"a row that is no JSON":    {Document: doc("a", 1, `{}`), RowsIn: orders, Rows: []readmodels.Document{doc("r", 1, `{`)}},
		"rows in a place bad name": {Document: doc("a", 1, `{}`), RowsIn: "Ä", Rows: []readmodels.Document{doc("r", 1, `{}`)}},
	}
	for what, p := range writes {
		if _, err := s.docs.Write(s.ctx, orders, []readmodels.Put{put(0, doc("good", 1, `{}`)), p}); domain.KindOf(err) != domain.KindInternal || err == nil {
			t.Errorf("write with %s: want an internal error, have %v", what, err)
		}
		s.same("after a write with "+what, s.find(orders, readmodels.Find{Limit: 10}), []string{})
	}
	finds := map[string]readmodels.Find{
		"no limit":             {},
		"a limit too large":    {Limit: 1001},
		"an empty path":        {Limit: 1, Where: []readmodels.Condition{{Path: "", Value: "x"}}},
		"a quote in a path":    {Limit: 1, Sort: []readmodels.Sort{{Path: `a'"b`}}},
		"an operator in path":  {Limit: 1, Sort: []readmodels.Sort{{Path: `$where`}}},
		"a float":              {Limit: 1, Where: []readmodels.Condition{{Path: "a", Value: 1.5}}},
		"nil":                  {Limit: 1, Where: []readmodels.Condition{{Path: "a"}}},
		"In without a list":    {Limit: 1, Where: []readmodels.Condition{{Path: "a", Op: readmodels.In, Value: "x"}}},
		"an unknown operation": {Limit: 1, Where: []readmodels.Condition{{Path: "a", Op: 99, Value: "x"}}},
		"a short cursor":       {Limit: 1, Sort: []readmodels.Sort{{Path: "a"}}, After: []any{"id"}},
		"a cursor without id":  {Limit: 1, Sort: []readmodels.Sort{{Path: "a"}}, After: []any{"a", int64(7)}},
	}
	for what, find := range finds {
		if _, err := s.docs.Find(s.ctx, orders, find); domain.KindOf(err) != domain.KindInternal || err == nil {
			t.Errorf("find with %s: want an internal error, have %v", what, err)
		}
	}
	for _, bad := range []string{"", "Orders", "a-b", "a.b", "x' --", name("too_long_", 10) + string(make([]byte, 60))} {
		if err := s.docs.Ensure(s.ctx, readmodels.Collection{Name: bad}); domain.KindOf(err) != domain.KindInternal || err == nil {
			t.Errorf("collection %q: want an internal error, have %v", bad, err)
		}
	}
}
