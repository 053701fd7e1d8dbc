package readmodels

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/tidemark-dev/tidemark/domain"
)

// memory keeps documents for one question about the past, so that the screens' own queries answer it.
// It keeps the contract of Documents, is bounded by what the question may fold, and is thrown away.
type memory struct {
	mu          sync.RWMutex
	collections map[string]map[string]memoryDocument
}

type memoryDocument struct {
	Document
	values map[string]any // the body, decoded
}

func newMemory() *memory { return &memory{collections: map[string]map[string]memoryDocument{}} }

func (s *memory) Ping(ctx context.Context) error { return ended(ctx) }

// ended is the failure of a call whose context is over.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The read store did not answer in time.", Err: err}
	}
	return nil
}

func (s *memory) Ensure(ctx context.Context, c Collection) error {
	if err := ended(ctx); err != nil {
		return err
	}
	if !validCollection(c.Name) {
		return fmt.Errorf("%q can't name a collection", c.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.collections[c.Name] == nil {
		s.collections[c.Name] = map[string]memoryDocument{}
	}
	return nil
}

func validCollection(name string) bool {
	return len(name) >= 1 && len(name) <= 60 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
	})
}

func (s *memory) Drop(ctx context.Context, collection string) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.collections, collection)
	return nil
}

func (s *memory) Collections(ctx context.Context) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.collections)), ended(ctx)
}

func (s *memory) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []Document
	seen := map[string]bool{}
	for _, id := range ids {
		if d, ok := s.collections[collection][id]; ok && !seen[id] {
			seen[id] = true
			all = append(all, d.Document)
		}
	}
	return all, nil
}

func (s *memory) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	if err := ended(ctx); err != nil {
		return nil, err
	}
	decoded := make([][]memoryDocument, len(puts))
	for i, p := range puts {
		var err error
		if decoded[i], err = checkPut(p); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range puts {
		if s.collections[collection] == nil || len(p.Rows) > 0 && s.collections[p.RowsIn] == nil {
			return nil, &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "The collection does not exist."}
		}
	}
	done := make([]bool, len(puts))
	for i, p := range puts {
		if s.collections[collection][p.Document.ID].Version != p.IfVersion {
			continue
		}
		done[i] = true
		s.collections[collection][p.Document.ID] = decoded[i][0]
		for _, row := range decoded[i][1:] {
			s.collections[p.RowsIn][row.ID] = row
		}
	}
	return done, nil
}

// checkPut refuses what no store takes, and decodes the document and its rows.
func checkPut(p Put) ([]memoryDocument, error) {
	if p.Document.ID == "" || p.IfVersion < 0 || p.Document.Version <= p.IfVersion {
		return nil, fmt.Errorf("document %q can't go from version %d to %d", p.Document.ID, p.IfVersion, p.Document.Version)
	}
	if len(p.Rows) > 0 && !validCollection(p.RowsIn) {
		return nil, fmt.Errorf("document %q has rows, but no place for them", p.Document.ID)
	}
	all := make([]memoryDocument, 0, 1+len(p.Rows))
	for _, d := range append([]Document{p.Document}, p.Rows...) {
		m := memoryDocument{Document: d}
		if len(d.Body) > 0 {
			decoder := json.NewDecoder(strings.NewReader(string(d.Body)))
			decoder.UseNumber()
			if err := decoder.Decode(&m.values); err != nil || m.values == nil {
				return nil, fmt.Errorf("document %q has no JSON object for a body", d.ID)
			}
		}
		all = append(all, m)
	}
	return all, nil
}

func (s *memory) Delete(ctx context.Context, collection string, ids []string) error {
	if err := ended(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range ids {
		delete(s.collections[collection], id)
	}
	return nil
}

// value is the string, int64 or bool at a path; nil if there is none.
func (d memoryDocument) value(path string) any {
	if path == "_id" {
		return d.ID
	}
	switch v := at(d.values, path).(type) {
	case json.Number:
		n, err := v.Int64()
		if err != nil {
			return nil
		}
		return n
	case string, bool:
		return v
	}
	return nil
}

// compareValues orders nothing before booleans before integers before strings.
func compareValues(a, b any) int {
	if by := cmp.Compare(rankOf(a), rankOf(b)); by != 0 {
		return by
	}
	switch a := a.(type) {
	case bool:
		if a == b.(bool) {
			return 0
		} else if a {
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

func rankOf(v any) int {
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

func (c Condition) check() error {
	if c.Path == "" || strings.ContainsAny(c.Path, `'"$\`) || c.Op < Equal || c.Op > In {
		return fmt.Errorf("condition on %q can't be asked", c.Path)
	}
	values := []any{c.Value}
	if c.Op == In {
		list, ok := c.Value.([]any)
		if !ok {
			return fmt.Errorf("condition on %q needs a list", c.Path)
		}
		values = list
	}
	for _, v := range values {
		switch v.(type) {
		case string, int64, bool:
		default:
			return fmt.Errorf("condition on %q compares with a %T", c.Path, v)
		}
	}
	return nil
}

func (d memoryDocument) matches(where []Condition) bool {
	for _, c := range where {
		value := d.value(c.Path)
		if value == nil || !c.holds(value) {
			return false
		}
	}
	return true
}

func (c Condition) holds(value any) bool {
	if c.Op == In {
		return slices.Contains(c.Value.([]any), value)
	}
	by := compareValues(value, c.Value)
	switch c.Op {
	case Equal:
		return by == 0
	case NotEqual:
		return by != 0
	case Less:
		return by < 0
	case LessOrEqual:
		return by <= 0
	case Greater:
		return by > 0
	}
	return by >= 0
}
