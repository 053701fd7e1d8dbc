package sqlitedocs

import (
	"errors"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// brokenDisk is the operating system's file system whose syncs or writes fail when told to.
type brokenDisk struct {
	vfs.VFS
	failSync, failWrite atomic.Bool
	syncs               atomic.Int64
}

type brokenFile struct {
	vfs.File
	disk *brokenDisk
}

var errBroken = sqlite3.IOERR_FSYNC

func (d *brokenDisk) Open(name string, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := d.VFS.Open(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &brokenFile{File: file, disk: d}, flags, nil
}

func (d *brokenDisk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	named, ok := d.VFS.(vfs.VFSFilename)
	if !ok {
		return d.Open(name.String(), flags)
	}
	file, flags, err := named.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &brokenFile{File: file, disk: d}, flags, nil
}

func (f *brokenFile) Sync(flags vfs.SyncFlag) error {
	f.disk.syncs.Add(1)
	if f.disk.failSync.Load() {
		return errBroken
	}
	return f.File.Sync(flags)
}

func (f *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.disk.failWrite.Load() {
		return 0, sqlite3.IOERR_WRITE
	}
	return f.File.WriteAt(p, off)
}

func (f *brokenFile) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

// openBroken opens a store on a disk that can be broken.
func openBroken(t *testing.T, path string, options Options) (*Store, *brokenDisk) {
	t.Helper()
	disk := &brokenDisk{VFS: vfs.Find("")}
	options.vfs = strings.ReplaceAll(t.Name(), "/", "_")
	vfs.Register(options.vfs, disk)
	t.Cleanup(func() { vfs.Unregister(options.vfs) })
	store, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() }) // a broken file need not close well
	return store, disk
}

// A failed sync may have thrown away what SQLite believes written: nothing may be written after it.
func TestFirstFailedSyncIsFinal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "documents.db")
	var reported []error
	store, disk := openBroken(t, path, Options{Failed: func(err error) { reported = append(reported, err) }})
	ctx := t.Context()
	if err := store.Ensure(ctx, benchmarked); err != nil {
		t.Fatal(err)
	}
	write := func(i int) error {
		_, err := store.Write(ctx, benchmarked.Name, batch(i, 1, 1))
		return err
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	disk.failSync.Store(true)
	if err := write(1); domain.KindOf(err) != domain.KindUnknown {
		t.Fatalf("a write whose sync failed: want unknown, have %v", err)
	}
	disk.failSync.Store(false)
	for name, err := range map[string]error{
		"write": write(2), "ensure": store.Ensure(ctx, readmodels.Collection{Name: "more"}),
		"drop": store.Drop(ctx, benchmarked.Name), "delete": store.Delete(ctx, benchmarked.Name, []string{"x"}), "ping": store.Ping(ctx),
	} {
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("%s after a failed sync: want unavailable, have %v", name, err)
		}
	}
	if len(reported) != 1 || codeOf(reported[0]) != sqlite3.IOERR {
		t.Errorf("reported %v, want the failure once", reported)
	}
	if found, err := store.Find(ctx, benchmarked.Name, readmodels.Find{Limit: 10}); err != nil || len(found) == 0 {
		t.Errorf("reading after the failure: %d documents, %v", len(found), err)
	}
	_ = store.Close()

	again := open(t, path, Options{})
	if found, err := again.Load(ctx, benchmarked.Name, []string{benchmarkedDocument(0, 1).ID}); err != nil || len(found) != 1 {
		t.Fatalf("after a restart: %d documents, %v", len(found), err)
	}
	if _, err := again.Write(ctx, benchmarked.Name, batch(3, 1, 1)); err != nil {
		t.Fatalf("write after a restart: %v", err)
	}
}

// Every acknowledged commit was synchronised, and callers that wait together share a sync.
func TestCommitsAreSynchronisedAndShared(t *testing.T) {
	var commits, calls atomic.Int64
	store, disk := openBroken(t, filepath.Join(t.TempDir(), "documents.db"), Options{Committed: func(c, _ int, _ time.Duration) {
		commits.Add(1)
		calls.Add(int64(c))
	}})
	ctx := t.Context()
	if err := store.Ensure(ctx, benchmarked); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return commits.Load() == 1 }) // a commit is told of after its callers are answered
	before, commitsBefore := disk.syncs.Load(), commits.Load()
	for i := range 5 {
		if _, err := store.Write(ctx, benchmarked.Name, batch(i, 1, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if synced := disk.syncs.Load() - before; synced < 5 {
		t.Fatalf("5 commits one after the other made %d syncs", synced)
	}
	eventually(t, func() bool { return commits.Load()-commitsBefore == 5 })

	// While the writer is held up, callers queue; then they are committed together.
	hold, held := make(chan struct{}), make(chan struct{})
	blocked := &job{alone: ctx, done: make(chan error, 1), run: blockUntil(held, hold)}
	store.jobs <- blocked
	<-held
	const waiting = 20
	ended := make(chan error, waiting)
	for i := range waiting {
		go func() {
			_, err := store.Write(ctx, benchmarked.Name, batch(100+i, 1, 1))
			ended <- err
		}()
	}
	eventually(t, func() bool { return len(store.jobs) == waiting })
	before = commits.Load()
	close(hold)
	for range waiting {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return commits.Load()-before == 2 }) // the one held up, and one for all
}

// A call that fails inside a shared transaction takes no other down.
func TestFailureIsNotShared(t *testing.T) {
	store := open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	ctx := t.Context()
	if err := store.Ensure(ctx, benchmarked); err != nil {
		t.Fatal(err)
	}
	hold, held := make(chan struct{}), make(chan struct{})
	store.jobs <- &job{alone: ctx, done: make(chan error, 1), run: blockUntil(held, hold)}
	<-held
	ended := make(chan error, 2)
	missing := make(chan error, 1)
	for i := range 2 {
		go func() {
			_, err := store.Write(ctx, benchmarked.Name, batch(i, 1, 1))
			ended <- err
		}()
	}
	go func() {
		_, err := store.Write(ctx, "nowhere", batch(0, 1, 1))
		missing <- err
	}()
	eventually(t, func() bool { return len(store.jobs) == 3 })
	close(hold)
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Fatalf("failed with another call's error: %v", err)
	}
	if err := <-missing; domain.CodeOf(err) != "collection_missing" {
		t.Fatalf("want collection_missing, have %v", err)
	}
}
