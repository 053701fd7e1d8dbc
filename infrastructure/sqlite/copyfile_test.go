package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func TestBackupWhileWriting(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	source := filepath.Join(dir, "x.db")
	db := open(t, source)
	if err := db.Writer().Run(fillThings); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	stop := make(chan struct{})
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				if err := db.Writer().Run(insertThing); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	target := filepath.Join(dir, "copy.db")
	if err := BackupFile(ctx, source, target); err != nil {
		t.Fatal(err)
	}
	close(stop)
	writer.Wait()
	if err := BackupFile(ctx, source, target); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second backup to the same name: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := BackupFile(cancelled, source, target+"2"); err == nil {
		t.Error("a cancelled backup passed")
	}
	files, err := filepath.Glob(target + "*")
	if err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	restored := open(t, target)
	if err := restored.Check(ctx); err != nil {
		t.Error(err)
	}
	if n := count(t, restored); n < 50000 {
		t.Errorf("%d rows in the copy", n)
	}
	if err := BackupFile(ctx, filepath.Join(dir, "none.db"), filepath.Join(dir, "other.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing source: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "none.db")); !os.IsNotExist(err) {
		t.Error("a missing source was made")
	}
}

// A backup on a volume that is mounted for reading only can be copied and so be checked.
func TestBackupFileCopiesWhereNothingCanBeWritten(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "x.db")
	db := open(t, source)
	if err := errors.Join(db.Writer().Run(insertThing), db.Close()); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere", "x"), source+"-wal"); err != nil { // also root can't write there
		t.Fatal(err)
	}
	target := filepath.Join(dir, "copy.db")
	if err := BackupFile(t.Context(), source, target); err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, target)); n != 1 {
		t.Errorf("%d rows in the copy", n)
	}
	if err := errors.Join(os.Remove(source+"-wal"), os.Mkdir(source+"-wal", 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := BackupFile(t.Context(), source, target+"2"); err == nil {
		t.Error("a write-ahead log that can't be read was passed over")
	}
}
