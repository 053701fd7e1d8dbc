package esnode

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
)

const (
	// preface is what every HTTP/2 connection begins with and no HTTP/1.1 request does.
	preface = "PRI * HTTP/2.0"
	// maxConnections bounds the connections open at once; more are closed at once.
	maxConnections = 4096
	// tellWithin is how long a new connection may take to show what it speaks.
	tellWithin = 10 * time.Second
)

// mux shares one port between gRPC and HTTP/1.1 by looking at the first bytes of each connection, so
// that gRPC keeps grpc-go's own transport: through net/http's handler it is several times slower.
type mux struct {
	grpc    *grpc.Server
	http    *http.Server
	toGRPC  *handover
	toHTTP  *handover
	running sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	pending  map[net.Conn]struct{}
	closed   bool

	slots chan struct{} // one taken per open connection
}

func newMux(g *grpc.Server, h http.Handler, log *slog.Logger) *mux {
	return &mux{
		grpc: g,
		http: &http.Server{Handler: h, ReadHeaderTimeout: tellWithin, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
			IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
			ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)},
		toGRPC: newHandover(), toHTTP: newHandover(),
		pending: map[net.Conn]struct{}{}, slots: make(chan struct{}, maxConnections),
	}
}

// serve accepts until close.
func (m *mux) serve(l net.Listener) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		_ = l.Close()
		return
	}
	m.listener = l
	m.mu.Unlock()
	m.toGRPC.addr, m.toHTTP.addr = l.Addr(), l.Addr()
	m.running.Go(func() { _ = m.grpc.Serve(m.toGRPC) })
	m.running.Go(func() { _ = m.http.Serve(m.toHTTP) })
	delay := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err == nil {
			delay = 0
			select {
			case m.slots <- struct{}{}:
				m.running.Go(func() { m.dispatch(&slotted{Conn: conn, free: sync.OnceFunc(func() { <-m.slots })}) })
			default:
				_ = conn.Close()
			}
			continue
		}
		if errors.Is(err, net.ErrClosed) || m.isClosed() {
			return
		}
		// Out of descriptors or the like: wait instead of spinning.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		time.Sleep(delay)
	}
}

func (m *mux) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *mux) dispatch(conn net.Conn) {
	if !m.track(conn) {
		_ = conn.Close()
		return
	}
	head := make([]byte, 0, len(preface))
	_ = conn.SetReadDeadline(time.Now().Add(tellWithin))
	for len(head) < len(preface) && bytes.HasPrefix([]byte(preface), head) {
		n, err := conn.Read(head[len(head):cap(head)])
		head = head[:len(head)+n]
		if err != nil {
			m.untrack(conn)
			_ = conn.Close()
			return
		}
	}
	_ = conn.SetReadDeadline(time.Time{})
	m.untrack(conn)
	to := m.toHTTP
	if string(head) == preface {
		to = m.toGRPC
	}
	to.give(&prefixed{Conn: conn, head: head})
}

func (m *mux) track(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.pending[conn] = struct{}{}
	}
	return !m.closed
}

func (m *mux) untrack(conn net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pending, conn)
}

// close stops accepting; connections handed over live on.
func (m *mux) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.listener != nil {
		_ = m.listener.Close()
	}
	for conn := range m.pending {
		_ = conn.Close()
	}
}

// wait cuts HTTP/1.1 and waits for everything started here.
func (m *mux) wait() {
	_ = m.http.Close()
	_ = m.toGRPC.Close()
	_ = m.toHTTP.Close()
	m.running.Wait()
}

// slotted is a connection that gives its slot back when it is closed.
type slotted struct {
	net.Conn
	free func()
}

func (c *slotted) Close() error {
	defer c.free()
	return c.Conn.Close()
}

// prefixed is a connection whose first bytes were read already.
type prefixed struct {
	net.Conn
	head []byte
}

func (c *prefixed) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// handover is a listener of connections that somebody else accepted.
type handover struct {
	addr  net.Addr
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (h *handover) give(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.done:
		_ = conn.Close()
	}
}

// Accept implements net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, io.EOF
	}
}

// Close implements net.Listener.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.done) })
	return nil
}

// Addr implements net.Listener.
func (h *handover) Addr() net.Addr { return h.addr }
