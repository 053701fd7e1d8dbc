package readmodels

import (
	"encoding/json"
	"fmt"
	"regexp"
	"unicode/utf8"
)

// Limits of the Documents port, checked by every document store before it does anything.
const (
	MaxFound     = 1000 // documents one Find may ask for
	maxIDLength  = 1024 // bytes
	maxListed    = 1000 // values of an In
	maxPathBytes = 200
)

var (
	collectionName = regexp.MustCompile(`^[a-z0-9_]{1,60}$`)
	bodyPath       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*)*$`)
)

// CheckCollectionName says what is wrong with the name of a collection. Like everything that the checks of this
// file find it is a defect of the caller, never of the input of a user.
func CheckCollectionName(name string) error {
	if !collectionName.MatchString(name) {
		return fmt.Errorf("collection %q: the name must match %s", name, collectionName)
	}
	return nil
}

// Check says what is wrong with a collection.
func (c Collection) Check() error {
	if err := CheckCollectionName(c.Name); err != nil {
		return err
	}
	for _, paths := range c.Indexes {
		for _, path := range paths {
			if err := checkPath(path); err != nil {
				return fmt.Errorf("index of collection %s: %w", c.Name, err)
			}
		}
	}
	return nil
}

// Check says what is wrong with a put.
func (p Put) Check() error {
	if err := p.Document.check(); err != nil {
		return err
	}
	if p.IfVersion < 0 || p.Document.Version <= p.IfVersion {
		return fmt.Errorf("document %q: version %d does not follow %d", p.Document.ID, p.Document.Version, p.IfVersion)
	}
	if len(p.Rows) == 0 {
		return nil
	}
	if err := CheckCollectionName(p.RowsIn); err != nil {
		return fmt.Errorf("rows of document %q: %w", p.Document.ID, err)
	}
	for _, row := range p.Rows {
		if err := row.check(); err != nil {
			return fmt.Errorf("rows of document %q: %w", p.Document.ID, err)
		}
	}
	return nil
}

func (d Document) check() error {
	if d.ID == "" || len(d.ID) > maxIDLength || !utf8.ValidString(d.ID) {
		return fmt.Errorf("document %q: the id must be valid text of 1 to %d bytes", d.ID, maxIDLength)
	}
	if len(d.Body) == 0 {
		return nil
	}
	if !json.Valid(d.Body) || !utf8.Valid(d.Body) || !startsObject(d.Body) {
		return fmt.Errorf("document %q: the body is no JSON object", d.ID)
	}
	return nil
}

func startsObject(body []byte) bool {
	for _, b := range body {
		switch b {
		case ' ', '\t', '\r', '\n':
		default:
			return b == '{'
		}
	}
	return false
}

// Check says what is wrong with a search.
func (f Find) Check() error {
	if f.Limit < 1 || f.Limit > MaxFound {
		return fmt.Errorf("find: limit %d is not between 1 and %d", f.Limit, MaxFound)
	}
	for _, key := range f.Sort {
		if err := checkPath(key.Path); err != nil {
			return fmt.Errorf("find: sort: %w", err)
		}
	}
	if f.After != nil {
		if len(f.After) != len(f.Sort)+1 {
			return fmt.Errorf("find: a cursor of %d values does not fit %d sort keys and the id", len(f.After), len(f.Sort))
		}
		for i, value := range f.After {
			if _, text := value.(string); i == len(f.Sort) && !text {
				return fmt.Errorf("find: a cursor ends with an id, not %T", value)
			}
			if value != nil && !isComparable(value) {
				return fmt.Errorf("find: a cursor can't have a %T", value)
			}
		}
	}
	return checkWhere(f.Where)
}

// Check says what is wrong with a grouping.
func (g Grouping) Check() error {
	for _, paths := range [][]string{g.By, g.Sum} {
		for _, path := range paths {
			if err := checkPath(path); err != nil {
				return fmt.Errorf("group: %w", err)
			}
		}
	}
	return checkWhere(g.Where)
}

func checkWhere(where []Condition) error {
	for _, condition := range where {
		if err := checkPath(condition.Path); err != nil {
			return fmt.Errorf("condition: %w", err)
		}
		values := []any{condition.Value}
		switch {
		case condition.Op < Equal || condition.Op > In:
			return fmt.Errorf("condition on %s: there is no comparison %d", condition.Path, condition.Op)
		case condition.Op == In:
			list, ok := condition.Value.([]any)
			if !ok || len(list) > maxListed {
				return fmt.Errorf("condition on %s: In needs a list of up to %d values, not %T", condition.Path, maxListed, condition.Value)
			}
			values = list
		}
		for _, value := range values {
			if !isComparable(value) {
				return fmt.Errorf("condition on %s: can't compare with a %T", condition.Path, value)
			}
		}
	}
	return nil
}

func isComparable(value any) bool {
	switch value.(type) {
	case string, int64, bool:
		return true
	}
	return false
}

func checkPath(path string) error {
	if len(path) > maxPathBytes || !bodyPath.MatchString(path) {
		return fmt.Errorf("path %q must match %s", path, bodyPath)
	}
	return nil
}
