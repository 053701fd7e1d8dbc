package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Timeouts of connections.
const (
	headerTimeout = 5 * time.Second   // for the head of a request
	bodyTimeout   = 15 * time.Second  // for the body, and for each line of an import
	idleTimeout   = 120 * time.Second // between requests
	writeTimeout  = 30 * time.Second  // for an answer, once the work is done
	pieceTimeout  = 10 * time.Second  // for a reader to take the next part of a large answer
	maxHeader     = 64 << 10
)

// Server serves the API. New makes it, Start launches it, Stop drains it and waits.
type Server struct {
	options  Options
	log      *slog.Logger
	document *document
	screens  map[string]readmodels.Screen
	keeper   *keeper
	limiter  *limiter
	gates    map[string]*gate
	waits    *turns
	imports  *turns
	budget   *budget
	conns    *connections
	breaker  *gobreaker.CircuitBreaker[any]
	tripped  chan struct{} // tells watchBreaker that it opened
	proxies  []netip.Prefix
	crossing *http.CrossOriginProtection
	streams  *streamBook
	asking   singleflight.Group // for readiness

	handler  http.Handler
	http     *http.Server
	life     context.Context // ends live streams and imports
	end      context.CancelFunc
	stopping atomic.Bool
	refusals refusals
	failed   chan error
	serving  sync.WaitGroup
}

// New makes a server. It reads the keys and checks the routes against the document; it does not listen.
func New(options Options) (*Server, error) {
	o := options.withDefaults()
	document, err := theDocument()
	if err != nil {
		return nil, err
	}
	s := &Server{options: o, log: o.Logger, refusals: refusals{log: o.Logger}, document: document, failed: make(chan error, 1), screens: map[string]readmodels.Screen{}}
	s.life, s.end = context.WithCancel(context.Background()) // its end is Stop; nobody's request starts it
	if err := s.prepare(); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func (s *Server) prepare() (err error) {
	o := s.options
	for _, screen := range o.Screens {
		s.screens[screen.Operation] = screen
	}
	if s.keeper, err = newKeeper(s.life, o); err != nil {
		return err
	}
	for _, text := range o.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return fmt.Errorf("TRUSTED_PROXIES: %w", err)
		}
		s.proxies = append(s.proxies, prefix)
	}
	s.crossing = http.NewCrossOriginProtection()
	for _, origin := range o.CORSOrigins {
		if err := errors.Join(checkOrigin(origin), s.crossing.AddTrustedOrigin(origin)); err != nil {
			return err
		}
	}
	s.limiter = newLimiter(o.RateLimit, o.RateBurst, o.Now)
	s.gates = map[string]*gate{
		classCommand: newGate(classCommand, o.Limits.Commands, o.Limits, o.Hooks),
		classQuery:   newGate(classQuery, o.Limits.Queries, o.Limits, o.Hooks),
		classBody:    newGate(classBody, largeAtOnce, o.Limits, o.Hooks),
	}
	s.waits = newTurns(newGate(classWait, o.Limits.Waits, o.Limits, o.Hooks))
	s.imports = newTurns(newGate(classImport, o.Limits.Imports, o.Limits, o.Hooks))
	s.budget = newBudget(o.Limits.Bodies)
	s.streams = newStreamBook(o.Limits, o.Hooks)
	s.tripped = make(chan struct{}, 1)
	s.breaker = newBreaker(o, s.tripped)
	s.conns = newConnections(o.Limits.Connections, spareConnections(o.Limits.Connections), o.settled, o.Hooks)
	router, err := s.routes()
	if err != nil {
		return err
	}
	s.handler = router
	if o.Wrap != nil {
		s.handler = o.Wrap(router)
	}
	s.http = &http.Server{
		Handler: s.handler, ReadHeaderTimeout: o.headerTimeout, IdleTimeout: o.idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return s.life },

		DisableGeneralOptionsHandler: true, // OPTIONS * is no path of ours
		// One request a connection at a time, so that every bound on requests also bounds what connections can ask for.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	s.conns.watch(s.http)
	return nil
}

// routes registers every operation of the document with its handler, and the document itself.
func (s *Server) routes() (*echo.Echo, error) {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = s.handleError
	e.IPExtractor = s.clientIP
	e.Use(s.begin, s.secure, s.origins)
	handlers := s.handlers()
	if err := s.document.check(handlers); err != nil {
		return nil, err
	}
	for _, o := range s.document.operations {
		serve := s.serve(o, handlers[o.id])
		e.Add(o.method, o.path, serve)
		if o.method == http.MethodGet {
			e.Add(http.MethodHead, o.path, serve)
		}
	}
	s.pages(e)
	return e, nil
}

// UnderWay tells how many requests of each class of work are being worked on, and how many wait to be.
func (s *Server) UnderWay() map[string][2]int {
	classes := make(map[string][2]int, len(s.gates))
	for class, g := range s.gates {
		classes[class] = [2]int{len(g.slots), int(g.waiting.Load())}
	}
	return classes
}

// Operations lists the ids of everything that the API can be asked.
func (s *Server) Operations() []string {
	ids := make([]string, len(s.document.operations))
	for i, o := range s.document.operations {
		ids[i] = o.id
	}
	return ids
}

// Handler is the whole API without a listener, for tests and for other listeners.
func (s *Server) Handler() http.Handler { return s.handler }

// Start serves a listener until Stop. It refuses one that others can reach while there are no keys.
func (s *Server) Start(listener net.Listener) error {
	addr := listener.Addr().String()
	if err := s.options.Validate(addr); err != nil {
		return err
	}
	s.serving.Go(s.watchBreaker)
	s.serving.Go(func() {
		if err := s.http.Serve(unread{listener, s}); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve the API on %s: %w", addr, err)
		}
	})
	return nil
}

// Failed tells when serving ended by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Stop takes no more requests, ends live streams, waits for what is under way, at most until ctx ends,
// and then breaks off the rest. It may be called more than once.
func (s *Server) Stop(ctx context.Context) error {
	s.stopping.Store(true)
	s.streams.close() // Shutdown would wait for them
	err := s.http.Shutdown(ctx)
	s.end()
	if err != nil {
		err = errors.Join(fmt.Errorf("drain the API: %w", err), s.http.Close())
	}
	s.serving.Wait()
	return err
}
