package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Options are what a Server needs. Commands, Screens, Reader, Models and Groups must be set; zero in
// any other field means its default.
type Options struct {
	Commands  Commands            // carries out commands: *application.Service
	Screens   []readmodels.Screen // readmodels.Screens()
	Reader    *readmodels.Reader  // handed to screens
	Feed      Feed                // tells changes to live streams; nil: the Reader
	Models    Models              // administers read models
	Groups    application.Groups  // administers consumer groups
	Following []Follower          // the groups that are ours, for a reset to know their prefixes

	Auth Auth // none: callers are operators, and the server must listen on loopback only

	RateLimit      float64       // requests per principal and second; default 100; negative: off
	RateBurst      int           // default 4 × RateLimit
	RequestTimeout time.Duration // longest a command or the work behind a query may take; default 10 s
	Limits         Limits
	TrustedProxies []string // CIDRs of proxies whose X-Forwarded-For is believed
	CORSOrigins    []string // exact origins that browsers may call from; none: closed
	LowStock       int64    // available pieces below which stock is low; default 10

	Metrics http.Handler                      // GET /metrics; nil: 404
	Console http.Handler                      // GET /console; nil: none
	Ready   func(ctx context.Context) []Check // readiness, a line per dependency and read model; nil: always ready
	Probe   func(ctx context.Context) error   // asks the event store for nothing; nil: only commands find out that it is back
	Wrap    func(http.Handler) http.Handler   // put around everything, for tracing; nil: nothing
	Trace   func(ctx context.Context) string  // traceparent of the request's span; nil: the request's header
	Hooks   Hooks
	Logger  *slog.Logger     // default: silent
	Now     func() time.Time // default time.Now

	headerTimeout, bodyTimeout, pieceTimeout, idleTimeout, settled time.Duration // tests can't wait for the defaults
}

// Follower names a consumer group of ours with the stream prefixes that it takes.
type Follower struct {
	Group    string
	Prefixes []string
}

