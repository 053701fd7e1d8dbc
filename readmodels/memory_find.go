package readmodels

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

func (s *memory) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	if err := find.check(); err != nil {
		return nil, err
	}
	type hit struct {
		document Document
		values   []any
	}
	var hits []hit
	s.mu.RLock()
	for _, d := range s.collections[collection] {
		if d.Hidden && !find.Hidden || !d.matches(find.Where) {
			continue
		}
		values := d.sortValues(find.Sort)
		if find.After != nil && find.compare(values, find.After) <= 0 {
			continue
		}
		hits = append(hits, hit{d.Document, values})
	}
	s.mu.RUnlock()
	slices.SortFunc(hits, func(a, b hit) int { return find.compare(a.values, b.values) })
	all := make([]Document, 0, min(len(hits), find.Limit))
	for _, h := range hits[:min(len(hits), find.Limit)] {
		all = append(all, h.document)
	}
	return all, nil
}

func (f Find) check() error {
	if f.Limit < 1 || f.Limit > 1000 {
		return fmt.Errorf("a find of %d documents", f.Limit)
	}
	for _, c := range f.Where {
		if err := c.check(); err != nil {
			return err
		}
	}
	for _, s := range f.Sort {
		if s.Path == "" || strings.ContainsAny(s.Path, `'"$\`) {
			return fmt.Errorf("documents can't be sorted by %q", s.Path)
		}
	}
	if f.After == nil {
		return nil
	}
	if len(f.After) != len(f.Sort)+1 {
		return fmt.Errorf("a cursor of %d values for %d sort keys", len(f.After), len(f.Sort))
	}
	if _, ok := f.After[len(f.After)-1].(string); !ok {
		return fmt.Errorf("a cursor without an id")
	}
	return nil
}

func (d memoryDocument) sortValues(sort []Sort) []any {
	values := make([]any, 0, len(sort)+1)
	for _, s := range sort {
		values = append(values, d.value(s.Path))
	}
	return append(values, d.ID)
}

// compare orders by the sort keys, then by id in the direction of the last of them.
func (f Find) compare(a, b []any) int {
	desc := false
	for i := range a {
		if i < len(f.Sort) {
			desc = f.Sort[i].Desc
		}
		by := compareValues(a[i], b[i])
		if desc {
			by = -by
		}
		if by != 0 {
			return by
		}
	}
	return 0
}

func (s *memory) Group(ctx context.Context, collection string, grouping Grouping) ([]Total, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	for _, c := range grouping.Where {
		if err := c.check(); err != nil {
			return nil, err
		}
	}
	groups := map[string]*Total{}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, d := range s.collections[collection] {
		if d.Hidden || !d.matches(grouping.Where) {
			continue
		}
		by := make([]string, len(grouping.By))
		for i, path := range grouping.By {
			if value := d.value(path); value != nil {
				by[i] = fmt.Sprint(value)
			}
		}
		key := strings.Join(by, "\x00")
		total := groups[key]
		if total == nil {
			total = &Total{By: by, Sums: make([]int64, len(grouping.Sum))}
			groups[key] = total
		}
		total.Count++
		for i, path := range grouping.Sum {
			n, _ := d.value(path).(int64)
			sum := total.Sums[i] + n
			if n != 0 && (sum > total.Sums[i]) != (n > 0) {
				return nil, fmt.Errorf("the sum at %q is beyond 64 bits", path)
			}
			total.Sums[i] = sum
		}
	}
	totals := make([]Total, 0, len(groups))
	for _, total := range groups {
		totals = append(totals, *total)
	}
	slices.SortFunc(totals, func(a, b Total) int { return slices.Compare(a.By, b.By) })
	return totals, nil
}
