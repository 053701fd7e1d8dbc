// Package esdb is the event store and the subscriptions on the official EventStoreDB client. It turns
// the vendor's types and errors into ours, once; above it nobody can tell a cluster from the embedded
// node. The client's odd corners end here:
//
//   - It ignores contexts while it reconnects and blocks everybody else meanwhile. So each call runs in
//     a goroutine of ours and is abandoned when its context ends; their number is bounded.
//   - It stays closed for good after its attempts, and leaks connections when it rediscovers. So it gets
//     one attempt; whoever fails is replaced by a fresh client (see sessions).
//   - It never resumes a dropped subscription. Consume and Tail do, for ever.
//   - It panics on messages that it doesn't know. Panics are recovered at this boundary.
//
// Whether a delivery is acknowledged, delivered again or parked is decided in this package only.
package esdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// The ports that a Store fills.
var (
	_ application.EventStore    = (*Store)(nil)
	_ application.Subscriptions = (*Store)(nil)
	_ application.Groups        = (*Store)(nil)
)

// Options adjust a Store. The zero value is fit for production.
type Options struct {
	Logger *slog.Logger // nil: nothing is logged
	Hooks  Hooks

	Calls    int           // calls at once, abandoned ones included; 0 means 256
	Patience time.Duration // how long calls wait for a lost connection before they fail at once; 0 means 1 s
	Page     int           // events asked for in one read; 0 means 1000
	Backoff  time.Duration // longest pause between attempts to reconnect or resubscribe; 0 means 1 s
	Timeout  time.Duration // after which the server delivers an unanswered event again (new groups); 0 means 30 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Calls <= 0 {
		o.Calls = 256
	}
	if o.Patience <= 0 {
		o.Patience = time.Second
	}
	if o.Page <= 0 {
		o.Page = 1000
	}
	if o.Backoff <= 0 {
		o.Backoff = time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	return o
}

// Store is the log behind one connection string. It is safe for concurrent use.
type Store struct {
	options  Options
	log      *slog.Logger
	hooks    *Hooks
	sessions *sessions
	slots    chan struct{} // one for each call that is running, given back when its goroutine ends

	life    context.Context // ends when Close begins
	end     context.CancelFunc
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

// kurrent accepts the scheme under which the product's newer name appears in connection strings.
var kurrent = strings.NewReplacer("kurrentdb://", "esdb://", "kurrentdb+discover://", "esdb+discover://")

// CheckConnection says what is wrong with a connection string, without its password.
func CheckConnection(connectionString string) error {
	_, err := readConnection(connectionString)
	return err
}

func readConnection(connectionString string) (*client.Configuration, error) {
	config, err := client.ParseConnectionString(kurrent.Replace(connectionString))
	if err != nil {
		return nil, withoutSecret(err)
	}
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Address == "" && len(config.GossipSeeds) == 0 {
		return nil, errors.New("it names no host")
	}
	return config, nil
}

// Open makes a Store for an esdb:// or esdb+discover:// connection string. It fails only for a string
// that can't be read; the server need not be there yet. The string's maxDiscoverAttempts is ignored:
// the Store itself reconnects for ever.
func Open(connectionString string, options Options) (*Store, error) {
	config, err := readConnection(connectionString)
	if err != nil {
		return nil, fmt.Errorf("read the event store's connection string: %w", err)
	}
	config.MaxDiscoverAttempts = 1
	if !strings.Contains(strings.ToLower(connectionString), "gossiptimeout=") {
		config.GossipTimeout = 3 // seconds; a candidate that takes longer is as good as gone
	}
	options = options.withDefaults()

	life, end := context.WithCancel(context.Background())
	s := &Store{
		options: options, log: options.Logger, hooks: &options.Hooks,
		slots: make(chan struct{}, options.Calls), life: life, end: end,
	}
	s.sessions = newSessions(*config, s)
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.sessions.run(life)
	}()
	return s, nil
}

// withoutSecret drops the connection string, which may hold a password, from an error about it. What is no URL
// may be split anywhere: the part that the error quotes can be one of the password, too.
func withoutSecret(err error) error {
	if _, broken := errors.AsType[*url.Error](err); broken {
		return errors.New("it is no URL; a user's name and password have to be escaped in it")
	}
	return err
}

// Close ends every call, subscription and connection and waits for their goroutines until ctx ends.
// Calling it again is harmless.
func (s *Store) Close(ctx context.Context) error {
	s.sessions.close()
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close the event store: calls are still running: %w", ctx.Err())
	}
}

// launch runs work in a goroutine that Close waits for; false if the Store is closed.
func (s *Store) launch(work func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		work()
	}()
	return true
}

// Ping asks the event store for something that does not exist and waits for the answer.
func (s *Store) Ping(ctx context.Context) error {
	_, err := call(ctx, s, "ping", ping)
	if err != nil {
		return failure("ping", err)
	}
	return nil
}

// pingStream is never written.
const pingStream = "tidemark-ping"

func ping(ctx context.Context, c *client.Client) (struct{}, error) {
	stream, err := c.ReadStream(ctx, pingStream, client.ReadStreamOptions{Direction: client.Backwards, From: client.End{}}, 1)
	if err != nil {
		return struct{}{}, err
	}
	defer stream.Close()
	_, err = stream.Recv()
	if endOfRead(err) || codeOf(err) == client.ErrorCodeResourceNotFound {
		return struct{}{}, nil
	}
	return struct{}{}, err
}

// Hooks are called as things happen; any of them may be nil. They must be quick.
type Hooks struct {
	Called       func(operation string, took time.Duration, err error)
	Abandoned    func(operation string) // a call whose context ended before the client gave it back
	Connected    func()
	Disconnected func(cause error)
	Subscribed   func(group string) // a consumer of the group is subscribed, for the first time or again
	Delivered    func(group string, events int)
	Outcome      func(group, outcome string, events int) // outcome is ack, retry or park
	Resubscribed func(subscription string, cause error)  // cause of the drop; a group's name or "tail"
	Panicked     func()                                  // a handler did
}

func (h *Hooks) called(operation string, took time.Duration, err error) {
	if h.Called != nil {
		h.Called(operation, took, err)
	}
}

func (h *Hooks) abandoned(operation string) {
	if h.Abandoned != nil {
		h.Abandoned(operation)
	}
}

func (h *Hooks) subscribed(group string) {
	if h.Subscribed != nil {
		h.Subscribed(group)
	}
}

func (h *Hooks) delivered(group string, events int) {
	if h.Delivered != nil {
		h.Delivered(group, events)
	}
}

func (h *Hooks) outcome(group, outcome string, events int) {
	if h.Outcome != nil && events > 0 {
		h.Outcome(group, outcome, events)
	}
}

func (h *Hooks) panicked() {
	if h.Panicked != nil {
		h.Panicked()
	}
}

func (h *Hooks) resubscribed(subscription string, cause error) {
	if h.Resubscribed != nil {
		h.Resubscribed(subscription, cause)
	}
}

// unavailable says that certainly nothing was done.
func unavailable(cause error) *domain.Error {
	return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable",
		Message: "The event store can't be reached.", Err: cause}
}
