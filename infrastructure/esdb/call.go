package esdb

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// errAbandoned is a call that was still in the client when its context ended. Whether it does its work
// or not, nobody will hear.
var errAbandoned = errors.New("the call was given up")

// notStarted is a call that never reached the client: certainly nothing was done.
type notStarted struct{ cause error }

func (e *notStarted) Error() string { return "not started: " + e.cause.Error() }
func (e *notStarted) Unwrap() error { return e.cause }

// panicError is a panic inside the client.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string {
	return fmt.Sprintf("the event store client panicked: %v", e.value)
}

// recovered runs work and turns a panic into an error.
func recovered(work func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicError{value: value, stack: debug.Stack()}
		}
	}()
	return work()
}

// call runs work on the current client in a goroutine of its own and waits for it no longer than ctx.
// It costs a slot until work really ends, so that abandoned calls are bounded too.
func call[T any](ctx context.Context, s *Store, operation string, work func(context.Context, *client.Client) (T, error)) (T, error) {
	begun := time.Now()
	value, err := tryCall(ctx, s, operation, work)
	s.hooks.called(operation, time.Since(begun), err)
	return value, err
}

func tryCall[T any](ctx context.Context, s *Store, operation string, work func(context.Context, *client.Client) (T, error)) (T, error) {
	var none T
	used, err := s.begin(ctx)
	if err != nil {
		return none, err
	}
	inner, cancel := s.within(ctx)
	defer cancel()
	value, err := detach(inner, s, func() { <-s.slots }, inside(inner, s, used, work))
	if errors.Is(err, errAbandoned) {
		s.hooks.abandoned(operation)
	}
	s.sessions.report(inner, used, err)
	s.sessions.release(used)
	return value, err
}

// inside is work on a session's client, done only if the session is good when it begins.
func inside[T any](ctx context.Context, s *Store, used *session, work func(context.Context, *client.Client) (T, error)) func() (T, error) {
	return func() (T, error) {
		inner, left, err := s.sessions.enter(ctx, used)
		if err != nil {
			var none T
			return none, err
		}
		defer left()
		return work(inner, used.client)
	}
}

// begin takes a slot and a session; the caller gives both back.
func (s *Store) begin(ctx context.Context) (*session, error) {
	if err := ctx.Err(); err != nil {
		return nil, &notStarted{err}
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, &notStarted{ctx.Err()}
	case <-s.life.Done():
		return nil, &notStarted{errClosed}
	}
	used, err := s.sessions.acquire(ctx)
	if err != nil {
		<-s.slots
		return nil, &notStarted{err}
	}
	return used, nil
}

// within is ctx, ended early by Close.
func (s *Store) within(ctx context.Context) (context.Context, context.CancelFunc) {
	inner, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.life, func() { cancel(errClosed) })
	return inner, func() {
		stop()
		cancel(nil)
	}
}

type answer[T any] struct {
	value T
	err   error
}

// detach runs work in a goroutine that Close waits for, and waits for it no longer than ctx. after is
// called when work really ends, or at once if it can't begin. A panic comes back as an error.
func detach[T any](ctx context.Context, s *Store, after func(), work func() (T, error)) (T, error) {
	var none T
	answers := make(chan answer[T], 1)
	started := s.launch(func() {
		defer after()
		var a answer[T]
		a.err = recovered(func() (err error) {
			a.value, err = work()
			return err
		})
		answers <- a
	})
	if !started {
		after()
		return none, &notStarted{errClosed}
	}
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	select {
	case a := <-answers: // both were ready: what is known beats what is not
		return a.value, a.err
	default:
		return none, fmt.Errorf("%w: %w", errAbandoned, context.Cause(ctx))
	}
}
