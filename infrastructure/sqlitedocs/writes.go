package sqlitedocs

import (
	"context"
	"fmt"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// putSource is a put with what can be prepared before the writer is at it.
type putSource struct {
	readmodels.Put
	sources    []byte
	rowSources [][]byte
}

// Write implements readmodels.Documents. All puts of a call and their rows are one transaction, shared with other calls
// that wait at the same time.
func (s *Store) Write(ctx context.Context, collection string, puts []readmodels.Put) ([]bool, error) {
	prepared, err := preparePuts(puts)
	if err != nil {
		return nil, err
	}
	if len(puts) == 0 {
		return []bool{}, nil
	}
	applied := make([]bool, len(puts))
	j := &job{weight: len(puts)}
	j.run = func(w *sqlite.Conn) error {
		if s.table(collection) == nil {
			return readmodels.CollectionMissing(collection)
		}
		for i := range prepared {
			ok, err := s.put(w, collection, &prepared[i])
			if err != nil {
				return err
			}
			applied[i] = ok
		}
		return nil
	}
	j.written = func() { s.tell(collection, puts, applied) }
	if err := s.submit(ctx, j); err != nil {
		return nil, err // the writer may still be at work on applied
	}
	return applied, nil
}

func preparePuts(puts []readmodels.Put) ([]putSource, error) {
	prepared := make([]putSource, len(puts))
	for i, put := range puts {
		if err := put.Check(); err != nil {
			return nil, err
		}
		prepared[i] = putSource{Put: put, rowSources: make([][]byte, len(put.Rows))}
		var err error
		if prepared[i].sources, err = sourcesText(put.Document.Sources); err != nil {
			return nil, err
		}
		for r, row := range put.Rows {
			if prepared[i].rowSources[r], err = sourcesText(row.Sources); err != nil {
				return nil, err
			}
		}
	}
	return prepared, nil
}

// put writes one document and its rows, in the transaction of the writer.
func (s *Store) put(w *sqlite.Conn, collection string, p *putSource) (bool, error) {
	if len(p.Rows) > 0 {
		rows := s.table(p.RowsIn)
		if rows == nil {
			return false, readmodels.CollectionMissing(p.RowsIn)
		}
		for i, row := range p.Rows {
			if _, err := exec(w, rows.sql.row, row.ID, row.Version, row.Hidden, p.rowSources[i], row.Body); err != nil {
				return false, fmt.Errorf("write row %q: %w", row.ID, err)
			}
		}
	}
	table, d := s.table(collection), p.Document
	if table == nil {
		return false, readmodels.CollectionMissing(collection)
	}
	var changed int64
	var err error
	if p.IfVersion == 0 {
		changed, err = exec(w, table.sql.insert, d.ID, d.Version, d.Hidden, p.sources, d.Body)
	} else {
		changed, err = exec(w, table.sql.replace, d.ID, d.Version, d.Hidden, p.sources, d.Body, p.IfVersion)
	}
	if err != nil {
		return false, fmt.Errorf("write document %q: %w", d.ID, err)
	}
	return changed == 1, nil
}

// tell names what was written to whoever watches.
func (s *Store) tell(collection string, puts []readmodels.Put, applied []bool) {
	ids := make([]string, 0, len(puts))
	rows := map[string][]string{}
	for i, put := range puts {
		if applied[i] {
			ids = append(ids, put.Document.ID)
		}
		for _, row := range put.Rows {
			rows[put.RowsIn] = append(rows[put.RowsIn], row.ID)
		}
	}
	s.hub.tell(collection, ids)
	for collection, ids := range rows {
		s.hub.tell(collection, ids)
	}
}

// Delete implements readmodels.Documents.
func (s *Store) Delete(ctx context.Context, collection string, ids []string) error {
	if err := readmodels.CheckCollectionName(collection); err != nil {
		return err
	}
	return s.submit(ctx, &job{weight: len(ids), run: func(w *sqlite.Conn) error {
		table := s.table(collection)
		if table == nil {
			return nil
		}
		for _, id := range ids {
			if _, err := exec(w, table.sql.remove, id); err != nil {
				return fmt.Errorf("delete document %q: %w", id, err)
			}
		}
		return nil
	}})
}
