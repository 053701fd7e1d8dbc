package httpapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// unread answers requests that net/http refuses itself, because it can't read them: no handler sees those, and
// what it writes is plain text on the bare connection. Here they leave as problems like any other failure, and
// are logged and counted.
type unread struct {
	net.Listener
	server *Server
}

func (l unread) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	w := wire{Conn: conn, server: l.server}
	if secure, ok := conn.(*tls.Conn); ok {
		return &secureWire{wire: w, secure: secure}, nil
	}
	return &w, nil
}

// wire is a connection that looks at what is written for net/http's own refusals.
type wire struct {
	net.Conn
	server *Server
}

func (w *wire) Write(b []byte) (int, error) {
	code, ok := unreadCode(b)
	if !ok {
		return w.Conn.Write(b)
	}
	if _, err := w.Conn.Write(w.server.refuseUnread(code, w.RemoteAddr())); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite lets net/http end an answer without losing it to bytes that were not read.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

// secureWire is a wire under TLS. Hidden in it, net/http can't see the TLS connection and shakes no hands; it asks
// for the state before it reads, so that is done there.
type secureWire struct {
	wire
	secure *tls.Conn
}

// ConnectionState is that of the connection after the handshake. One that fails, fails the first read too.
func (w *secureWire) ConnectionState() tls.ConnectionState {
	ctx, cancel := context.WithTimeout(w.server.life, w.server.options.headerTimeout)
	defer cancel()
	if err := w.secure.HandshakeContext(ctx); err != nil {
		w.server.log.Debug("a TLS handshake failed", "ip", hostOnly(w.RemoteAddr().String()), "error", err)
		if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && plainHTTP(plain.RecordHeader) {
			_ = plain.Conn.SetWriteDeadline(time.Now().Add(w.server.options.headerTimeout))
			_, _ = plain.Conn.Write(w.server.refuseUnread("tls_required", w.RemoteAddr())) // it may have gone
		}
	}
	return w.secure.ConnectionState()
}

// NetConn is the connection below TLS.
func (w *secureWire) NetConn() net.Conn { return w.secure.NetConn() }

// plainHTTP says whether what came in place of a TLS record looks like a request without TLS.
func plainHTTP(begin [5]byte) bool {
	switch string(begin[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "PATCH", "DELET", "OPTIO":
		return true
	}
	return false
}

// plainRefusal is what follows the status line of everything that net/http refuses by itself before there is a
// request. No answer of a handler begins so: those have a Date.
const plainRefusal = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// unreadCodes are the problems for the statuses of such refusals.
var unreadCodes = map[string]string{
	"400": "malformed_request", "431": "headers_too_large", "501": "transfer_coding_unsupported", "505": "http_version_unsupported",
}

// unreadCode tells the code for an answer if it is one of net/http's own. An expectation that it does not know it
// refuses through its usual path; no operation answers 417.
func unreadCode(answer []byte) (code string, ok bool) {
	line, rest, _ := bytes.Cut(answer, []byte("\r\n"))
	const version = "HTTP/1.1 "
	if len(line) < len(version)+3 || string(line[:len(version)]) != version {
		return "", false
	}
	status := string(line[len(version) : len(version)+3])
	if status == "417" {
		return "expectation_failed", true
	}
	if !bytes.HasPrefix(rest, []byte(plainRefusal[2:])) {
		return "", false
	}
	code, ok = unreadCodes[status]
	return code, ok
}

// refuseUnread makes the whole answer, and leaves its traces in log and metrics.
func (s *Server) refuseUnread(code string, from net.Addr) []byte {
	p := problem(code, "")
	p.RequestID = newID()
	now := s.options.Now()
	s.options.Hooks.Served("", "", p.Status, 0)
	if s.refusals.tell(now) {
		s.log.Info("a request could not be read", "status", p.Status, "code", code, "request_id", p.RequestID, "ip", hostOnly(from.String()))
	}
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		body = []byte(`{}`)
	}
	body = append(body, '\n')
	h := http.Header{}
	h.Set("Content-Type", problemType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Connection", "close")
	h.Set("Cache-Control", "no-store")
	h.Set("Date", now.UTC().Format(http.TimeFormat))
	h.Set("X-Request-Id", p.RequestID)
	h.Set("X-Correlation-Id", p.RequestID)
	setSecurity(h)
	var answer bytes.Buffer
	fmt.Fprintf(&answer, "HTTP/1.1 %d %s\r\n", p.Status, http.StatusText(p.Status))
	_ = h.Write(&answer) // a buffer takes everything
	answer.WriteString("\r\n")
	answer.Write(body)
	return answer.Bytes()
}
