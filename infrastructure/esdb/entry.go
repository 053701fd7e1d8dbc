package esdb

import (
	"context"
	"fmt"
	"sync"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
)

// When a call fails because the server is gone, the client marks its connection as lost, and the next
// call makes it look for the server again. It never closes the connection that it had before, so every
// outage would leave one behind. Here the session is retired before the client gets that far:
//
//   - The client reports the failure to its logger before it marks the connection, in the goroutine of
//     the failed call. listen retires the session at that moment, so that nobody enters it any more,
//   - and waits for those who are about to take the connection. An entry tells when they have it: the
//     client asks for its context's deadline right after.
//
// Should another version of the client do these things in another order, what is lost is only this care.

// entry is a call's context, which notices when the client has got its connection.
type entry struct {
	context.Context
	once    sync.Once
	entered func()
}

// Deadline implements context.Context.
func (e *entry) Deadline() (time.Time, bool) {
	e.once.Do(e.entered)
	return e.Context.Deadline()
}

// enter begins a call on a session: the call uses the given context and is over with left.
func (s *sessions) enter(ctx context.Context, used *session) (inner context.Context, left func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if used.retired {
		return nil, nil, &notStarted{errRetired}
	}
	used.inside++
	used.entering++
	e := &entry{Context: ctx, entered: func() { s.change(used, func() { used.entering-- }) }}
	return e, func() {
		e.once.Do(e.entered)
		s.leave(used)
	}, nil
}

// listen is the logger of a session's client. What the client says is for the curious; what matters is
// said by the Store.
func (s *sessions) listen(of *session) client.LoggingFunc {
	return func(level client.LogLevel, format string, args ...any) {
		s.log.Debug("event store client", "said", fmt.Sprintf(format, args...), "client_level", level)
		if level != client.LogError {
			return
		}
		for _, arg := range args {
			if err, ok := arg.(error); ok && grpcCode(err) == codes.Unavailable {
				s.retire(of, err)
				s.awaitEntries(of)
			}
		}
	}
}

// awaitEntries waits until nobody is between entering the client and having a connection: that takes
// microseconds, unless the client behaves in another way than it is known to.
func (s *sessions) awaitEntries(of *session) {
	limit := time.NewTimer(50 * time.Millisecond)
	defer limit.Stop()
	tick := time.NewTicker(100 * time.Microsecond)
	defer tick.Stop()
	for {
		s.mu.Lock()
		entering := of.entering
		s.mu.Unlock()
		if entering == 0 {
			return
		}
		select {
		case <-limit.C:
			return
		case <-tick.C:
		}
	}
}
