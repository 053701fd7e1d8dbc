package sqlite

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var testOptions = Options{
	ApplicationID: 0x54444d4b,
	Migrations: []string{
		`CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT`,
		`ALTER TABLE things ADD COLUMN weight INTEGER NOT NULL DEFAULT 0`,
	},
}

// answer is what a statement yields in its first row and column; empty if there is no row.
func answer(t *testing.T, conn *Conn, sql string) string {
	t.Helper()
	stmt, _, err := conn.Prepare(sql)
	if err != nil {
		t.Fatal(err)
	}
	defer stmt.Close()
	text := ""
	if stmt.Step() {
		text = stmt.ColumnText(0)
	}
	if err := stmt.Err(); err != nil {
		t.Fatal(err)
	}
	return text
}

func TestReadersReadWhatTheWriterWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?#%41.db") // every character that a URI would take for itself
	db := open(t, path)
	if err := db.Writer().Exec(`INSERT INTO things(name, weight) VALUES ('anvil', 7)`); err != nil {
		t.Fatalf("insert: %v", err)
	}
	reader, err := db.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Release(reader)
	if weight := answer(t, reader, `SELECT weight FROM things WHERE name = 'anvil'`); weight != "7" {
		t.Fatalf("read %q; want 7", weight)
	}
	if err := reader.Exec(`DELETE FROM things`); err == nil {
		t.Error("the reader could write")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is elsewhere: %v", err)
	}
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1"} {
		if got := answer(t, db.Writer(), "PRAGMA "+name); got != want {
			t.Errorf("%s = %q; want %q", name, got, want)
		}
	}
}

func TestRelaxedSynchronisesLess(t *testing.T) {
	options := testOptions
	options.Relaxed = true
	db := openWith(t, filepath.Join(t.TempDir(), "x.db"), options)
	if got := answer(t, db.Writer(), "PRAGMA synchronous"); got != "1" {
		t.Errorf("synchronous = %q; want 1", got)
	}
}

func TestOlderFileIsMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	older := testOptions
	older.Migrations = older.Migrations[:1]
	db := openWith(t, path, older)
	if err := errors.Join(db.Writer().Exec(`INSERT INTO things(name) VALUES ('anvil')`), db.Close()); err != nil {
		t.Fatal(err)
	}
	conn := open(t, path).Writer()
	if weight := answer(t, conn, `SELECT weight FROM things`); weight != "0" {
		t.Errorf("the new column holds %q", weight)
	}
	if version := answer(t, conn, `PRAGMA user_version`); version != "2" {
		t.Errorf("version %s; want 2", version)
	}
}

func TestFailedMigrationLeavesTheOldVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	broken := testOptions
	broken.Migrations = []string{testOptions.Migrations[0], `CREATE TABLE other(id INTEGER); CREATE TABLE things(id INTEGER)`}
	if _, err := Open(path, broken); err == nil {
		t.Fatal("a broken migration passed")
	}
	if tables := answer(t, open(t, path).Writer(), `SELECT count(*) FROM sqlite_schema WHERE name = 'other'`); tables != "0" {
		t.Errorf("%s tables of the failed migration", tables)
	}
}

func TestRefusedFilesStayUntouched(t *testing.T) {
	newer := testOptions
	newer.Migrations = append(newer.Migrations[:2:2], `CREATE TABLE tomorrow(id INTEGER)`)
	foreign := testOptions
	foreign.ApplicationID = 1
	unmarked := testOptions
	unmarked.ApplicationID = 0
	create := func(options Options) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := openWith(t, path, options).Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	content := func(text string) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name   string
		create func(*testing.T, string)
		newer  bool
	}{
		{"of a newer release", create(newer), true},
		{"of another program", create(foreign), false},
		{"with tables and no mark", create(unmarked), false},
		{"too short", content("SQLite format 3\x00"), false},
		{"text", content(string(make([]byte, 200))), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			test.create(t, path)
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(path, testOptions)
			var tooNew *NewerError
			var notOurs *ForeignError
			if errors.As(err, &tooNew) != test.newer || errors.As(err, &notOurs) == test.newer {
				t.Errorf("opened with %v", err)
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
				t.Errorf("the file changed (%v)", err)
			}
		})
	}
}

func TestOpeningTwiceIsSafe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	first, second := open(t, path), open(t, path)
	for range 20 {
		for _, db := range []*DB{first, second} {
			if err := db.Writer().Run(insertThing); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := count(t, first); n != 40 {
		t.Errorf("%d rows; want 40", n)
	}
}

func TestOldLibrariesAreRefused(t *testing.T) {
	for text, accepted := range map[string]bool{
		"3.51.2": false, "3.51.3": true, "3.52": true, "3.9.99": false, "4.0.0": true, "3.x.1": false,
	} {
		if err := checkVersion(text); (err == nil) != accepted {
			t.Errorf("%s: %v", text, err)
		}
	}
}
