package eventlog

import "strings"

// applicationID marks a file as an event log: "TMLG".
const applicationID = 0x544d4c47

// migrations build the schema. Names of streams and of categories are interned; everything else about a
// stream (its last revision, its tombstone, its metadata) is read off the events themselves, so there is
// no second truth that could disagree. A category is a name up to and with its first "-", or "" without
// one: the index over it makes reads of the whole log by prefix cheap. An index on a column of a rowid
// table ends in the rowid, which is the position.
var migrations = []string{`
CREATE TABLE categories(
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
) STRICT;
INSERT INTO categories(id, name) VALUES (1, '');
CREATE TABLE streams(
	id       INTEGER PRIMARY KEY,
	name     TEXT NOT NULL UNIQUE,
	category INTEGER NOT NULL
) STRICT;
CREATE TABLE events(
	position INTEGER PRIMARY KEY,
	stream   INTEGER NOT NULL,
	revision INTEGER NOT NULL,
	category INTEGER NOT NULL,
	id       BLOB NOT NULL,
	type     TEXT NOT NULL,
	json     INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	metadata BLOB NOT NULL,
	data     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_by_stream ON events(stream, revision);
CREATE INDEX events_by_category ON events(category);
CREATE TABLE projections(
	name     TEXT PRIMARY KEY,
	query    TEXT NOT NULL,
	enabled  INTEGER NOT NULL,
	live     INTEGER NOT NULL,
	position INTEGER NOT NULL,
	version  INTEGER NOT NULL,
	epoch    INTEGER NOT NULL,
	hiding   TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE counters(
	name  TEXT PRIMARY KEY,
	value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`}

// noCategory is the id of the category of names without "-".
const noCategory = 1

// indexedCategory is the part of a stream's name that the index over categories knows.
func indexedCategory(stream string) string {
	prefix, _, found := strings.Cut(stream, "-")
	if !found {
		return ""
	}
	return prefix + "-"
}

const (
	selectEvent = `SELECT position, stream, type, revision, id, json, created, metadata, data FROM events `

	sqlInsertEvent = `INSERT INTO events(position, stream, revision, category, id, type, json, created, metadata, data)
		VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)`
	sqlInsertStream   = `INSERT INTO streams(name, category) VALUES (?1, ?2)`
	sqlInsertCategory = `INSERT INTO categories(name) VALUES (?1)`

	// sqlStreamPair looks for a stream and for the one that describes it at once.
	sqlStreamPair = `SELECT 0, id, category FROM streams WHERE name = ?1 UNION ALL SELECT 1, id, category FROM streams WHERE name = ?2`

	sqlStreamName     = `SELECT name FROM streams WHERE id = ?1`
	sqlCategory       = `SELECT id FROM categories WHERE name = ?1`
	sqlCategoryRange  = `SELECT id FROM categories WHERE name >= ?1 AND name < ?2 LIMIT ?3`
	sqlFirstRevision  = `SELECT revision FROM events WHERE stream = ?1 ORDER BY revision LIMIT 1`
	sqlNewestTwo      = `SELECT revision, position FROM events WHERE stream = ?1 ORDER BY revision DESC LIMIT 2`
	sqlCreated        = `SELECT created FROM events WHERE stream = ?1 AND revision = ?2`
	sqlIdentity       = `SELECT id, position, created FROM events WHERE stream = ?1 AND revision = ?2`
	sqlEventAt        = selectEvent + `WHERE stream = ?1 AND revision = ?2`
	sqlStreamForward  = selectEvent + `WHERE stream = ?1 AND revision BETWEEN ?2 AND ?3 ORDER BY revision LIMIT ?4`
	sqlStreamBackward = selectEvent + `WHERE stream = ?1 AND revision BETWEEN ?2 AND ?3 ORDER BY revision DESC LIMIT ?4`
	sqlAllForward     = selectEvent + `WHERE position BETWEEN ?1 AND ?2 ORDER BY position LIMIT ?3`
	sqlAllBackward    = selectEvent + `WHERE position BETWEEN ?1 AND ?2 ORDER BY position DESC LIMIT ?3`

	// One statement for each place in a merge; the number of the place makes the texts differ.
	sqlCategoryForward  = selectEvent + `INDEXED BY events_by_category WHERE category = ?1 AND position BETWEEN ?2 AND ?3 ORDER BY position`
	sqlCategoryBackward = selectEvent + `INDEXED BY events_by_category WHERE category = ?1 AND position BETWEEN ?2 AND ?3 ORDER BY position DESC`

	sqlHistory = `SELECT e.position, e.stream, e.type, e.revision, e.id, e.json, e.created, e.metadata, e.data, s.name
		FROM events e JOIN streams s ON s.id = e.stream WHERE e.position > ?1 ORDER BY e.position LIMIT ?2`

	sqlNewest  = `SELECT position, created FROM events ORDER BY position DESC LIMIT 1`
	sqlStreams = `SELECT max(id) FROM streams`
)
