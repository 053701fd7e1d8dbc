package httpapi

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many connections a server has open. A listener that just stops accepting would
// leave newcomers, health checks among them, in the kernel's queue without a word to them or to operators.
// Instead, once all places are taken,
//   - a newcomer gets the place of the connection that has idled longest: it is between two requests, and its
//     client is ready to find it closed, as after the idle timeout. Those who are served never lose theirs;
//   - where none has idled for a moment, a newcomer gets one of a few spare places, from which whoever needs no
//     role is served (health checks are) and everybody else hears "overloaded" and when to come back;
//   - where these are taken too, it is closed at once.
type connections struct {
	places, spare int
	settled       time.Duration // how long a connection must have idled to lose its place
	hooks         Hooks

	mu            sync.Mutex
	seats         map[net.Conn]*seat
	idle          *list.List // of *seat with a place; the one that has idled longest in front
	placed, extra int        // seats with a place, and with a spare one
}

// seat is one connection.
type seat struct {
	of    *connections
	conn  net.Conn
	extra bool          // it has a spare place; changed by its own requests only
	idle  *list.Element // nil: it is being served, or has asked nothing yet
	since time.Time     // it idles
}

const (
	maxConnections = 8192
	// settledAfter keeps clients that ask in quick succession from taking each other's places in turn.
	settledAfter = time.Second
)

// spareConnections is how many may be told that there is no place for them at a time.
func spareConnections(places int) int { return max(1, places/32) }

// BoundConnections lets a server have at most so many connections open: an idle one makes room for a newcomer, and
// where none does the newcomer is closed. It sets ConnContext and ConnState. Of the hooks it calls Connections and Shed.
func BoundConnections(server *http.Server, places int, hooks Hooks) {
	newConnections(places, 0, settledAfter, hooks.filled()).watch(server)
}

func newConnections(places, spare int, settled time.Duration, hooks Hooks) *connections {
	return &connections{places: places, spare: spare, settled: settled, hooks: hooks, seats: map[net.Conn]*seat{}, idle: list.New()}
}

type seatKey struct{}

// watch has the server tell of its connections.
func (c *connections) watch(server *http.Server) {
	server.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, seatKey{}, c.enter(conn))
	}
	server.ConnState = c.changed
}

// enter finds a place for a connection that was just accepted, or closes it.
func (c *connections) enter(conn net.Conn) *seat {
	s := &seat{of: c, conn: conn}
	c.mu.Lock()
	left, ok := c.place()
	if !ok && c.extra < c.spare {
		ok, s.extra = true, true
		c.extra++
	}
	if ok {
		c.seats[conn] = s
		c.hooks.Connections(+1)
	}
	c.mu.Unlock()
	cut(left)
	if !ok {
		c.hooks.Shed(classConnection, "connections")
		cut(conn)
	}
	return s
}

// place takes a place; left is the connection that has to go for it, if any.
func (c *connections) place() (left net.Conn, ok bool) {
	if c.placed < c.places {
		c.placed++
		return nil, true
	}
	longest := c.idle.Front()
	if longest == nil {
		return nil, false
	}
	other, _ := longest.Value.(*seat)
	if time.Since(other.since) < c.settled {
		return nil, false
	}
	c.leave(other)
	c.placed++
	return other.conn, true
}

// leave takes a connection off the books.
func (c *connections) leave(s *seat) {
	if s.idle != nil {
		c.idle.Remove(s.idle)
		s.idle = nil
	}
	if s.extra {
		c.extra--
	} else {
		c.placed--
	}
	delete(c.seats, s.conn)
	c.hooks.Connections(-1)
}

// changed is http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.seats[conn]
	if !ok { // it was closed to make room, or never had any
		return
	}
	switch state {
	case http.StateActive:
		if s.idle != nil {
			c.idle.Remove(s.idle)
			s.idle = nil
		}
	case http.StateIdle:
		if !s.extra {
			s.since = time.Now()
			s.idle = c.idle.PushBack(s)
		}
	case http.StateClosed, http.StateHijacked:
		c.leave(s)
	case http.StateNew:
	}
}

// crowded says whether a request came over a connection that has a spare place only, and finds none better now.
func crowded(ctx context.Context) bool {
	s, ok := ctx.Value(seatKey{}).(*seat)
	if !ok || !s.extra {
		return false
	}
	c := s.of
	c.mu.Lock()
	var left net.Conn
	if c.seats[s.conn] == s {
		var found bool
		if left, found = c.place(); found {
			s.extra = false
			c.extra--
		}
	}
	c.mu.Unlock()
	cut(left)
	return s.extra
}

// cut closes a connection, below TLS: its farewell could keep everybody waiting.
func cut(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if conn != nil {
		_ = conn.Close() // whoever reads from it notices
	}
}
