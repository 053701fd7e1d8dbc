package sqlite

import (
	"context"
	"database/sql"
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

func openSQL(t *testing.T, path string, options Options) (writer, reader *sql.DB) {
	t.Helper()
	writer, reader, err := OpenSQL(path, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(reader.Close(), writer.Close()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return writer, reader
}

func TestOpenSQLReadsWhatTheWriterWrote(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a b?#%41.db") // every character that a URI would take for itself
	writer, reader := openSQL(t, path, testOptions)
	if _, err := writer.ExecContext(ctx, `INSERT INTO things(name, weight) VALUES ('anvil', 7)`); err != nil {
		t.Fatalf("insert: %v", err)
	}
	var weight int
	if err := reader.QueryRowContext(ctx, `SELECT weight FROM things WHERE name = 'anvil'`).Scan(&weight); err != nil || weight != 7 {
		t.Fatalf("read %d, %v; want 7", weight, err)
	}
	if _, err := reader.ExecContext(ctx, `DELETE FROM things`); err == nil {
		t.Error("the reader could write")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is elsewhere: %v", err)
	}
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1"} {
		var got string
		if err := writer.QueryRowContext(ctx, "PRAGMA "+name).Scan(&got); err != nil || got != want {
			t.Errorf("%s = %q, %v; want %q", name, got, err, want)
		}
	}
}

func TestRelaxedSynchronisesLess(t *testing.T) {
	options := testOptions
	options.Relaxed = true
	writer, _ := openSQL(t, filepath.Join(t.TempDir(), "x.db"), options)
	var got string
	if err := writer.QueryRow("PRAGMA synchronous").Scan(&got); err != nil || got != "1" {
		t.Errorf("synchronous = %q, %v; want 1", got, err)
	}
}

func TestOlderFileIsMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	older := testOptions
	older.Migrations = older.Migrations[:1]
	writer, reader := openSQL(t, path, older)
	if _, err := writer.Exec(`INSERT INTO things(name) VALUES ('anvil')`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(reader.Close(), writer.Close()); err != nil {
		t.Fatal(err)
	}
	_, reader = openSQL(t, path, testOptions)
	var weight, version int
	if err := reader.QueryRow(`SELECT weight FROM things`).Scan(&weight); err != nil {
		t.Errorf("the new column: %v", err)
	}
	if err := reader.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil || version != 2 {
		t.Errorf("version %d, %v; want 2", version, err)
	}
}

func TestFailedMigrationLeavesTheOldVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	broken := testOptions
	broken.Migrations = []string{testOptions.Migrations[0], `CREATE TABLE other(id INTEGER); CREATE TABLE things(id INTEGER)`}
	if _, _, err := OpenSQL(path, broken); err == nil {
		t.Fatal("a broken migration passed")
	}
	_, reader := openSQL(t, path, testOptions)
	var tables int
	if err := reader.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE name = 'other'`).Scan(&tables); err != nil || tables != 0 {
		t.Errorf("%d tables of the failed migration, %v", tables, err)
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
			writer, reader, err := OpenSQL(path, options)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(reader.Close(), writer.Close()); err != nil {
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
			_, _, err = OpenSQL(path, testOptions)
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
	first, _ := openSQL(t, path, testOptions)
	second, _ := openSQL(t, path, testOptions)
	for range 20 {
		for _, db := range []*sql.DB{first, second} {
			if _, err := db.Exec(`INSERT INTO things(name) VALUES ('anvil')`); err != nil {
				t.Fatal(err)
			}
		}
	}
	var n int
	if err := first.QueryRow(`SELECT count(*) FROM things`).Scan(&n); err != nil || n != 40 {
		t.Errorf("%d rows, %v; want 40", n, err)
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
