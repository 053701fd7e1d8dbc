package esdb

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// session is one client and who uses it. A session that failed is retired: nobody new gets it. Its
// client is closed when its last user is done; users that stay too long are condemned, and then it is
// enough that no goroutine is inside the client: closing it under one that talks to the client's own
// connection loop would make that one panic.
type session struct {
	client    *client.Client
	users     int // who holds it: calls that are waited for, and subscriptions
	inside    int // goroutines that are in one of the client's calls, abandoned ones included
	entering  int // those of them that have not got their connection from the client yet
	retired   bool
	condemned bool
	suspected bool          // a check is under way
	closed    chan struct{} // closed with the client
}

// over says that the client is to be closed now; the lock is held, and after true it counts as closed.
func (u *session) over() bool {
	if !u.retired || u.inside > 0 || (u.users > 0 && !u.condemned) {
		return false
	}
	return u.shut()
}

// shut is true for the one who has to close the client; the lock is held.
func (u *session) shut() bool {
	select {
	case <-u.closed:
		return false
	default:
		close(u.closed)
		return true
	}
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
	dials   chan struct{} // one for each attempt to connect that is under way
}

var (
	errClosed     = errors.New("the event store was closed")
	errNoAnswer   = errors.New("no answer")
	errConnecting = errors.New("not connected yet")
	errRetired    = errors.New("the connection was just lost")
)

func newSessions(config client.Configuration, store *Store) *sessions {
	return &sessions{
		store: store, config: config, log: store.log, patience: store.options.Patience,
		changed: make(chan struct{}), wake: make(chan struct{}, 1), dials: make(chan struct{}, dialsAtOnce), down: time.Now(), cause: errConnecting,
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
func (s *sessions) release(used *session) { s.change(used, func() { used.users-- }) }

// leave counts a goroutine out of the client.
func (s *sessions) leave(used *session) { s.change(used, func() { used.inside-- }) }

// change changes a session under the lock and closes its client if that is due.
func (s *sessions) change(used *session, change func()) {
	s.mu.Lock()
	change()
	over := used.over()
	s.mu.Unlock()
	if over {
		closeClient(used.client)
	}
}

// report judges a session by the error that a call on it ended with; ctx was the call's.
func (s *sessions) report(ctx context.Context, used *session, err error) {
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
		} else if errors.Is(err, errAbandoned) && errors.Is(err, context.DeadlineExceeded) || errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			s.suspect(used) // whichever way the call took notice of its end
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
	lost := s.current == failed
	if lost {
		s.current, s.cause, s.down = nil, cause, time.Now()
		s.announce()
	}
	s.mu.Unlock()
	s.store.launch(func() { s.dispose(failed) })
	if lost {
		if !errors.Is(cause, errClosed) { // closing is no loss
			s.log.Warn("lost the connection to the event store", "error", cause)
		}
		if hook := s.store.hooks.Disconnected; hook != nil {
			hook(cause)
		}
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}

// dispose sees to it that a retired session ends. Who still uses it after a while is pushed out. What is
// inside the client even then is stuck there for good: the client's connection loop has died under it,
// and only closing the client frees it, by a panic that is recovered where it runs.
func (s *sessions) dispose(failed *session) {
	s.change(failed, func() {})
	stay := time.NewTimer(10 * time.Second)
	defer stay.Stop()
	select {
	case <-failed.closed:
		return
	case <-stay.C:
	case <-s.store.life.Done():
	}
	s.change(failed, func() { failed.condemned = true })
	stay.Reset(5 * time.Second)
	select {
	case <-failed.closed:
		return
	case <-stay.C:
	}
	s.mu.Lock()
	stuck, last := failed.inside, failed.shut()
	s.mu.Unlock()
	if last {
		s.log.Warn("calls are stuck in the event store client and are broken off", "calls", stuck)
		closeClient(failed.client)
	}
}

// announce wakes everybody who waits for a change; the lock is held.
func (s *sessions) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// suspect checks a session on which a call ran out of time: a connection whose other end vanished
// swallows calls until the keep-alive notices, some 20 seconds later. A slow server fails the check
// too, so at first only new calls go elsewhere. If it stays silent, and for longer than a connection made
// meanwhile took to answer, subscriptions are pushed out too.
func (s *sessions) suspect(used *session) {
	s.mu.Lock()
	if used.retired || used.suspected || s.closed {
		s.mu.Unlock()
		return
	}
	used.suspected = true
	s.mu.Unlock()
	s.store.launch(func() {
		err := s.probe(used, 2*time.Second)
		s.mu.Lock()
		used.suspected = false
		s.mu.Unlock()
		if err == nil || s.store.life.Err() != nil {
			return
		}
		s.retire(used, err)
		for range 5 {
			if s.probe(used, time.Second) == nil {
				return
			}
			if s.connected() {
				break
			}
		}
		s.change(used, func() { used.condemned = true })
	})
}

// probe pings with a client that may not come back.
func (s *sessions) probe(used *session, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(s.store.life, limit)
	defer cancel()
	s.change(used, func() { used.inside++ }) // also where it is retired
	_, err := detach(ctx, s.store, func() { s.leave(used) }, func() (struct{}, error) { return ping(ctx, used.client) })
	return err
}

// run dials whenever there is no session, until ctx ends.
func (s *sessions) run(ctx context.Context) {
	pause := backoff{shortest: 20 * time.Millisecond, longest: s.store.options.Backoff}
	for {
		if s.connected() {
			pause.reset()
			select {
			case <-ctx.Done():
				return
			case <-s.wake:
				continue
			}
		}
		err := s.dial(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
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

// dialWait is how long one attempt to connect goes before another one sets out beside it. A connection
// that was made while the wire was dead may stay so when new ones work again.
const dialWait = time.Second

// dialsAtOnce bounds the attempts under way. Each ends by the client's own timeouts.
const dialsAtOnce = 8

// dial makes a client, lets it connect and publishes it, now or, if it takes longer than dialWait, later.
// Who does not connect, or when another one has, is closed by the goroutine that it was in.
func (s *sessions) dial(ctx context.Context) error {
	select {
	case s.dials <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	fresh := &session{closed: make(chan struct{})}
	config := s.config
	config.Logger = s.listen(fresh)
	made, err := client.NewClient(&config)
	if err != nil {
		<-s.dials
		return err
	}
	fresh.client = made
	ctx, cancel := context.WithTimeout(ctx, dialWait)
	defer cancel()
	published := false
	_, err = detach(ctx, s.store, func() {
		<-s.dials
		if !published {
			closeClient(made)
		}
	}, func() (struct{}, error) {
		_, err := made.GetServerVersion()
		if err == nil {
			published = s.publish(fresh)
		}
		return struct{}{}, err
	})
	return err
}

// publish makes a client the current one, unless there is one or none is wanted any more.
func (s *sessions) publish(fresh *session) bool {
	s.mu.Lock()
	if s.closed || s.current != nil || fresh.retired {
		s.mu.Unlock()
		return false
	}
	took := time.Since(s.down)
	s.current = fresh
	s.announce()
	s.mu.Unlock()
	s.log.Info("connected to the event store", "after", took)
	if hook := s.store.hooks.Connected; hook != nil {
		hook()
	}
	return true
}

// close turns everybody away and retires what there is.
func (s *sessions) close() {
	s.mu.Lock()
	current := s.current
	if !s.closed {
		s.closed = true
		s.announce()
	}
	s.mu.Unlock()
	if current != nil {
		s.retire(current, errClosed)
	}
}

func closeClient(c *client.Client) { _ = c.Close() } // it never fails
