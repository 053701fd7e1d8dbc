package sqlitedocs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// What a document lacks at a path is -Infinity: it sorts before every integer and text, as a missing
// path shall, but unlike NULL it can be compared, so one row-value comparison continues behind a cursor.
const nothing = "-9e999"

// Every collection is a table of its own: dropping a generation is one statement, and an index is over
// what it serves only. Eight collections in one table took 1.3 to 2 times as long to fill, and 12 to 20
// times as long to drop one of. The value at each indexed path has a column, named like the path and written with the
// document. Indexes on expressions or virtual columns would do without, but the former can't bound
// a row-value comparison, the latter can't cover a count, and both parse the old body again to leave an index.
func tableName(collection string) string { return `"c_` + collection + `"` }

const columns = "id,version,hidden,sources,body"

func createTable(collection string) string {
	return "CREATE TABLE IF NOT EXISTS " + tableName(collection) +
		"(id TEXT PRIMARY KEY NOT NULL, version INTEGER NOT NULL, hidden INTEGER NOT NULL, sources TEXT, body TEXT)"
}

// columnName marks capitals, because SQLite takes names that differ in nothing else for the same.
func columnName(path string) string { return `"$.` + capitals.ReplaceAllString(path, "^$0") + `"` }

var capitals = regexp.MustCompile(`[A-Z]`)

// columnPath undoes columnName, without its quotes; ok is false for the columns of every table.
func columnPath(name string) (path string, ok bool) {
	name, ok = strings.CutPrefix(name, "$.")
	return strings.ReplaceAll(name, "^", ""), ok
}

// addColumn makes a column and fills it for the documents that are there.
func addColumn(collection, path string) string {
	return "ALTER TABLE " + tableName(collection) + " ADD COLUMN " + columnName(path) + "; " +
		"UPDATE " + tableName(collection) + " SET " + columnName(path) + "=" + extraction("body", path)
}

func extraction(body, path string) string {
	return `ifnull(json_extract(` + body + `,'$."` + strings.ReplaceAll(path, ".", `"."`) + `"'),` + nothing + `)`
}

// indexName is the same for the same paths, so that an index is made once.
func indexName(collection string, paths []string) string {
	sum := sha256.Sum256([]byte(strings.Join(paths, "\n")))
	return "i_" + collection + "_" + hex.EncodeToString(sum[:6])
}

// createIndex leaves hidden documents out: boards keep far more of them than they show.
func createIndex(collection string, paths []string) string {
	var columns []string
	for _, path := range paths {
		if path != "_id" {
			columns = append(columns, columnName(path))
		}
	}
	columns = append(columns, "id")
	return fmt.Sprintf(`CREATE INDEX IF NOT EXISTS "%s" ON %s(%s) WHERE hidden=0`,
		indexName(collection, paths), tableName(collection), strings.Join(columns, ","))
}

// texts are the statements that don't depend on a question.
type texts struct {
	load, insert, replace, row, remove string
}

// statements writes them for a collection with columns for these paths.
func statements(collection string, paths []string) texts {
	table := tableName(collection)
	var names, values, set, excluded strings.Builder
	for _, path := range paths {
		name, value := columnName(path), extraction("?5", path)
		names.WriteString("," + name)
		values.WriteString("," + value)
		set.WriteString("," + name + "=" + value)
		excluded.WriteString("," + name + "=excluded." + name)
	}
	insert := "INSERT INTO " + table + "(" + columns + names.String() + ") VALUES(?1,?2,?3,?4,?5" + values.String() + ") ON CONFLICT(id) DO "
	return texts{
		load:    "SELECT " + columns + " FROM " + table + " WHERE id=?",
		insert:  insert + "NOTHING",
		replace: "UPDATE " + table + " SET version=?2,hidden=?3,sources=?4,body=?5" + set.String() + " WHERE id=?1 AND version=?6",
		row: insert + "UPDATE SET version=excluded.version,hidden=excluded.hidden,sources=excluded.sources,body=excluded.body" +
			excluded.String(),
		remove: "DELETE FROM " + table + " WHERE id=?",
	}
}

// query is SQL under construction with the values of its parameters.
type query struct {
	table *table
	text  strings.Builder
	args  []any
	any   bool // whether there is a WHERE yet
}

func (q *query) arg(value any) string {
	q.args = append(q.args, value)
	return "?"
}

// at is the expression for a path: a column if one is indexed there.
func (q *query) at(path string) string {
	switch {
	case path == "_id":
		return "id"
	case q.table.columns[path]:
		return columnName(path)
	}
	return extraction("body", path)
}

func (q *query) where(conditions []readmodels.Condition, hidden bool) {
	var terms []string
	if !hidden {
		terms = append(terms, "hidden=0")
	}
	for _, condition := range conditions {
		terms = append(terms, q.condition(condition)...)
	}
	q.and(terms...)
}

