package documentstest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tidemark-dev/tidemark/readmodels"
)

func checkConditions(t *testing.T, s *suite) {
	things := s.ensure("things", []string{"n"}, []string{"s", "n"}, []string{"in.side"})
	s.insert(things,
		doc("a", 1, `{"n":-5,"s":"B","b":true,"in":{"side":"x"}}`),
		doc("b", 1, `{"n":0,"s":"a","b":false,"in":{"side":"y"}}`),
		doc("c", 1, `{"n":9,"s":"ä","b":true}`),
		doc("d", 1, `{"n":10,"s":"b","in":{"side":"x"}}`),
		doc("e", 1, fmt.Sprintf(`{"n":%d,"s":""}`, int64(1)<<53+1)),
		doc("f", 1, `{"s":"漢","x":{}}`),
		doc("g", 1, `{"n":null,"s":null,"in":null}`),
		doc("h", 1, `{}`),
		readmodels.Document{ID: "i", Version: 1},
	)
	for _, test := range comparisons() {
		what := fmt.Sprintf("%s %d %v", test.path, test.op, test.value)
		where := []readmodels.Condition{{Path: test.path, Op: test.op, Value: test.value}}
		s.same(what, s.find(things, readmodels.Find{Where: where, Limit: 100}), test.want)
	}
	both := []readmodels.Condition{
		{Path: "s", Op: readmodels.GreaterOrEqual, Value: "B"}, {Path: "s", Op: readmodels.Less, Value: "c"}, {Path: "n", Op: readmodels.Less, Value: int64(10)},
	}
	s.same("conditions all hold", s.find(things, readmodels.Find{Where: both, Limit: 100}), []string{"a", "b"})
	s.same("limit", s.find(things, readmodels.Find{Limit: 3}), []string{"a", "b", "c"})
}

// comparison is one condition and what it finds.
type comparison struct {
	path  string
	op    readmodels.Op
	value any
	want  []string
}

func comparisons() []comparison {
	const large = int64(1)<<53 + 1
	return []comparison{
		{"n", readmodels.Equal, int64(9), []string{"c"}},
		{"n", readmodels.Equal, large, []string{"e"}},
		{"n", readmodels.Equal, large - 1, nil},
		{"n", readmodels.NotEqual, int64(9), []string{"a", "b", "d", "e"}},
		{"n", readmodels.Less, int64(9), []string{"a", "b"}},
		{"n", readmodels.LessOrEqual, int64(9), []string{"a", "b", "c"}},
		{"n", readmodels.Greater, int64(9), []string{"d", "e"}},
		{"n", readmodels.Greater, large - 1, []string{"e"}},
		{"n", readmodels.GreaterOrEqual, int64(9), []string{"c", "d", "e"}},
		{"n", readmodels.In, []any{int64(0), int64(10), int64(11)}, []string{"b", "d"}},
		{"n", readmodels.In, []any{}, nil},
		{"s", readmodels.Equal, "b", []string{"d"}},
		{"s", readmodels.Equal, "", []string{"e"}},
		{"s", readmodels.NotEqual, "b", []string{"a", "b", "c", "e", "f"}},
		{"s", readmodels.Less, "b", []string{"a", "b", "e"}},
		{"s", readmodels.Greater, "b", []string{"c", "f"}},
		{"s", readmodels.GreaterOrEqual, "", []string{"a", "b", "c", "d", "e", "f"}},
		{"s", readmodels.In, []any{"B", "漢", "zz"}, []string{"a", "f"}},
		{"b", readmodels.Equal, true, []string{"a", "c"}},
		{"b", readmodels.Equal, false, []string{"b"}},
		{"b", readmodels.NotEqual, true, []string{"b"}},
		{"in.side", readmodels.Equal, "x", []string{"a", "d"}},
		{"in.side", readmodels.NotEqual, "x", []string{"b"}},
		{"no.where", readmodels.Equal, "x", nil},
		{"no.where", readmodels.NotEqual, "x", nil},
		{"n.deeper", readmodels.NotEqual, "x", nil},
		{"_id", readmodels.Equal, "c", []string{"c"}},
		{"_id", readmodels.Greater, "f", []string{"g", "h", "i"}},
		{"_id", readmodels.In, []any{"a", "h", "zz"}, []string{"a", "h"}},
		{"_id", readmodels.NotEqual, "a", []string{"b", "c", "d", "e", "f", "g", "h", "i"}},
	}
}

