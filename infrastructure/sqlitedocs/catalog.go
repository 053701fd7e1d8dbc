package sqlitedocs

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// table is what is known of a collection; it is replaced, never changed.
type table struct {
	name    string
	columns map[string]bool // paths that are columns
	indexes map[string]bool // by name
	sql     texts
}

func newTable(collection string, columns, indexes map[string]bool) *table {
	return &table{
		name: collection, columns: columns, indexes: indexes,
		sql: statements(collection, slices.Sorted(maps.Keys(columns))),
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
func readCatalog(r *sqlite.Conn) (map[string]*table, error) {
	columns, indexes := map[string]map[string]bool{}, map[string]map[string]bool{}
	err := each(r, `SELECT substr(t.name,3), c.name FROM sqlite_schema t, pragma_table_info(t.name) c
		WHERE t.type='table' AND substr(t.name,1,2)='c_'`, nil, func(row *sqlite3.Stmt) error {
		collection := row.ColumnText(0)
		if columns[collection] == nil {
			columns[collection], indexes[collection] = map[string]bool{}, map[string]bool{}
		}
		if path, ok := columnPath(row.ColumnText(1)); ok {
			columns[collection][path] = true
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list collections: %w", err)
	}
	err = each(r, "SELECT substr(tbl_name,3), name FROM sqlite_schema WHERE type='index' AND substr(tbl_name,1,2)='c_'", nil, func(row *sqlite3.Stmt) error {
		indexes[row.ColumnText(0)][row.ColumnText(1)] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list indexes: %w", err)
	}
	catalog := map[string]*table{}
	for collection := range columns {
		catalog[collection] = newTable(collection, columns[collection], indexes[collection])
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
		return readmodels.StoreUnavailable(err)
	}
	if _, steps := s.plan(collection); len(steps) == 0 {
		return nil
	}
	var made *table
	return s.submit(ctx, &job{
		alone: ctx,
		run: func(w *sqlite.Conn) error {
			var steps []string
			made, steps = s.plan(collection) // anew: another caller may have come first
			for _, step := range steps {
				if err := w.Exec(step); err != nil {
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
	columns, indexes := map[string]bool{}, map[string]bool{}
	if known := s.table(wanted.Name); known != nil {
		columns, indexes = maps.Clone(known.columns), maps.Clone(known.indexes)
	} else {
		steps = append(steps, createTable(wanted.Name))
	}
	for _, paths := range wanted.Indexes {
		for _, path := range paths {
			if path != "_id" && !columns[path] {
				steps = append(steps, addColumn(wanted.Name, path))
				columns[path] = true
			}
		}
		if name := indexName(wanted.Name, paths); !indexes[name] {
			steps = append(steps, createIndex(wanted.Name, paths))
			indexes[name] = true
		}
	}
	return newTable(wanted.Name, columns, indexes), steps
}

// Drop implements readmodels.Documents. The collection is forgotten before it is gone, so that readers find it empty
// rather than broken.
func (s *Store) Drop(ctx context.Context, collection string) error {
	if err := readmodels.CheckCollectionName(collection); err != nil {
		return err
	}
	var known *table
	return s.submit(ctx, &job{
		alone: ctx,
		run: func(w *sqlite.Conn) error {
			if known = s.table(collection); known == nil {
				return nil
			}
			s.remember(collection, nil)
			if err := w.Exec("DROP TABLE " + tableName(collection)); err != nil {
				return fmt.Errorf("drop collection %s: %w", collection, err)
			}
			return nil
		},
		undone: func() { s.remember(collection, known) },
	})
}

// Collections implements readmodels.Documents.
func (s *Store) Collections(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	return slices.Sorted(maps.Keys(*s.catalog.Load())), nil
}
