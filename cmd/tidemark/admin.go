package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// adminConnections bounds the admin listener; scrapers and people with a profiler are few.
const adminConnections = 64

// maxConnections bounds the public listener.
const maxConnections = 8192

// connectionsOf leaves half of the files that the process may have open to the stores, which can't do without.
func connectionsOf(files uint64) int { return int(max(16, min(maxConnections, files/2))) }

// openFiles is how many files the process may have open. Go has raised that to what the system allows.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 2 * maxConnections
	}
	return limit.Cur
}

// startAdmin serves metrics, profiles and health checks on their own listener, if one is set. A worker has no other.
func (a *app) startAdmin() error {
	if a.config.AdminAddr == "" {
		return nil
	}
	admin, err := openAdmin(a.config.AdminAddr, a.metrics, func(mux *http.ServeMux) { httpapi.Probes(mux, a.ready) })
	if err != nil {
		return err
	}
	a.adminURL = admin.url
	a.onStop("admin listener", func(context.Context) error { return admin.server.Close() }) // nobody waits for the end of a profile
	a.background(func(context.Context) {
		if err := admin.serve(); err != nil {
			a.fail(err)
		}
	})
	return nil
}

// admin is the listener for metrics and profiles.
type admin struct {
	server   *http.Server
	listener net.Listener
	url      string
	failed   chan error
}

func openAdmin(addr string, metrics *telemetry.Metrics, more func(*http.ServeMux)) (*admin, error) {
	listener, err := listen(addr, "TIDEMARK_ADMIN_ADDR")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	more(mux)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	httpapi.BoundConnections(server, adminConnections, httpapi.Hooks{
		Shed: func(_, reason string) { metrics.Shed(reason) }, Connections: metrics.Connections("admin", adminConnections),
	})
	return &admin{server, listener, "http://" + reachable(listener.Addr()), make(chan error, 1)}, nil
}

// serve returns when the listener is shut down, with an error if it ended by itself.
func (a *admin) serve() error {
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the admin listener ended: %w", err)
	}
	return nil
}

// nodeAdmin serves what can be told of a node that runs alone; where no listener is set it is one that does nothing.
func (p *program) nodeAdmin(data *dataDir, log *eventlog.Log) (*admin, error) {
	if p.config.AdminAddr == "" {
		return &admin{server: &http.Server{ReadHeaderTimeout: time.Second}}, nil
	}
	metrics := telemetry.NewNodeMetrics()
	metrics.Engine(engineState(log))
	metrics.DataDir(data.path, dataFiles)
	admin, err := openAdmin(p.config.AdminAddr, metrics, func(*http.ServeMux) {}) // its health is told on its own listener
	if err != nil {
		return nil, err
	}
	go func() { // ends with the server
		if err := admin.serve(); err != nil {
			admin.failed <- err
		}
	}()
	return admin, nil
}

// certificate is a key pair that is read again when its files change.
type certificate struct {
	certFile, keyFile string

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time // when the newer of the two files changed
	checked time.Time
}

// withTLS wraps a listener. Renewed certificates are taken up without a restart; while new files can't be
// read the old pair goes on serving.
func withTLS(listener net.Listener, certFile, keyFile string) (net.Listener, *certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if _, err := c.current(nil); err != nil {
		return nil, nil, fmt.Errorf("TIDEMARK_TLS_CERT_FILE=%s can't be used: %w", certFile, err)
	}
	return tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.current, NextProtos: []string{"http/1.1"}}), c, nil
}

// ends is when the certificate that callers are shown ends; zero if it can't be told.
func (c *certificate) ends() time.Time {
	pair, err := c.current(nil)
	if err != nil || pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}

// current gives the pair, looking at the files at most once a second.
func (c *certificate) current(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair != nil && time.Since(c.checked) < time.Second {
		return c.pair, nil
	}
	c.checked = time.Now()
	changed, err := newest(c.certFile, c.keyFile)
	if err == nil && (c.pair == nil || !changed.Equal(c.changed)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(c.certFile, c.keyFile); err == nil {
			c.pair, c.changed = &pair, changed
		}
	}
	if c.pair == nil {
		return nil, err
	}
	return c.pair, nil
}

func newest(files ...string) (at time.Time, err error) {
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return time.Time{}, err
		}
		if info.ModTime().After(at) {
			at = info.ModTime()
		}
	}
	return at, nil
}
