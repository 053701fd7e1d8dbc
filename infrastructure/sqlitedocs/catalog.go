package sqlitedocs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// table is what is known of a collection; it is replaced, never changed.
type table struct {
	name    string
	columns map[string]bool // paths that are columns
	indexes map[string]bool // by name
	sql     texts
}

// texts are the statements that don't depend on a question, written once.
type texts struct {
	load, insert, replace, row, remove string
}

func newTable(collection string) *table {
	return &table{
		name: collection, columns: map[string]bool{}, indexes: map[string]bool{},
		sql: texts{
			load: loadSQL(collection), insert: insertSQL(collection), replace: replaceSQL(collection),
			row: rowSQL(collection), remove: deleteSQL(collection),
		},
	}
}

// table is the collection with this name, nil if there is none. The file is changed by this store
// only, so what is in memory is what is there.
func (s *Store) table(collection string) *table { return (*s.catalog.Load())[collection] }

// remember makes a change of the catalog seen, after its transaction.
func (s *Store) remember(collection string, t *table) {
	changed := maps.Clone(*s.catalog.Load())
	if t == nil {
		delete(changed, collection)
	} else {
		changed[collection] = t
	}
	s.catalog.Store(&changed)
}

// readCatalog learns at the start what collections there are.
func readCatalog(r *session) (map[string]*table, error) {
	catalog := map[string]*table{}
	err := r.each("SELECT substr(name,3) FROM sqlite_schema WHERE type='table' AND substr(name,1,2)='c_'", nil, func(row *sqlite3.Stmt) error {
		collection := row.ColumnText(0)
		catalog[collection] = newTable(collection)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	for collection, t := range catalog {
		table := strings.Trim(tableName(collection), `"`)
		err := r.each("SELECT name FROM pragma_table_xinfo(?) WHERE hidden=2", []any{table}, func(row *sqlite3.Stmt) error {
			t.columns[columnPath(row.ColumnText(0))] = true
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list columns of collection %s: %w", collection, err)
		}
		err = r.each("SELECT name FROM sqlite_schema WHERE type='index' AND tbl_name=?", []any{table}, func(row *sqlite3.Stmt) error {
			t.indexes[row.ColumnText(0)] = true
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list indexes of collection %s: %w", collection, err)
		}
	}
	return catalog, nil
}

// Ensure implements readmodels.Documents. An index over a large collection takes its time, during which
// other writes wait.
func (s *Store) Ensure(ctx context.Context, collection readmodels.Collection) error {
	if err := collection.Check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	if _, steps := s.plan(collection); len(steps) == 0 {
		return nil
	}
	var made *table
	return s.submit(ctx, &job{
		alone: ctx,
		run: func(w *session) error {
			var steps []string
			made, steps = s.plan(collection) // anew: another caller may have come first
			for _, step := range steps {
				if err := w.conn.Exec(step); err != nil {
					return fmt.Errorf("ensure collection %s: %w", collection.Name, err)
				}
			}
			return nil
		},
		written: func() { s.remember(collection.Name, made) },
	})
}

// plan says what has to be done for a collection to be as wanted, and how it is then.
func (s *Store) plan(wanted readmodels.Collection) (*table, []string) {
	var steps []string
	made := newTable(wanted.Name)
	if known := s.table(wanted.Name); known != nil {
		made.columns, made.indexes = maps.Clone(known.columns), maps.Clone(known.indexes)
	} else {
		steps = append(steps, createTable(wanted.Name))
	}
	for _, paths := range wanted.Indexes {
		for _, path := range paths {
			if path != "_id" && !made.columns[path] {
				steps = append(steps, addColumn(wanted.Name, path))
				made.columns[path] = true
			}
		}
		if name := indexName(wanted.Name, paths); !made.indexes[name] {
			steps = append(steps, createIndex(wanted.Name, paths))
			made.indexes[name] = true
		}
	}
	return made, steps
}

// Drop implements readmodels.Documents.
func (s *Store) Drop(ctx context.Context, collection string) error {
	if err := readmodels.CheckCollectionName(collection); err != nil {
		return err
	}
	return s.submit(ctx, &job{
		alone: ctx,
		run: func(w *session) error {
			if s.table(collection) == nil {
				return nil
			}
			if err := w.conn.Exec("DROP TABLE IF EXISTS " + tableName(collection)); err != nil {
				return fmt.Errorf("drop collection %s: %w", collection, err)
			}
			return nil
		},
		written: func() { s.remember(collection, nil) },
	})
}

// Collections implements readmodels.Documents.
func (s *Store) Collections(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, unavailable(err)
	}
	return slices.Sorted(maps.Keys(*s.catalog.Load())), nil
}