func checkOrder(t *testing.T, s *suite) {
	things := s.ensure("things", []string{"at"}, []string{"s", "at"})
	s.insert(things,
		doc("a", 1, `{"at":10,"s":"x"}`), doc("b", 1, `{"at":9,"s":"x"}`), doc("c", 1, `{"at":10,"s":"y"}`),
		doc("d", 1, `{"s":"X"}`), doc("e", 1, `{"at":-1,"s":"ä"}`), doc("f", 1, `{"at":10,"s":"x"}`),
	)
	asc := func(path string) readmodels.Sort { return readmodels.Sort{Path: path} }
	desc := func(path string) readmodels.Sort { return readmodels.Sort{Path: path, Desc: true} }
	tests := []struct {
		sort []readmodels.Sort
		want []string
	}{
		{nil, []string{"a", "b", "c", "d", "e", "f"}},
		{[]readmodels.Sort{asc("_id")}, []string{"a", "b", "c", "d", "e", "f"}},
		{[]readmodels.Sort{desc("_id")}, []string{"f", "e", "d", "c", "b", "a"}},
		{[]readmodels.Sort{asc("at")}, []string{"d", "e", "b", "a", "c", "f"}},  // what lacks the path comes first
		{[]readmodels.Sort{desc("at")}, []string{"f", "c", "a", "b", "e", "d"}}, // or last; ties the same way
		{[]readmodels.Sort{asc("s"), asc("at")}, []string{"d", "b", "a", "f", "c", "e"}},
		{[]readmodels.Sort{desc("s"), desc("at")}, []string{"e", "c", "f", "a", "b", "d"}},
		{[]readmodels.Sort{asc("s"), desc("at")}, []string{"d", "f", "a", "b", "c", "e"}},
		{[]readmodels.Sort{desc("at"), asc("s")}, []string{"a", "f", "c", "b", "e", "d"}},
	}
	for _, test := range tests {
		what := fmt.Sprintf("order %v", test.sort)
		s.same(what, s.find(things, readmodels.Find{Sort: test.sort, Limit: 100}), test.want)
		s.same(what+", the first two", s.find(things, readmodels.Find{Sort: test.sort, Limit: 2}), test.want[:2])
		s.same(what+", in pages", s.pages(things, readmodels.Find{Sort: test.sort, Limit: 1}), test.want)
		s.same(what+", in pages of four", s.pages(things, readmodels.Find{Sort: test.sort, Limit: 4}), test.want)
	}
}

// pages follows cursors to the end and gives all ids in the order seen.
func (s *suite) pages(collection string, find readmodels.Find) []string {
	s.t.Helper()
	var ids []string
	for {
		documents, err := s.docs.Find(s.ctx, collection, find)
		if err != nil {
			s.t.Fatalf("page after %v: %v", find.After, err)
		}
		if len(documents) == 0 {
			return ids
		}
		if len(documents) > find.Limit || len(ids) > 10_000 {
			s.t.Fatalf("page after %v has %d documents, limit %d", find.After, len(documents), find.Limit)
		}
		ids = append(ids, idsOf(documents)...)
		find.After = cursorOf(documents[len(documents)-1], find.Sort)
	}
}

// cursorOf is where a page ended: the values at the sort paths, nil for a missing one, and the id.
func cursorOf(document readmodels.Document, sort []readmodels.Sort) []any {
	body := parse(document)
	var after []any
	for _, key := range sort {
		after = append(after, valueAt(document.ID, body, key.Path))
	}
	return append(after, document.ID)
}

func checkPages(t *testing.T, s *suite) {
	things := s.ensure("things", []string{"customer", "at"}, []string{"at"})
	random := seeded(t)
	var all []readmodels.Document
	for i := range 60 {
		all = append(all, doc(name("d", random.IntN(1_000_000)*1000+i), 1, fmt.Sprintf(`{"customer":"c%d","at":%d}`, random.IntN(3), random.IntN(10))))
	}
	s.insert(things, all...)
	for _, sort := range [][]readmodels.Sort{nil, {{Path: "at"}}, {{Path: "at", Desc: true}}, {{Path: "customer", Desc: true}, {Path: "at"}}} {
		for _, limit := range []int{7, 60, 1000} {
			find := readmodels.Find{Where: []readmodels.Condition{{Path: "customer", Op: readmodels.NotEqual, Value: "c2"}}, Sort: sort, Limit: limit}
			whole := find
			whole.Limit = 1000
			s.same(fmt.Sprintf("pages of %d by %v", limit, sort), s.pages(things, find), naiveFind(all, whole))
		}
	}
}

