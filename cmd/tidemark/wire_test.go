package main

import (
	"net"
	"sync"
	"testing"
	"time"
)

// wire is a connection to an event store with which much can be wrong.
type wire struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	heals *sync.Cond // mute has ended
	cut   bool
	mute  bool          // nothing passes for now, also on new connections
	deaf  bool          // connections that are made now never pass anything
	slow  time.Duration // how much later everything arrives
	conns map[net.Conn]*lane
}

// lane is one connection through the wire.
type lane struct {
	near, far net.Conn
	dead      bool // it stays open, but nothing passes any more
}

// newWire listens on a free port and passes everything on to target.
func newWire(t *testing.T, target string) *wire {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, target: target, conns: map[net.Conn]*lane{}}
	w.heals = sync.NewCond(&w.mu)
	go w.serve()
	t.Cleanup(func() { listener.Close(); w.sever(true) })
	return w
}

func (w *wire) serve() {
	for {
		near, err := w.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", w.target)
		if err != nil {
			near.Close()
			continue
		}
		l := &lane{near: near, far: far}
		if !w.keep(l) {
			near.Close()
			far.Close()
			continue
		}
		go w.pass(l, near, far)
		go w.pass(l, far, near)
	}
}

func (w *wire) keep(l *lane) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return false
	}
	l.dead = w.deaf
	w.conns[l.near], w.conns[l.far] = l, l
	return true
}

// parcel is what arrived at one end, and when it may leave at the other.
type parcel struct {
	bytes []byte
	due   time.Time
}

func (w *wire) pass(l *lane, to, from net.Conn) {
	underway := make(chan parcel, 1024)
	go w.deliver(l, to, underway)
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		w.mu.Lock()
		slow := w.slow
		w.mu.Unlock()
		if n > 0 {
			underway <- parcel{buffer[:n], time.Now().Add(slow)}
		}
		if err != nil { // either end may go at any time
			break
		}
	}
	close(underway)
	from.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, from)
}

func (w *wire) deliver(l *lane, to net.Conn, underway <-chan parcel) {
	defer to.Close()
	for p := range underway {
		if wait := time.Until(p.due); wait > 0 {
			<-time.After(wait)
		}
		w.mu.Lock()
		for w.mute && !w.cut {
			w.heals.Wait()
		}
		dead := l.dead
		w.mu.Unlock()
		if dead {
			continue
		}
		if _, err := to.Write(p.bytes); err != nil {
			for range underway { // nobody takes it, but its sender must not wait
			}
			return
		}
	}
}

// sever cuts the wire, or mends it.
func (w *wire) sever(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	w.heals.Broadcast()
	if cut {
		for c := range w.conns {
			c.Close()
		}
	}
}

// stall holds everything back; what was held back passes after all once it ends.
func (w *wire) stall(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mute = on
	w.heals.Broadcast()
}

// lose makes all connections, and those made until it ends, half-open for good: no byte passes, no end
// is told. Later ones work.
func (w *wire) lose(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deaf = on
	for _, l := range w.conns {
		l.dead = true
	}
}

// delay makes everything arrive later.
func (w *wire) delay(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slow = by
}
