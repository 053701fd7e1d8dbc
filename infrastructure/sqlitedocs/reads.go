package sqlitedocs

import (
	"context"
	"strconv"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// read runs work on a reading connection. A collection that isn't there, or goes away while it is read, is
// empty: work isn't called, or its error is no error.
func (s *Store) read(ctx context.Context, collection string, work func(r *session, t *table) error) error {
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	table := s.table(collection)
	if table == nil {
		return nil
	}
	r, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer s.readers.give(r)
	err = r.under(ctx, func() error { return work(r, table) })
	if err == nil {
		return nil
	}
	if codeOf(err) == sqlite3.ERROR && s.table(collection) == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return unavailable(ctxErr)
	}
	return translate(err)
}

// Load implements readmodels.Documents.
func (s *Store) Load(ctx context.Context, collection string, ids []string) ([]readmodels.Document, error) {
	documents := make([]readmodels.Document, 0, len(ids))
	err := s.read(ctx, collection, func(r *session, t *table) error {
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
			if err := r.collect(t.sql.load, []any{id}, &documents); err != nil {
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
	err := s.read(ctx, collection, func(r *session, t *table) error {
		q := findSQL(t, find)
		return r.collect(q.text.String(), q.args, &documents)
	})
	if err != nil {
		return nil, err
	}
	return documents, nil
}

// collect appends the documents that a statement gives.
func (s *session) collect(text string, args []any, documents *[]readmodels.Document) error {
	return s.each(text, args, func(row *sqlite3.Stmt) error {
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
	err := s.read(ctx, collection, func(r *session, t *table) error {
		q := groupSQL(t, grouping)
		places := map[string]int{} // the empty string and a missing path are one group
		return r.each(q.text.String(), q.args, func(row *sqlite3.Stmt) error {
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
