package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
)

func open(t *testing.T, path string) *DB {
	t.Helper()
	return openWith(t, path, testOptions)
}

func openWith(t *testing.T, path string, options Options) *DB {
	t.Helper()
	db, err := Open(path, options)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return db
}

func count(t *testing.T, db *DB) int64 {
	t.Helper()
	conn, err := db.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Release(conn)
	n, _, err := conn.Int(`SELECT count(*) FROM things`)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const fillThings = `WITH n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 50000)
	INSERT INTO things(name) SELECT 'anvil ' || i FROM n`

const insertThing = `INSERT INTO things(name, weight) VALUES ('anvil', 1)`

func TestReadersSeeOneMoment(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	conn, err := db.Acquire(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	before, _, err := conn.Int(`SELECT count(*) FROM things`)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Writer().Run(insertThing); err != nil {
		t.Fatal(err)
	}
	after, _, err := conn.Int(`SELECT count(*) FROM things`)
	if err != nil || before != after {
		t.Errorf("%d then %d rows in one transaction, %v", before, after, err)
	}
	db.Release(conn)
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows; want 1", n)
	}
}

func TestPoolIsBoundedAndHonoursTheContext(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	var held []*Conn
	for range db.options.Readers {
		conn, err := db.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	if n := db.Busy(); n != len(held) {
		t.Errorf("%d busy; want %d", n, len(held))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := db.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled wait ended with %v", err)
	}
	for _, conn := range held {
		db.Release(conn)
	}
}

func TestInterruptedReaderIsUsableAgain(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	ctx, cancel := context.WithCancel(context.Background())
	conn, err := db.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, _, err := conn.Int(`SELECT count(*) FROM things`); !errors.Is(err, sqlite3.INTERRUPT) {
		t.Errorf("a cancelled read ended with %v", err)
	}
	db.Release(conn)
	for range 2 * db.options.Readers {
		count(t, db)
	}
}

func TestTruncatingCheckpointWaitsForReadersOnly(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	passivePages := db.options.CheckpointPages
	db.truncateAt, db.limit = passivePages, passivePages
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				count(t, db)
			}
		})
	}
	grew := false
	for range 150 {
		if err := db.Writer().Run(`INSERT INTO things(name) VALUES (hex(zeroblob(40000)))`); err != nil {
			t.Fatal(err)
		}
		grew = grew || db.walPages >= passivePages
		if err := db.Checkpoint(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	readers.Wait()
	if _, wal := db.Sizes(); !grew || wal > int64(2*passivePages*4200) {
		t.Errorf("the log has %d bytes (grew: %v)", wal, grew)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db := open(t, path)
	if err := db.Writer().Run(fillThings); err != nil {
		t.Fatal(err)
	}
	if err := db.Check(context.Background()); err != nil {
		t.Fatalf("a sound file: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 2 * 4096; i < 3*4096; i++ {
		raw[i] = 0xff
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := open(t, path).Check(context.Background()); err == nil {
		t.Error("a damaged file passed")
	}
}

func TestClosedDatabaseRefuses(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	if err := errors.Join(db.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Acquire(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("acquire: %v", err)
	}
	if err := db.Check(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("check: %v", err)
	}
}

// TestNewerVersionInTheLogIsRefused: a crash can leave the new version in the write-ahead log alone, where
// the header of the file doesn't show it.
func TestNewerVersionInTheLogIsRefused(t *testing.T) {
	older := testOptions
	older.Migrations = older.Migrations[:1]
	path := filepath.Join(t.TempDir(), "x.db")
	first, err := Open(path, older)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, path) // migrates, and nothing folds the log into the file yet
	crashed := filepath.Join(t.TempDir(), "x.db")
	before := map[string]string{}
	for _, suffix := range []string{"", "-wal"} {
		raw, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		before[suffix] = string(raw)
		if err := os.WriteFile(crashed+suffix, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := inspect(crashed, older); err != nil {
		t.Fatalf("the header shows the version already: %v", err)
	}
	_, err = Open(crashed, older)
	var newer *NewerError
	if !errors.As(err, &newer) || newer.Found != 2 || newer.Known != 1 {
		t.Errorf("opened with %v", err)
	}
	for suffix, want := range before {
		if raw, err := os.ReadFile(crashed + suffix); err != nil || string(raw) != want {
			t.Errorf("x.db%s changed (%v)", suffix, err)
		}
	}
}
