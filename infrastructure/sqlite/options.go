// Package sqlite opens SQLite databases the way this program needs them: write-ahead log, a busy timeout
// first, full synchronisation unless told otherwise, schema migrations by user_version, and the refusal,
// untouched, of files that a newer release or another program wrote.
//
// Open gives one native writing connection and a pool of native reading ones; database/sql is left out, because
// its users count microseconds. The package knows nothing of what is stored.
package sqlite

import (
	"fmt"
	"net/url"
	"path/filepath"
	"strconv"
	"time"
)

// Options say how a database is opened. The zero value of a field means its default.
type Options struct {
	// ApplicationID marks the file as ours; it is stored in the header of a new file, and a file with
	// another one is refused. 0 marks and checks nothing.
	ApplicationID int32

	// Migrations are scripts; the one at index i takes the schema from version i to version i+1. A file
	// whose version is above their number was written by a newer release and is refused.
	Migrations []string

	// Relaxed trades durability for speed: synchronous=NORMAL instead of FULL. After a power cut the last
	// acknowledged transactions may be gone; the file stays consistent.
	Relaxed bool

	// CacheBytes bounds the page cache of each connection. Default 16 MiB.
	CacheBytes int

	// BusyTimeout bounds how long a statement waits for another connection's lock. Default 5 s.
	BusyTimeout time.Duration

	// Readers bounds the pool of reading connections. Default 4.
	Readers int

	// CheckpointPages is the length of the write-ahead log, in pages of 4 KiB, from which DB.Checkpoint
	// folds it into the file. Default 1000.
	CheckpointPages int

	// VFS names a registered virtual file system. Default: the operating system's.
	VFS string
}

func (o Options) withDefaults() Options {
	if o.CacheBytes <= 0 {
		o.CacheBytes = 16 << 20
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.CheckpointPages <= 0 {
		o.CheckpointPages = 1000
	}
	if o.Readers <= 0 {
		o.Readers = 4
	}
	return o
}

// dsn is the URI of a database with the pragmas of a connection. The busy timeout comes first, because
// the pragmas after it may already meet another connection's lock.
func (o Options) dsn(path string, readOnly bool) (string, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("find the absolute path of %s: %w", path, err)
	}
	query := url.Values{}
	pragma := func(name, value string) { query.Add("_pragma", name+"("+value+")") }
	pragma("busy_timeout", strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10))
	if !readOnly {
		pragma("journal_mode", "WAL")
	}
	if o.Relaxed {
		pragma("synchronous", "NORMAL")
	} else {
		pragma("synchronous", "FULL")
	}
	pragma("cache_size", strconv.Itoa(-max(o.CacheBytes>>10, 64)))
	pragma("temp_store", "MEMORY")
	pragma("foreign_keys", "ON")
	pragma("trusted_schema", "OFF")
	if readOnly {
		pragma("query_only", "ON")
	}
	if o.VFS != "" {
		query.Set("vfs", o.VFS)
	}
	return "file:" + (&url.URL{Path: absolute}).EscapedPath() + "?" + query.Encode(), nil
}