// and adds terms to the WHERE clause.
func (q *query) and(terms ...string) {
	for _, term := range terms {
		if q.any {
			q.text.WriteString(" AND " + term)
			continue
		}
		q.text.WriteString(" WHERE " + term)
		q.any = true
	}
}

// condition gives the terms that must hold. SQLite orders all integers before all text; the second
// term of a range keeps it within the type of its value. Its "+" keeps it from being taken for the
// index instead of a bound that the caller gave.
func (q *query) condition(c readmodels.Condition) []string {
	at := q.at(c.Path)
	switch c.Op {
	case readmodels.Equal:
		return []string{at + "=" + q.arg(c.Value)}
	case readmodels.NotEqual:
		return []string{at + "<>" + q.arg(c.Value), at + "<>" + nothing}
	case readmodels.In:
		list, _ := c.Value.([]any)
		marks := make([]string, len(list))
		for i, value := range list {
			marks[i] = q.arg(value)
		}
		return []string{at + " IN(" + strings.Join(marks, ",") + ")"}
	}
	operator := map[readmodels.Op]string{
		readmodels.Less: "<", readmodels.LessOrEqual: "<=", readmodels.Greater: ">", readmodels.GreaterOrEqual: ">=",
	}[c.Op]
	terms := []string{at + operator + q.arg(c.Value)}
	_, text := c.Value.(string)
	switch upper := operator[0] == '<'; {
	case upper && text:
		terms = append(terms, "+"+at+">=''")
	case upper:
		terms = append(terms, "+"+at+">"+nothing)
	case !text:
		terms = append(terms, "+"+at+"<''")
	}
	return terms
}

// findSQL builds a search.
func findSQL(t *table, find readmodels.Find) *query {
	q := &query{table: t}
	keys := sortKeys(find.Sort)
	q.text.WriteString("SELECT " + columns + " FROM " + tableName(t.name))
	q.where(find.Where, find.Hidden)
	if find.After != nil {
		q.and(q.after(keys, find.After))
	}
	order := make([]string, len(keys))
	for i, key := range keys {
		order[i] = q.at(key.Path)
		if key.Desc {
			order[i] += " DESC"
		}
	}
	q.text.WriteString(" ORDER BY " + strings.Join(order, ",") + " LIMIT " + q.arg(int64(find.Limit)))
	return q
}

// sortKeys is the whole order: up to the id, which nothing can follow.
func sortKeys(sort []readmodels.Sort) []readmodels.Sort {
	for i, key := range sort {
		if key.Path == "_id" {
			return sort[:i+1]
		}
	}
	id := readmodels.Sort{Path: "_id"}
	if len(sort) > 0 {
		id.Desc = sort[len(sort)-1].Desc
	}
	return append(slices.Clone(sort), id)
}

// after is the condition of coming behind a cursor.
func (q *query) after(keys []readmodels.Sort, cursor []any) string {
	mixed := slices.ContainsFunc(keys, func(key readmodels.Sort) bool { return key.Desc != keys[0].Desc })
	if !mixed {
		names, values := make([]string, len(keys)), make([]string, len(keys))
		for i, key := range keys {
			names[i], values[i] = q.at(key.Path), q.place(cursor[i])
		}
		return "(" + strings.Join(names, ",") + ")" + beyond(keys[0]) + "(" + strings.Join(values, ",") + ")"
	}
	// Behind in the first key, or level in it and behind in the second, and so on. The bound on the
	// first key alone says the same once more, for the index.
	first := q.at(keys[0].Path) + beyond(keys[0]) + "=" + q.place(cursor[0])
	alternatives := make([]string, len(keys))
	for i, key := range keys {
		var terms []string
		for j := range i {
			terms = append(terms, q.at(keys[j].Path)+"="+q.place(cursor[j]))
		}
		terms = append(terms, q.at(key.Path)+beyond(key)+q.place(cursor[i]))
		alternatives[i] = strings.Join(terms, " AND ")
	}
	return first + " AND (" + strings.Join(alternatives, " OR ") + ")"
}

func (q *query) place(value any) string {
	if value == nil {
		return nothing
	}
	return q.arg(value)
}

func beyond(key readmodels.Sort) string {
	if key.Desc {
		return "<"
	}
	return ">"
}

// groupSQL builds a grouping: the values at By, the count, the sums.
func groupSQL(t *table, grouping readmodels.Grouping) *query {
	q := &query{table: t}
	var by []string
	for _, path := range grouping.By {
		by = append(by, q.at(path))
	}
	selected := append(slices.Clone(by), "count(*)")
	for _, path := range grouping.Sum {
		at := q.at(path)
		selected = append(selected, "sum(CASE typeof("+at+") WHEN 'integer' THEN "+at+" END)")
	}
	q.text.WriteString("SELECT " + strings.Join(selected, ",") + " FROM " + tableName(t.name))
	q.where(grouping.Where, false)
	if len(by) > 0 {
		q.text.WriteString(" GROUP BY " + strings.Join(by, ","))
	}
	return q
}
