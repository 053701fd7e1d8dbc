// Package mongodocs keeps the documents of read models in MongoDB, by the official driver. It needs no transaction:
// rows are written before their document, and a document is one conditional write. It knows documents and
// collections, not what is in them; readmodels comes before it, the driver after it.
//
// Everything is written and read by majority. A projector that finds its event already applied acknowledges it; had
// it seen a state that a fallen primary takes back, the event would be lost until the sweep comes by.
package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Options tune a store. The zero value of a field means its default.
type Options struct {
	Database string        // default: the one that the URI names, else "tidemark"
	Timeout  time.Duration // bounds each call whose context has no deadline; default 10 s
	Batch    int           // documents in one command, 1–1000; default 500, at FerretDB 50

	// SecondaryReads lets relaxed searches and counts (readmodels.Relaxed) go to secondaries. They wait there until
	// they have everything that the primary had when this process last heard from it, at most a second ago. All else
	// goes to the primary.
	SecondaryReads bool

	// Started and Finished are called for each command, in the caller's goroutine and with its context. They must not
	// block.
	Started, Finished func(context.Context, Command)
}

const (
	defaultDatabase = "tidemark"
	defaultTimeout  = 10 * time.Second
	defaultBatch    = 500

	// FerretDB 1 hangs for good at the hundredth update of a command.
	ferretBatch = 50

	// selectWithin bounds the wait for a server that takes the command. An election takes seconds.
	selectWithin = 5 * time.Second

	// indexWithin bounds the making of indexes, which takes minutes where there are many documents already.
	indexWithin = 10 * time.Minute

	idsPerCommand = 1000
)

// Store keeps documents in a database. It is safe for concurrent use.
type Store struct {
	client  *mongo.Client
	db      *mongo.Database
	options Options
	clock   clock

	patience time.Duration // with secondaries

	life   context.Context // ends with Close
	end    context.CancelFunc
	once   sync.Once
	closed error

	turn   chan struct{} // at FerretDB: held by the write under way
	writes sync.WaitGroup

	mu    sync.Mutex
	known map[string]bool // collections that are there, as far as this process knows
}

var (
	_ readmodels.Documents = (*Store)(nil)
	_ readmodels.Watcher   = (*Store)(nil)
)

// Open connects to the servers of a mongodb:// or mongodb+srv:// URI and checks that one answers. ctx bounds
// the opening only.
func Open(ctx context.Context, uri string, opts Options) (*Store, error) {
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	if opts.Database == "" {
		opts.Database = databaseOf(uri)
	}
	client, err := mongo.Connect(options.Client().
		SetAppName("tidemark").
		SetServerSelectionTimeout(selectWithin).
		ApplyURI(uri).
		SetTimeout(opts.Timeout).
		SetRetryReads(true).SetRetryWrites(true).
		SetWriteConcern(writeconcern.Majority()).
		SetReadConcern(readconcern.Majority()).
		SetMonitor(monitor(opts.Started, opts.Finished)))
	if err != nil {
		return nil, fmt.Errorf("open document store: %w", err)
	}
	s := &Store{client: client, db: client.Database(opts.Database), options: opts, clock: clock{stale: staleFor}, patience: secondaryWithin, known: map[string]bool{}}
	s.life, s.end = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.greet(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open document store: %w", err), s.Close())
	}
	return s, nil
}

// CheckURI says what is wrong with a connection string. What takes a name server to find out is left out.
func CheckURI(uri string) error {
	if strings.HasPrefix(uri, "mongodb+srv://") {
		return nil
	}
	return options.Client().ApplyURI(uri).Validate()
}

// greet learns what kind of server there is.
func (s *Store) greet(ctx context.Context) error {
	build, err := s.db.RunCommand(ctx, bson.D{{Key: "buildInfo", Value: 1}}).Raw()
	if err != nil {
		return readmodels.StoreUnavailable(err)
	}
	_, ferret := build.Lookup("ferretdbVersion").StringValueOK()
	if ferret {
		s.turn = make(chan struct{}, 1)
	}
	switch {
	case s.options.Batch > 0:
		s.options.Batch = min(s.options.Batch, idsPerCommand)
	case ferret:
		s.options.Batch = ferretBatch
	default:
		s.options.Batch = defaultBatch
	}
	return nil
}

// databaseOf is the name that a connection string gives, between the hosts and the options.
func databaseOf(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, name, _ := strings.Cut(rest, "/")
	if decoded, err := url.PathUnescape(name); err == nil && decoded != "" {
		return decoded
	}
	return defaultDatabase
}

// Close ends the store and its connections; watches end as well. It may be called again.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.end()
		s.writes.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.life), selectWithin)
		defer cancel()
		if err := s.client.Disconnect(ctx); err != nil {
			s.closed = fmt.Errorf("close document store: %w", err)
		}
	})
	return s.closed
}

// Ping implements readmodels.Documents; it asks the primary.
func (s *Store) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	if err := s.client.Ping(ctx, nil); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	return nil
}
