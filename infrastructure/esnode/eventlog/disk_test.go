package eventlog

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// disk is a file system for SQLite that keeps a journal of what is written and synced, so that a power
// cut after any step can be played afterwards, and that fails when told to.
type disk struct {
	name string

	quiet bool // keeps no journal: a disk that only spares the syncs

	mu      sync.Mutex
	journal []step
	fail    func(op operation, file string) bool // nil: never
}

type operation int

const (
	opWrite operation = iota
	opTruncate
	opSync
	opDelete
	opNote // something the test wants to find again
)

type step struct {
	op     operation
	file   string
	offset int64
	data   []byte
	note   int
}

func newDisk(t testing.TB) *disk {
	d := &disk{name: fmt.Sprintf("disk-%s-%d", filepath.Base(t.TempDir()), rand.Uint64())}
	vfs.Register(d.name, d)
	t.Cleanup(func() { vfs.Unregister(d.name) })
	return d
}

// quickDisk is a file system for tests that open many logs and cut no power: it doesn't sync.
func quickDisk(t testing.TB) string {
	d := newDisk(t)
	d.quiet = true
	return d.name
}

// do journals a step and carries it out, unless it is to fail.
func (d *disk) do(s step, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil && d.fail(s.op, s.file) {
		return sqlite3.IOERR_FSYNC
	}
	if !d.quiet {
		d.journal = append(d.journal, s)
	}
	return f()
}

// note puts a mark into the journal: everything before it happened before.
func (d *disk) note(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.journal = append(d.journal, step{op: opNote, note: n})
}

func (d *disk) failWhen(f func(op operation, file string) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = f
}

func osVFS() vfs.VFSFilename { return vfs.Find("os").(vfs.VFSFilename) }

func (d *disk) Open(string, vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	return nil, 0, sqlite3.CANTOPEN // OpenFilename is called instead
}

func (d *disk) OpenFilename(name *vfs.Filename, flags vfs.OpenFlag) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := osVFS().OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	return &diskFile{File: file, disk: d, name: filepath.Base(name.String())}, flags, nil
}

func (d *disk) Delete(name string, syncDir bool) error {
	return d.do(step{op: opDelete, file: filepath.Base(name)}, func() error { return osVFS().Delete(name, syncDir) })
}

func (d *disk) Access(name string, flags vfs.AccessFlag) (bool, error) {
	return osVFS().Access(name, flags)
}

func (d *disk) FullPathname(name string) (string, error) { return osVFS().FullPathname(name) }

type diskFile struct {
	vfs.File
	disk *disk
	name string
}

func (f *diskFile) SharedMemory() vfs.SharedMemory {
	return f.File.(vfs.FileSharedMemory).SharedMemory()
}

func (f *diskFile) WriteAt(p []byte, offset int64) (n int, err error) {
	s := step{op: opWrite, file: f.name, offset: offset, data: append([]byte(nil), p...)}
	err = f.disk.do(s, func() (err error) {
		n, err = f.File.WriteAt(p, offset)
		return err
	})
	return n, err
}

func (f *diskFile) Truncate(size int64) error {
	return f.disk.do(step{op: opTruncate, file: f.name, offset: size}, func() error { return f.File.Truncate(size) })
}

func (f *diskFile) Sync(flags vfs.SyncFlag) error {
	return f.disk.do(step{op: opSync, file: f.name}, func() error { return nil }) // the journal is the disk
}

// platter is what a power cut may leave: what was synced, and of the rest what chance keeps.
type platter struct {
	files   map[string][]byte
	pending map[string][]step
}

func newPlatter() *platter {
	return &platter{files: map[string][]byte{}, pending: map[string][]step{}}
}

// apply plays the next step of a journal.
func (p *platter) apply(s step) {
	switch s.op {
	case opWrite, opTruncate:
		p.pending[s.file] = append(p.pending[s.file], s)
	case opSync:
		p.files[s.file] = replay(p.files[s.file], p.pending[s.file], func() bool { return true })
		delete(p.pending, s.file)
	case opDelete:
		delete(p.files, s.file)
		delete(p.pending, s.file)
	case opNote:
	}
}

const sector = 512

// replay writes steps onto a file, sector by sector, those that keep lets through.
func replay(file []byte, steps []step, keep func() bool) []byte {
	file = append([]byte(nil), file...)
	for _, s := range steps {
		if s.op == opTruncate {
			if keep() && int64(len(file)) > s.offset {
				file = file[:s.offset]
			}
			continue
		}
		for at := 0; at < len(s.data); at += sector {
			part := s.data[at:min(at+sector, len(s.data))]
			if !keep() {
				continue
			}
			if end := int(s.offset) + at + len(part); end > len(file) {
				file = append(file, make([]byte, end-len(file))...)
			}
			copy(file[int(s.offset)+at:], part)
		}
	}
	return file
}

// cut writes what a power cut leaves into a directory. Nothing, all or some of what was not synced is
// kept, by share.
func (p *platter) cut(dir string, random *rand.Rand, share float64) error {
	names := map[string]bool{}
	for name := range p.files {
		names[name] = true
	}
	for name := range p.pending {
		names[name] = true
	}
	for name := range names {
		file := replay(p.files[name], p.pending[name], func() bool { return random.Float64() < share })
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			return err
		}
	}
	return nil
}