// Check is one line of the readiness report.
type Check struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`             // "dependency", "readmodel" or "process"
	Status string `json:"status"`           // "ok", "degraded" or "failed"; one that failed makes the whole not ready
	Detail string `json:"detail,omitempty"` // for operators
}

// Auth says how callers prove who they are. JWKS and HS256SecretFile may both be set.
type Auth struct {
	JWKS            string // file or http(s) URL of a JSON Web Key Set: RS256, ES256, EdDSA
	HS256SecretFile string // file with a shared secret, for development
	Issuer          string // tokens must name it; empty: not checked
	Audience        string // tokens must name it; empty: not checked
}

// Enabled says whether callers must prove who they are.
func (a Auth) Enabled() bool { return a.JWKS != "" || a.HS256SecretFile != "" }

// Limits bound what is under way at once, by class of work; what exceeds them waits briefly in a
// bounded queue and is then refused.
type Limits struct {
	Commands  int           // default 64
	Queries   int           // default 64
	Waits     int           // queries that wait for a tidemark; default 256
	Imports   int           // default 4
	Streams   int           // live streams; default 512
	PerClient int           // live streams of one principal; default 16
	Queue     int           // waiting for a slot, per class; default 12 × its slots
	QueueWait time.Duration // longest wait for a slot; who would wait longer is refused at once; default 400 ms
	Bodies    int64         // bytes of the bodies of all requests and of large answers being sent that are held at once, of one caller's a quarter; bodies that exceed it are refused at once; default 64 MiB

	Connections int // that are open; idle ones make room for new ones; default 8192
}

// Hooks are called as things happen, from many goroutines; they must be quick. Nil ones are left out.
type Hooks struct {
	// Served: a request was answered, after elapsed; a live stream when it began. Operation is "" for unknown routes.
	Served func(operation, method string, status int, elapsed time.Duration)
	// Shed: a request was refused before any work: class of work, and why (queue, rate, bodies, connections, breaker, stopping).
	Shed func(class, reason string)
	// Denied: somebody was refused for who they are: operation, code (unauthenticated, forbidden).
	Denied func(operation, code string)
	// Stream: live streams opened (+1) or ended (-1), and why they ended.
	Stream func(change int, why string)
	// Connections: so many were opened (+1) or closed (-1). Called one at a time.
	Connections func(change int)
	// Breaker: the circuit breaker of commands changed its state: closed, half-open, open.
	Breaker func(state string)
	// Panicked: a handler panicked; the request was answered with a plain 500.
	Panicked func(operation string)
}

// Validate says all that is wrong with the options for a server on addr ("host:port"), before anything listens.
func (o Options) Validate(addr string) error {
	var problems []error
	loopback := IsLoopback(addr)
	if !o.Auth.Enabled() && !loopback {
		problems = append(problems, fmt.Errorf("without keys (AUTH_JWKS or AUTH_HS256_SECRET_FILE) the API listens on loopback only, not on %s", addr))
	}
	if o.RateLimit < 0 && !loopback {
		problems = append(problems, errors.New("RATE_LIMIT=off is allowed on loopback only"))
	}
	return errors.Join(append(problems, o.Unreadable()...)...)
}

// Unreadable lists the settings whose values mean nothing, one error for each wrong value. It begins with
// the setting's name and "=". Files of keys are read; a URL of keys may come up later.
func (o Options) Unreadable() []error {
	var problems []error
	if o.Auth.HS256SecretFile != "" {
		if _, err := readSecret(o.Auth.HS256SecretFile); err != nil {
			problems = append(problems, err)
		}
	}
	if isURL(o.Auth.JWKS) {
		if err := checkKeysURL(o.Auth.JWKS); err != nil {
			problems = append(problems, err)
		}
	} else if o.Auth.JWKS != "" {
		if _, err := readKeys(o.Auth.JWKS); err != nil {
			problems = append(problems, err)
		}
	}
	for name, value := range map[string]string{"AUTH_ISSUER": o.Auth.Issuer, "AUTH_AUDIENCE": o.Auth.Audience} {
		if value != "" && !o.Auth.Enabled() {
			problems = append(problems, fmt.Errorf("%s=%q needs AUTH_JWKS or AUTH_HS256_SECRET_FILE", name, value))
		}
	}
	for _, p := range o.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			problems = append(problems, fmt.Errorf("TRUSTED_PROXIES=%q is no CIDR such as 10.0.0.0/8", p))
		}
	}
	for _, origin := range o.CORSOrigins {
		if err := checkOrigin(origin); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

// IsLoopback says whether an address can be reached from this machine only. A host name other than
// localhost, or none, counts as reachable from anywhere.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (o Options) withDefaults() Options {
	o.RateLimit = cmp.Or(o.RateLimit, 100)
	o.RateBurst = cmp.Or(o.RateBurst, int(max(1, 4*o.RateLimit)))
	o.RequestTimeout = cmp.Or(o.RequestTimeout, 10*time.Second)
	o.headerTimeout = cmp.Or(o.headerTimeout, headerTimeout)
	o.bodyTimeout = cmp.Or(o.bodyTimeout, bodyTimeout)
	o.pieceTimeout = cmp.Or(o.pieceTimeout, pieceTimeout)
	o.idleTimeout = cmp.Or(o.idleTimeout, idleTimeout)
	o.LowStock = cmp.Or(o.LowStock, 10)
	o.Limits.Commands = cmp.Or(o.Limits.Commands, 64)
	o.Limits.Queries = cmp.Or(o.Limits.Queries, 64)
	o.Limits.Waits = cmp.Or(o.Limits.Waits, 256)
	o.Limits.Imports = cmp.Or(o.Limits.Imports, 4)
	o.Limits.Streams = cmp.Or(o.Limits.Streams, 512)
	o.Limits.PerClient = cmp.Or(o.Limits.PerClient, 16)
	o.Limits.QueueWait = cmp.Or(o.Limits.QueueWait, 400*time.Millisecond)
	o.Limits.Bodies = cmp.Or(o.Limits.Bodies, 64<<20)
	o.Limits.Connections = cmp.Or(o.Limits.Connections, maxConnections)
	o.settled = cmp.Or(o.settled, settledAfter)
	if o.Feed == nil && o.Reader != nil {
		o.Feed = readerFeed{o.Reader}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.Hooks = o.Hooks.filled()
	return o
}

func (h Hooks) filled() Hooks {
	if h.Served == nil {
		h.Served = func(string, string, int, time.Duration) {}
	}
	if h.Shed == nil {
		h.Shed = func(string, string) {}
	}
	if h.Denied == nil {
		h.Denied = func(string, string) {}
	}
	if h.Stream == nil {
		h.Stream = func(int, string) {}
	}
	if h.Connections == nil {
		h.Connections = func(int) {}
	}
	if h.Breaker == nil {
		h.Breaker = func(string) {}
	}
	if h.Panicked == nil {
		h.Panicked = func(string) {}
	}
	return h
}
