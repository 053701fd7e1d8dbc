package mongodocs

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// The wire protocol is spoken with FerretDB in this process; nothing but tests links it.
var ferret struct {
	once  sync.Once
	uri   string
	err   error
	stop  context.CancelFunc
	ended chan struct{}
	dir   string
}

func TestMain(m *testing.M) {
	code := m.Run()
	if ferret.stop != nil {
		ferret.stop()
		<-ferret.ended
	}
	if ferret.dir != "" {
		if err := os.RemoveAll(ferret.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// ferretURI is the address of a server that all tests share; it ends with a slash.
func ferretURI(t testing.TB) string {
	t.Helper()
	ferret.once.Do(func() {
		if ferret.dir, ferret.err = os.MkdirTemp("", "ferretdb"); ferret.err != nil {
			return
		}
		var server *ferretdb.FerretDB
		server, ferret.err = ferretdb.New(&ferretdb.Config{
			Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
			Handler:   "sqlite",
			SQLiteURL: "file:" + ferret.dir + "/?_pragma=synchronous(off)", // what it stores need not outlive the tests
			Logger:    slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if ferret.err != nil {
			return
		}
		var ctx context.Context
		ctx, ferret.stop = context.WithCancel(context.Background())
		ferret.ended = make(chan struct{})
		go func() {
			defer close(ferret.ended)
			if err := server.Run(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "ferretdb:", err)
			}
		}()
		ferret.uri = server.MongoDBURI()
	})
	if ferret.err != nil {
		t.Fatal(ferret.err)
	}
	return ferret.uri
}

var databases atomic.Int64

// open gives a store on an empty database of a server, which is dropped in the end.
func open(t testing.TB, uri string, options Options) *Store {
	t.Helper()
	if options.Timeout == 0 {
		options.Timeout = time.Minute // FerretDB is slow on a busy machine, and more so under the race detector
	}
	options.Database = fmt.Sprintf("tidemark_test_%d_%d", os.Getpid(), databases.Add(1))
	store, err := Open(t.Context(), uri, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.db.Drop(context.Background()); err != nil {
			t.Errorf("drop database: %v", err)
		}
		if err := store.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return store
}
