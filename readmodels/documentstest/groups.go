package documentstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

func checkGroups(t *testing.T, s *suite) {
	sales := s.ensure("sales", []string{"status"}, []string{"customer", "status"})
	s.same("nothing", s.group(sales, readmodels.Grouping{By: []string{"status"}, Sum: []string{"n"}}), []readmodels.Total{})
	s.same("nothing at all", s.group(sales, readmodels.Grouping{Sum: []string{"n"}}), []readmodels.Total{})
	s.insert(sales,
		doc("a", 1, `{"status":"open","customer":"x","n":5,"in":{"m":1}}`),
		doc("b", 1, `{"status":"open","customer":"y","n":-7,"in":{"m":2}}`),
		doc("c", 1, fmt.Sprintf(`{"status":"shipped","customer":"x","n":%d,"in":{"m":4}}`, int64(1)<<53)),
		doc("d", 1, `{"status":"shipped","customer":"x","n":1}`),
		doc("e", 1, `{"customer":"x","n":3}`),
		doc("f", 1, `{"status":"open","customer":"x","year":2026}`),
	)
	x := []readmodels.Condition{{Path: "customer", Value: "x"}}
	tests := []struct {
		what     string
		grouping readmodels.Grouping
		want     []readmodels.Total
	}{
		{"count all", readmodels.Grouping{}, []readmodels.Total{{Count: 6}}},
		{"by status", readmodels.Grouping{By: []string{"status"}}, []readmodels.Total{
			{By: []string{""}, Count: 1}, {By: []string{"open"}, Count: 3}, {By: []string{"shipped"}, Count: 2},
		}},
		{"sums", readmodels.Grouping{Where: x, By: []string{"status"}, Sum: []string{"n", "in.m"}}, []readmodels.Total{
			{By: []string{""}, Count: 1, Sums: []int64{3, 0}},
			{By: []string{"open"}, Count: 2, Sums: []int64{5, 1}},
			{By: []string{"shipped"}, Count: 2, Sums: []int64{1<<53 + 1, 4}},
		}},
		{"by two", readmodels.Grouping{By: []string{"customer", "status"}, Sum: []string{"gone"}}, []readmodels.Total{
			{By: []string{"x", ""}, Count: 1, Sums: []int64{0}},
			{By: []string{"x", "open"}, Count: 2, Sums: []int64{0}},
			{By: []string{"x", "shipped"}, Count: 2, Sums: []int64{0}},
			{By: []string{"y", "open"}, Count: 1, Sums: []int64{0}},
		}},
		{"by an integer", readmodels.Grouping{By: []string{"year"}}, []readmodels.Total{
			{By: []string{""}, Count: 5}, {By: []string{"2026"}, Count: 1},
		}},
		{"sum of all", readmodels.Grouping{Sum: []string{"in.m"}}, []readmodels.Total{{Count: 6, Sums: []int64{7}}}},
		{"no match", readmodels.Grouping{Where: []readmodels.Condition{{Path: "customer", Value: "z"}}, Sum: []string{"n"}}, nil},
	}
	for _, test := range tests {
		s.same(test.what, s.group(sales, test.grouping), test.want)
	}

	s.insert(sales, doc("g", 1, fmt.Sprintf(`{"status":"open","n":%d}`, int64(math.MaxInt64))), doc("h", 1, `{"status":"open","n":9}`))
	if totals, err := s.docs.Group(s.ctx, sales, readmodels.Grouping{By: []string{"status"}, Sum: []string{"n"}}); err == nil || domain.KindOf(err) != domain.KindInternal {
		t.Fatalf("a sum beyond int64 gave %+v, %v instead of an error that asking again won't mend", totals, err)
	}
}

func checkGroupsNaively(t *testing.T, s *suite) {
	random := seeded(t)
	things := s.ensure("things", []string{"s"}, []string{"b", "in.n"})
	all := randomDocuments(random, 50)
	s.insert(things, all...)
	for range 40 {
		grouping := readmodels.Grouping{Where: randomFind(random).Where}
		for range random.IntN(3) {
			grouping.By = append(grouping.By, []string{"s", "in.s", "n", "_id"}[random.IntN(4)])
		}
		for range random.IntN(3) {
			grouping.Sum = append(grouping.Sum, []string{"n", "in.n", "gone"}[random.IntN(3)])
		}
		s.same(fmt.Sprintf("%+v", grouping), s.group(things, grouping), naiveGroup(all, grouping))
	}
}
