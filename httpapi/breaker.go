package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidemark-dev/tidemark/domain"
)

// When commands are refused without asking the event store, and when it is asked again.
const (
	tripAfter = 5           // commands in a row that it left without an answer
	openFor   = time.Second // then one call tries

	quietFor    = 5 * time.Second // without a command that tries, the store is asked for nothing
	probeWithin = 2 * time.Second
)

// newBreaker guards the event store from callers, and callers from waiting for it, while it can't be
// reached or stays silent. Only that opens it, and only what the store has said closes it: a command that
// was refused for its content, or that ran out of time, may never have got that far.
func newBreaker(o Options, tripped chan<- struct{}) *gobreaker.CircuitBreaker[any] {
	return gobreaker.NewCircuitBreaker[any](gobreaker.Settings{
		Name: "event store", MaxRequests: 1, Timeout: openFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= tripAfter },
		IsSuccessful: func(err error) bool { return !unanswered(err) },
		IsExcluded: func(err error) bool { // says nothing about the store
			_, gone := errors.AsType[leftError](err)
			return gone || !unanswered(err) && !heard(err)
		},
		OnStateChange: func(_ string, from, to gobreaker.State) {
			o.Hooks.Breaker(to.String())
			level := slog.LevelDebug // it tries once a second, which is told by how it began and ends
			if from == gobreaker.StateClosed || to == gobreaker.StateClosed {
				level = slog.LevelWarn
			}
			o.Logger.Log(context.Background(), level, "the circuit breaker of commands changed", "from", from.String(), "to", to.String())
			if to == gobreaker.StateOpen {
				select {
				case tripped <- struct{}{}:
				default:
				}
			}
		},
	})
}

// watchBreaker asks the event store itself when the breaker is open and no command has tried for a while, so that
// it closes though nobody sends one. Where commands come they decide: the store may answer and yet write nothing.
// It ends when the server stops.
func (s *Server) watchBreaker() {
	if s.options.Probe == nil {
		return
	}
	quiet := time.NewTimer(quietFor)
	defer quiet.Stop()
	for {
		select {
		case <-s.tripped: // anew after each try that failed
			quiet.Reset(quietFor)
			continue
		case <-s.life.Done():
			return
		case <-quiet.C:
		}
		if s.breaker.State() == gobreaker.StateClosed {
			continue
		}
		_, _ = s.breaker.Execute(func() (any, error) { // its outcome is the breaker's to heed
			ctx, cancel := context.WithTimeout(s.life, probeWithin)
			defer cancel()
			return nil, s.options.Probe(ctx)
		})
		quiet.Reset(quietFor)
	}
}

// unanswered says that the store could not be reached, or took a change and said nothing.
func unanswered(err error) bool {
	return err != nil && (domain.CodeOf(err) == "event_store_unavailable" || domain.KindOf(err) == domain.KindUnknown)
}

// heard says that nobody but the store can have told what became of a command: it was done, or refused for
// what is there.
func heard(err error) bool {
	if err == nil {
		return true
	}
	switch domain.KindOf(err) {
	case domain.KindNotFound, domain.KindRefused, domain.KindConflict, domain.KindMismatch, domain.KindUndecodable:
		return true
	}
	return false
}

// leftError is the failure of a command whose caller did not wait for its end.
type leftError struct{ error }

func (e leftError) Unwrap() error { return e.error }

// guard runs work under the request's ctx unless the breaker is open.
func guard[T any](ctx context.Context, s *Server, work func() (T, error)) (T, error) {
	done, err := s.breaker.Execute(func() (any, error) {
		result, err := work()
		if err != nil && errors.Is(ctx.Err(), context.Canceled) {
			err = leftError{err}
		}
		return result, err
	})
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		var none T
		s.options.Hooks.Shed(classCommand, "breaker")
		return none, fail("event_store_unavailable", "The event store can't be reached; nothing was done.")
	}
	result, _ := done.(T)
	return result, err
}
