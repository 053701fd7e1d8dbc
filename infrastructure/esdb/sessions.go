package esdb

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// session is one client and how many calls and subscriptions use it. A session that failed is retired:
// nobody new gets it, and its client is closed with its last user.
type session struct {
	client    *client.Client
	users     int
	retired   bool
	suspected bool // a check is under way
}

// sessions keeps one good client at hand. While there is none it dials, for ever and with backoff, and
// callers wait for it as long as the outage is young; when it has outlasted their patience they are
// turned away at once, which is the circuit breaker: the dialling is its half-open state.
type sessions struct {
	store    *Store
	config   client.Configuration
	log      *slog.Logger
	patience time.Duration

	mu      sync.Mutex
	current *session      // nil while there is none
	changed chan struct{} // closed when current or closed changes
	down    time.Time     // since when there is none
	cause   error         // why there is none
	closed  bool
	wake    chan struct{} // tells run that current is gone
}

var (
	errClosed     = errors.New("the event store was closed")
	errNoAnswer   = errors.New("no answer")
	errConnecting = errors.New("not connected yet")
)

func newSessions(config client.Configuration, store *Store) *sessions {
	return &sessions{
		store: store, config: config, log: store.log, patience: store.options.Patience,
		changed: make(chan struct{}), wake: make(chan struct{}, 1), down: time.Now(), cause: errConnecting,
	}
}

// acquire gives the current session, waiting for one while the outage is young. The caller releases it.
func (s *sessions) acquire(ctx context.Context) (*session, error) {
	for {
		s.mu.Lock()
		current, changed, cause, left := s.current, s.changed, s.cause, time.Until(s.down.Add(s.patience))
		switch {
		case s.closed:
			s.mu.Unlock()
			return nil, errClosed
		case current != nil:
			current.users++
			s.mu.Unlock()
			return current, nil
		}
		s.mu.Unlock()
		if left <= 0 {
			return nil, cause
		}
		timer := time.NewTimer(left)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// release gives a session back.
func (s *sessions) release(used *session) {
	s.mu.Lock()
	used.users--
	last := used.retired && used.users == 0
	s.mu.Unlock()
	if last {
		closeClient(used.client)
	}
}

// report judges a session by the error that a call on it ended with.
func (s *sessions) report(used *session, err error) {
	if err == nil {
		return
	}
	switch codeOf(err) {
	case client.ErrorUnavailable, client.ErrorCodeConnectionClosed:
		s.retire(used, err)
	case client.ErrorCodeDeadlineExceeded:
		s.suspect(used)
	default:
		if _, panicked := errors.AsType[*panicError](err); panicked {
			s.retire(used, err)
		} else if errors.Is(err, errAbandoned) && errors.Is(err, context.DeadlineExceeded) {
			s.suspect(used)
		}
	}
}

// retire takes a session out of use; those who use it already go on until they are done or fail.
func (s *sessions) retire(failed *session, cause error) {
	s.mu.Lock()
	if failed.retired {
		s.mu.Unlock()
		return
	}
	failed.retired = true
	idle := failed.users == 0
	lost := s.current == failed
	if lost {
		s.current, s.cause, s.down = nil, cause, time.Now()
		s.announce()
	}
	s.mu.Unlock()
	if idle {
		closeClient(failed.client)
	}
	if lost {
		s.log.Warn("lost the connection to the event store", "error", cause)
		if hook := s.store.hooks.Disconnected; hook != nil {
			hook(cause)
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// announce wakes everybody who waits for a change; the lock is held.
func (s *sessions) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// suspect checks a session on which a call ran out of time: a connection whose other end vanished
// swallows calls until the keep-alive notices, some 20 seconds later. A slow server fails the check
// too, so at first only new calls go elsewhere; what stays silent is then closed under its users, or
// subscriptions would hang on it.
func (s *sessions) suspect(used *session) {
	s.mu.Lock()
	if used.retired || used.suspected || s.closed {
		s.mu.Unlock()
		return
	}
	used.suspected = true
	s.mu.Unlock()
	s.store.launch(func() {
		err := s.probe(used.client, 2*time.Second)
		s.mu.Lock()
		used.suspected = false
		s.mu.Unlock()
		if err == nil || s.store.life.Err() != nil {
			return
		}
		s.retire(used, err)
		if s.probe(used.client, 5*time.Second) != nil {
			closeClient(used.client)
		}
	})
}

// probe pings with a client that may not come back.
func (s *sessions) probe(c *client.Client, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(s.store.life, limit)
	defer cancel()
	return detached(ctx, s.store, func() error {
		_, err := ping(ctx, c)
		return err
	})
}

// run dials whenever there is no session, until ctx ends.
func (s *sessions) run(ctx context.Context) {
	pause := backoff{shortest: 20 * time.Millisecond, longest: s.store.options.Backoff}
	for {
		if s.connected() {
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
				continue
			}
		}
		fresh, err := s.dial(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && s.publish(fresh) {
			pause.reset()
			continue
		}
		s.mu.Lock()
		s.cause = err
		s.mu.Unlock()
		s.log.Debug("can't connect to the event store", "error", err)
		if !pause.wait(ctx) {
			return
		}
	}
}

func (s *sessions) connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current != nil
}

// dial makes a client and lets it connect. One that fails, or takes too long, is closed and forgotten.
func (s *sessions) dial(ctx context.Context) (*client.Client, error) {
	config := s.config
	fresh, err := client.NewClient(&config)
	if err != nil {
		return nil, err
	}
	candidates := max(1, len(config.GossipSeeds))
	limit := time.Duration(config.GossipTimeout) * time.Second * time.Duration(2*candidates)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = detached(ctx, s.store, func() error {
		_, err := fresh.GetServerVersion()
		return err
	})
	if err != nil {
		closeClient(fresh)
		return nil, err
	}
	return fresh, nil
}

func (s *sessions) publish(fresh *client.Client) bool {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		closeClient(fresh)
		return false
	}
	took := time.Since(s.down)
	s.current = &session{client: fresh}
	s.announce()
	s.mu.Unlock()
	s.log.Info("connected to the event store", "after", took)
	if hook := s.store.hooks.Connected; hook != nil {
		hook()
	}
	return true
}

// close turns everybody away and closes the current client under its users.
func (s *sessions) close() {
	s.mu.Lock()
	current := s.current
	if !s.closed {
		s.closed = true
		s.current = nil
		s.announce()
	}
	if current != nil {
		current.retired = true
	}
	s.mu.Unlock()
	if current != nil {
		closeClient(current.client)
	}
}

// closeClient also frees calls that are stuck in a client whose connection loop has died: they panic
// on the closed channel, and that is recovered where they run.
func closeClient(c *client.Client) { _ = c.Close() }
