package mongodocs

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// fieldOf is the field for a path. Paths are plain words, which are stored as they are.
func fieldOf(path string) string {
	if path == fieldID {
		return fieldID
	}
	return fieldBody + "." + path
}

// all is a filter that wants every term.
func all(terms []bson.D) bson.D {
	switch len(terms) {
	case 0:
		return bson.D{}
	case 1:
		return terms[0]
	}
	return bson.D{{Key: "$and", Value: terms}}
}

func term(field, operator string, value any) bson.D {
	return bson.D{{Key: field, Value: bson.D{{Key: operator, Value: value}}}}
}

// conditions gives the terms that must hold. The server compares within a type only, as wanted. With hidden
// documents it is still told about the field, which is the first of every index.
func conditions(where []readmodels.Condition, hidden bool) []bson.D {
	terms := []bson.D{{{Key: fieldHidden, Value: false}}}
	if hidden {
		terms = []bson.D{term(fieldHidden, "$in", bson.A{false, true})}
	}
	for _, c := range where {
		field := fieldOf(c.Path)
		switch c.Op {
		case readmodels.Equal:
			terms = append(terms, term(field, "$eq", c.Value))
		case readmodels.NotEqual:
			terms = append(terms, term(field, "$nin", bson.A{c.Value, nil})) // null is also what isn't there
		case readmodels.Less:
			terms = append(terms, term(field, "$lt", c.Value))
		case readmodels.LessOrEqual:
			terms = append(terms, term(field, "$lte", c.Value))
		case readmodels.Greater:
			terms = append(terms, term(field, "$gt", c.Value))
		case readmodels.GreaterOrEqual:
			terms = append(terms, term(field, "$gte", c.Value))
		case readmodels.In:
			list, _ := c.Value.([]any)
			terms = append(terms, term(field, "$in", bson.A(list)))
		}
	}
	return terms
}

// sortKeys is the whole order: each path once, up to the id, which nothing can follow.
func sortKeys(sort []readmodels.Sort) []readmodels.Sort {
	var keys []readmodels.Sort
	for _, key := range sort {
		if !slices.ContainsFunc(keys, func(k readmodels.Sort) bool { return k.Path == key.Path }) {
			keys = append(keys, key)
		}
		if key.Path == fieldID {
			return keys
		}
	}
	id := readmodels.Sort{Path: fieldID}
	if len(sort) > 0 {
		id.Desc = sort[len(sort)-1].Desc
	}
	return append(keys, id)
}

// cursorOf gives the cursor's values for sortKeys.
func cursorOf(find readmodels.Find) []any {
	var values []any
	var seen []string
	for i, key := range find.Sort {
		if !slices.Contains(seen, key.Path) {
			values = append(values, find.After[i])
			seen = append(seen, key.Path)
		}
		if key.Path == fieldID {
			return values
		}
	}
	return append(values, find.After[len(find.Sort)])
}

func direction(key readmodels.Sort) int32 {
	if key.Desc {
		return -1
	}
	return 1
}

// after is the condition of coming behind a cursor: behind in the first key, or level in it and
// behind in the second, and so on. The bound on the first key alone says the same once more, for the index.
// What isn't there sorts as null, before everything.
func after(keys []readmodels.Sort, cursor []any) []bson.D {
	var alternatives bson.A
	for i, key := range keys {
		var level []bson.D
		for j := range i {
			level = append(level, bson.D{{Key: fieldOf(keys[j].Path), Value: cursor[j]}})
		}
		for _, behind := range beyond(key, cursor[i]) {
			alternatives = append(alternatives, all(append(slices.Clone(level), behind)))
		}
	}
	terms := []bson.D{{{Key: "$or", Value: alternatives}}}
	if first := fieldOf(keys[0].Path); cursor[0] != nil {
		if keys[0].Desc {
			terms = append(terms, bson.D{{Key: first, Value: bson.D{{Key: "$not", Value: bson.D{{Key: "$gt", Value: cursor[0]}}}}}})
		} else {
			terms = append(terms, term(first, "$gte", cursor[0]))
		}
	}
	return terms
}

// beyond gives the alternatives of coming behind a value in one key; none if nothing does.
func beyond(key readmodels.Sort, value any) []bson.D {
	field := fieldOf(key.Path)
	switch {
	case value == nil && key.Desc:
		return nil
	case value == nil:
		return []bson.D{term(field, "$ne", nil)}
	case !key.Desc:
		return []bson.D{term(field, "$gt", value)}
	case field == fieldID:
		return []bson.D{term(field, "$lt", value)}
	}
	return []bson.D{term(field, "$lt", value), {{Key: field, Value: nil}}}
}
