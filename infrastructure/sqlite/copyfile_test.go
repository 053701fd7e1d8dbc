package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestBackupFileCopiesADatabaseInUse(t *testing.T) {
	dir := t.TempDir()
	db, err := Open(filepath.Join(dir, "source.db"), Options{ApplicationID: 7, Migrations: []string{"CREATE TABLE t(n INTEGER); INSERT INTO t VALUES(42)"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	target := filepath.Join(dir, "copy.db")
	if err := BackupFile(context.Background(), filepath.Join(dir, "source.db"), target); err != nil {
		t.Fatal(err)
	}
	copied, err := Open(target, Options{ApplicationID: 7, Migrations: []string{"CREATE TABLE t(n INTEGER); INSERT INTO t VALUES(42)"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.Check(context.Background()); err != nil {
		t.Error(err)
	}
	if err := copied.Close(); err != nil {
		t.Error(err)
	}
	if err := BackupFile(context.Background(), filepath.Join(dir, "source.db"), target); err == nil {
		t.Error("an existing file was overwritten")
	}
	if err := BackupFile(context.Background(), filepath.Join(dir, "none.db"), filepath.Join(dir, "other.db")); err == nil {
		t.Error("a missing source was copied")
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !os.IsNotExist(err) {
		t.Error("a missing source was made")
	}
}
