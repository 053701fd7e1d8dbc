package documentstest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// A second, naive reading of the port: slices, no index, nothing shared with an adapter.

func randomDocuments(random *rand.Rand, count int) []readmodels.Document {
	documents := make([]readmodels.Document, count)
	for i := range documents {
		body := map[string]any{"more": i}
		for _, path := range []string{"s", "n", "b"} {
			if random.IntN(5) > 0 {
				body[path] = randomAt(random, path)
			}
		}
		if random.IntN(4) > 0 {
			inside := map[string]any{"s": randomAt(random, "s")}
			if random.IntN(4) > 0 {
				inside["n"] = randomAt(random, "n")
			}
			body["in"] = inside
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			panic(err)
		}
		documents[i] = doc(name("d", i), 1, string(encoded))
		documents[i].Hidden = random.IntN(6) == 0
	}
	return documents
}

func parse(document readmodels.Document) map[string]any {
	if len(document.Body) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(document.Body))
	decoder.UseNumber()
	var body map[string]any
	if err := decoder.Decode(&body); err != nil {
		panic(fmt.Sprintf("document %s: %v", document.ID, err))
	}
	return body
}

// valueAt is the string, int64 or bool at a path, nil if there is none.
func valueAt(id string, body map[string]any, path string) any {
	if path == "_id" {
		return id
	}
	var at any = body
	for key := range strings.SplitSeq(path, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[key]
	}
	switch value := at.(type) {
	case json.Number:
		n, err := value.Int64()
		if err != nil {
			return nil
		}
		return n
	case string, bool:
		return value
	}
	return nil
}

// compare orders nothing before booleans before integers before strings; a path has one type.
func compare(a, b any) int {
	rank := func(v any) int {
		switch v.(type) {
		case nil:
			return 0
		case bool:
			return 1
		case int64:
			return 2
		}
		return 3
	}
	if by := cmp.Compare(rank(a), rank(b)); by != 0 {
		return by
	}
	switch a := a.(type) {
	case bool:
		switch {
		case a == b.(bool):
			return 0
		case a:
			return 1
		}
		return -1
	case int64:
		return cmp.Compare(a, b.(int64))
	case string:
		return strings.Compare(a, b.(string))
	}
	return 0
}

func matches(document readmodels.Document, where []readmodels.Condition) bool {
	body := parse(document)
	for _, condition := range where {
		value := valueAt(document.ID, body, condition.Path)
		if value == nil || !holds(value, condition) {
			return false
		}
	}
	return true
}

func holds(value any, condition readmodels.Condition) bool {
	if condition.Op == readmodels.In {
		return slices.Contains(condition.Value.([]any), value)
	}
	by := compare(value, condition.Value)
	switch condition.Op {
	case readmodels.Equal:
		return by == 0
	case readmodels.NotEqual:
		return by != 0
	case readmodels.Less:
		return by < 0
	case readmodels.LessOrEqual:
		return by <= 0
	case readmodels.Greater:
		return by > 0
	default:
		return by >= 0
	}
}

func naiveFind(all []readmodels.Document, find readmodels.Find) []string {
	keys := slices.Clone(find.Sort)
	last := readmodels.Sort{Path: "_id"}
	if len(keys) > 0 {
		last.Desc = keys[len(keys)-1].Desc
	}
	keys = append(keys, last)
	order := func(a, b []any) int {
		for i, key := range keys {
			by := compare(a[i], b[i])
			if key.Desc {
				by = -by
			}
			if by != 0 {
				return by
			}
		}
		return 0
	}
	type hit struct {
		id     string
		values []any
	}
	var hits []hit
	for _, document := range all {
		values := cursorOf(document, find.Sort)
		if document.Hidden && !find.Hidden || !matches(document, find.Where) || find.After != nil && order(values, find.After) <= 0 {
			continue
		}
		hits = append(hits, hit{document.ID, values})
	}
	slices.SortFunc(hits, func(a, b hit) int { return order(a.values, b.values) })
	var ids []string
	for _, h := range hits[:min(len(hits), find.Limit)] {
		ids = append(ids, h.id)
	}
	return ids
}

func naiveGroup(all []readmodels.Document, grouping readmodels.Grouping) []readmodels.Total {
	groups := map[string]*readmodels.Total{}
	for _, document := range all {
		if document.Hidden || !matches(document, grouping.Where) {
			continue
		}
		body := parse(document)
		by := make([]string, len(grouping.By))
		for i, path := range grouping.By {
			if value := valueAt(document.ID, body, path); value != nil {
				by[i] = fmt.Sprint(value)
			}
		}
		key := strings.Join(by, "\x00")
		total := groups[key]
		if total == nil {
			total = &readmodels.Total{By: by, Sums: make([]int64, len(grouping.Sum))}
			groups[key] = total
		}
		total.Count++
		for i, path := range grouping.Sum {
			if n, ok := valueAt(document.ID, body, path).(int64); ok {
				total.Sums[i] += n
			}
		}
	}
	var totals []readmodels.Total
	for _, total := range groups {
		totals = append(totals, *total)
	}
	slices.SortFunc(totals, func(a, b readmodels.Total) int { return slices.Compare(a.By, b.By) })
	return totals
}