// checkPagesUnderInserts follows cursors while documents come in before and behind the cursor:
// what was there from the beginning is seen exactly once, and nothing twice.
func checkPagesUnderInserts(t *testing.T, s *suite) {
	things := s.ensure("things", []string{"at"})
	random := seeded(t)
	n := 0
	more := func(count int) {
		var documents []readmodels.Document
		for range count {
			documents = append(documents, doc(fmt.Sprintf("%04d-%d", random.IntN(10_000), n), 1, fmt.Sprintf(`{"at":%d}`, random.IntN(5))))
			n++
		}
		s.insert(things, documents...)
	}
	for _, desc := range []bool{false, true} {
		more(40)
		find := readmodels.Find{Sort: []readmodels.Sort{{Path: "at", Desc: desc}}, Limit: 1000}
		before := s.find(things, find)
		find.Limit = 5
		var seen []string
		for {
			page, err := s.docs.Find(s.ctx, things, find)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			seen = append(seen, idsOf(page)...)
			find.After = cursorOf(page[len(page)-1], find.Sort)
			if len(seen) < 100 {
				more(3)
			}
		}
		sorted := slices.Sorted(slices.Values(seen))
		if unique := slices.Compact(slices.Clone(sorted)); len(unique) != len(sorted) {
			t.Fatalf("%d documents were seen twice", len(sorted)-len(unique))
		}
		kept := slices.DeleteFunc(slices.Clone(seen), func(id string) bool { return !slices.Contains(before, id) })
		s.same("what was there, in its order", kept, before)
	}
}

// checkFindsNaively compares random finds over random documents with a search that knows no index.
func checkFindsNaively(t *testing.T, s *suite) {
	random := seeded(t)
	things := s.ensure("things", []string{"s"}, []string{"s", "n"}, []string{"b", "in.n"}, []string{"in.n", "s", "n"})
	all := randomDocuments(random, 50)
	s.insert(things, all...)
	for range 80 {
		find := randomFind(random)
		want := naiveFind(all, find)
		s.same(fmt.Sprintf("%+v", find), s.find(things, find), want)
		if len(want) > 0 {
			id := want[random.IntN(len(want))]
			at := slices.IndexFunc(all, func(d readmodels.Document) bool { return d.ID == id })
			find.After = cursorOf(all[at], find.Sort)
			s.same(fmt.Sprintf("%+v", find), s.find(things, find), naiveFind(all, find))
		}
	}
}

var randomPaths = []string{"s", "n", "b", "in.n", "in.s", "_id", "gone"}

func randomFind(random *rand.Rand) readmodels.Find {
	find := readmodels.Find{Limit: 1 + random.IntN(100), Hidden: random.IntN(4) == 0}
	for range random.IntN(4) {
		path := randomPaths[random.IntN(len(randomPaths))]
		condition := readmodels.Condition{Path: path, Op: readmodels.Op(random.IntN(7))}
		switch {
		case condition.Op == readmodels.In:
			list := []any{}
			for range random.IntN(4) {
				list = append(list, randomAt(random, path))
			}
			condition.Value = list
		default:
			condition.Value = randomAt(random, path)
		}
		find.Where = append(find.Where, condition)
	}
	for range random.IntN(3) {
		find.Sort = append(find.Sort, readmodels.Sort{Path: randomPaths[random.IntN(len(randomPaths))], Desc: random.IntN(2) == 0})
	}
	return find
}

// randomAt is a value as it may stand at a path; each path has values of one type only.
func randomAt(random *rand.Rand, path string) any {
	switch path {
	case "n", "in.n":
		return int64(random.IntN(9) - 4)
	case "b":
		return random.IntN(2) == 0
	case "_id":
		return name("d", random.IntN(50))
	default:
		return []string{"", "a", "B", "b", "ä", "漢", "aa"}[random.IntN(7)]
	}
}
