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
	"time"
)

// startAdmin serves metrics and profiles on their own listener, if one is set.
func (a *app) startAdmin() error {
	if a.config.AdminAddr == "" {
		return nil
	}
	listener, err := listen(a.config.AdminAddr, "TIDEMARK_ADMIN_ADDR")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	a.adminURL = "http://" + reachable(listener.Addr())
	a.onStop("admin listener", func(context.Context) error { return server.Close() }) // nobody waits for the end of a profile
	a.background(func(context.Context) {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.fail(fmt.Errorf("the admin listener ended: %w", err))
		}
	})
	return nil
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
func withTLS(listener net.Listener, certFile, keyFile string) (net.Listener, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if _, err := c.current(nil); err != nil {
		return nil, fmt.Errorf("TIDEMARK_TLS_CERT_FILE=%s can't be used: %w", certFile, err)
	}
	return tls.NewListener(listener, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.current, NextProtos: []string{"http/1.1"}}), nil
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
