package esdb

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between a Store and a node, to break what is between them.
type proxy struct {
	*testing.T
	target   string
	listener net.Listener
	address  string
	mu       sync.Mutex
	flows    *sync.Cond // mute changed
	mute     bool
	conns    map[net.Conn]bool
	running  sync.WaitGroup
}

func startProxy(t *testing.T, target string) *proxy {
	t.Helper()
	p := &proxy{T: t, target: target, address: "127.0.0.1:0", conns: make(map[net.Conn]bool)}
	p.flows = sync.NewCond(&p.mu)
	p.open()
	t.Cleanup(func() {
		p.silence(false)
		p.cut()
		p.running.Wait()
	})
	return p
}

// open listens again after cut.
func (p *proxy) open() {
	p.Helper()
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		p.Fatal(err)
	}
	p.listener, p.address = listener, listener.Addr().String()
	p.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.running.Go(func() { p.join(conn) })
		}
	})
}

// cut closes every connection and the port: connecting is refused until open.
func (p *proxy) cut() {
	_ = p.listener.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for conn := range p.conns {
		_ = conn.Close()
	}
}

// silence holds every byte back, also of new connections, until it is lifted; what was held back then
// arrives after all.
func (p *proxy) silence(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mute = on
	p.flows.Broadcast()
}

func (p *proxy) join(near net.Conn) {
	far, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = near.Close()
		return
	}
	p.mu.Lock()
	p.conns[near], p.conns[far] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.copy(far, near) })
	both.Go(func() { p.copy(near, far) })
	both.Wait()
	p.mu.Lock()
	delete(p.conns, near)
	delete(p.conns, far)
	p.mu.Unlock()
}

func (p *proxy) copy(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it may be closed already
	defer from.Close() //nolint:errcheck // it may be closed already
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		p.mu.Lock()
		for p.mute {
			p.flows.Wait()
		}
		p.mu.Unlock()
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
