package sqlitedocs

import (
	"context"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// read runs work in a read transaction. A collection that isn't there is empty: work isn't called. One that
// is dropped or made anew at this moment is read again as it is then.
func (s *Store) read(ctx context.Context, collection string, work func(r *sqlite.Conn, t *table) error) error {
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	for {
		table := s.table(collection)
		if table == nil {
			return nil
		}
		err := s.transact(ctx, func(r *sqlite.Conn) error { return work(r, table) })
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return readmodels.StoreUnavailable(ctx.Err())
		case codeOf(err) == sqlite3.ERROR && s.table(collection) != table:
			continue
		}
		return translate(err)
	}
}

func (s *Store) transact(ctx context.Context, work func(r *sqlite.Conn) error) error {
	r, err := s.db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer s.db.Release(r)
	return work(r)
}

// Load implements readmodels.Documents.
func (s *Store) Load(ctx context.Context, collection string, ids []string) ([]readmodels.Document, error) {
	documents := make([]readmodels.Document, 0, len(ids))
	err := s.read(ctx, collection, func(r *sqlite.Conn, t *table) error {
		documents = documents[:0]
		var seen map[string]bool
		if len(ids) > 1 {
			seen = make(map[string]bool, len(ids))
		}
		for _, id := range ids {
			if seen[id] {
				continue
			}
			if seen != nil {
				seen[id] = true
			}
			if err := collect(r, t.sql.load, []any{id}, &documents); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return documents, nil
}

// Find implements readmodels.Documents.
func (s *Store) Find(ctx context.Context, collection string, find readmodels.Find) ([]readmodels.Document, error) {
	if err := find.Check(); err != nil {
		return nil, err
	}
	documents := []readmodels.Document{}
	err := s.read(ctx, collection, func(r *sqlite.Conn, t *table) error {
		documents = documents[:0]
		q := findSQL(t, find)
		return collect(r, q.text.String(), q.args, &documents)
	})
	if err != nil {
		return nil, err
	}
	return documents, nil
}

// collect appends the documents that a statement gives.
func collect(r *sqlite.Conn, text string, args []any, documents *[]readmodels.Document) error {
	return each(r, text, args, func(row *sqlite3.Stmt) error {
		document, err := scan(row)
		if err != nil {
			return err
		}
		*documents = append(*documents, document)
		return nil
	})
}

// Group implements readmodels.Documents. A document without the path is in the group of the empty string; an
// integer in By is written in decimals; what is no integer adds nothing to a sum. A sum beyond
// int64 is an error.
func (s *Store) Group(ctx context.Context, collection string, grouping readmodels.Grouping) ([]readmodels.Total, error) {
	if err := grouping.Check(); err != nil {
		return nil, err
	}
	totals := []readmodels.Total{}
	err := s.read(ctx, collection, func(r *sqlite.Conn, t *table) error {
		totals = totals[:0]
		q := groupSQL(t, grouping)
		places := map[string]int{} // the empty string and a missing path are one group
		return each(r, q.text.String(), q.args, func(row *sqlite3.Stmt) error {
			total := scanTotal(row, grouping)
			if total.Count == 0 {
				return nil // SQL's row for no rows
			}
			key := strings.Join(total.By, "\x00")
			at, known := places[key]
			if !known {
				places[key] = len(totals)
				totals = append(totals, total)
				return nil
			}
			totals[at].Count += total.Count
			for i, sum := range total.Sums {
				totals[at].Sums[i] += sum
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	return totals, nil
}

func scanTotal(row *sqlite3.Stmt, grouping readmodels.Grouping) readmodels.Total {
	total := readmodels.Total{By: make([]string, len(grouping.By)), Sums: make([]int64, len(grouping.Sum))}
	for i := range grouping.By {
		switch row.ColumnType(i) {
		case sqlite3.TEXT:
			total.By[i] = row.ColumnText(i)
		case sqlite3.INTEGER:
			total.By[i] = strconv.FormatInt(row.ColumnInt64(i), 10)
		}
	}
	total.Count = row.ColumnInt64(len(grouping.By))
	for i := range grouping.Sum {
		total.Sums[i] = row.ColumnInt64(len(grouping.By) + 1 + i)
	}
	return total
}
