package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
)

// request is what the edge knows about a request besides the request itself.
type request struct {
	id          string // X-Request-Id, or made
	correlation string // X-Correlation-Id, or the id
	trace       string // traceparent
	operation   string
	code        string // of the problem that answered it
	who         principal
	access      access
	began       time.Time
	held        share     // of the budget for bodies
	opened      time.Time // when it became a live stream; zero for others
	crowded     bool      // it came over a connection that has a spare place only
}

const requestKey = "tidemark"

func requestOf(c echo.Context) *request {
	if r, ok := c.Get(requestKey).(*request); ok {
		return r
	}
	r := &request{}
	c.Set(requestKey, r)
	return r
}

// handler serves one operation for a caller who was let in.
type handler func(c echo.Context, o operation, r *request) error

// begin gives every request its id, its deadlines, a line in the log, and keeps panics in.
func (s *Server) begin(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := &request{began: s.options.Now(), id: c.Request().Header.Get("X-Request-Id")}
		c.Set(requestKey, r)
		if !visible(r.id, 128) {
			r.id = newID()
		}
		r.correlation = c.Request().Header.Get("X-Correlation-Id")
		if !visible(r.correlation, 128) {
			r.correlation = r.id
		}
		r.trace = s.traceparent(c.Request())
		h := c.Response().Header()
		h.Set("X-Request-Id", r.id)
		h.Set("X-Correlation-Id", r.correlation)
		if r.crowded = crowded(c.Request().Context()); r.crowded {
			h.Set("Connection", "close")
		}
		control := http.NewResponseController(c.Response())
		if c.Request().ContentLength != 0 {
			_ = control.SetReadDeadline(time.Now().Add(s.options.bodyTimeout)) // not every writer has deadlines
		}
		_ = control.SetWriteDeadline(time.Now().Add(s.options.RequestTimeout + maxWait + writeTimeout))
		if err := s.guarded(next, c); err != nil {
			c.Error(err)
		}
		s.served(c, r)
		return nil
	}
}

// newID is a UUIDv7: ids sort by time in logs.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}

// guarded turns a panic into an error; its text stays in the log.
func (s *Server) guarded(next echo.HandlerFunc, c echo.Context) (err error) {
	defer func() {
		caught := recover()
		if caught == nil {
			return
		}
		if abort, ok := caught.(error); ok && errors.Is(abort, http.ErrAbortHandler) {
			panic(caught)
		}
		r := requestOf(c)
		s.options.Hooks.Panicked(r.operation)
		s.logOf(r).Error("a handler panicked", "operation", r.operation, "panic", caught, "stack", string(debug.Stack()))
		err = &domain.Error{Kind: domain.KindInternal, Code: "internal"}
	}()
	return next(c)
}

// served writes the line of a request in the log: ids always, bodies and secrets never.
func (s *Server) served(c echo.Context, r *request) {
	elapsed := s.options.Now().Sub(r.began)
	status := c.Response().Status
	answered := elapsed
	if !r.opened.IsZero() { // how long a reader stays is no time that it took to answer
		answered = r.opened.Sub(r.began)
	}
	s.options.Hooks.Served(r.operation, c.Request().Method, status, answered)
	if beforeWork(r.code) && !s.refusals.tell(s.options.Now()) {
		return
	}
	attrs := []any{"method", c.Request().Method, "path", c.Request().URL.EscapedPath(), "status", status, "duration_ms", float64(elapsed.Microseconds()) / 1000, "ip", c.RealIP()}
	if r.operation != "" {
		attrs = append(attrs, "operation", r.operation)
	}
	if r.who.subject != "" {
		attrs = append(attrs, "actor", r.who.subject)
	}
	if r.code != "" {
		attrs = append(attrs, "code", r.code)
	}
	s.logOf(r).Info("request", attrs...)
}

// logOf is the log for lines about a request: all of them carry its ids.
func (s *Server) logOf(r *request) *slog.Logger {
	attrs := []any{"request_id", r.id, "correlation_id", r.correlation}
	if _, trace, ok := splitTrace(r.trace); ok {
		attrs = append(attrs, "trace_id", trace)
	}
	return s.log.With(attrs...)
}

// traceparent is the W3C trace context that events carry: of the request's span where there is one.
func (s *Server) traceparent(r *http.Request) string {
	if s.options.Trace != nil {
		if trace := s.options.Trace(r.Context()); trace != "" {
			return trace
		}
	}
	trace := r.Header.Get("traceparent")
	if _, _, ok := splitTrace(trace); !ok {
		return ""
	}
	return trace
}

// splitTrace checks a traceparent of version 00 and takes it apart.
func splitTrace(text string) (version, trace string, ok bool) {
	parts := strings.Split(text, "-")
	if len(parts) != 4 || len(text) != 55 || parts[0] != "00" {
		return "", "", false
	}
	for i, length := range []int{2, 32, 16, 2} {
		if len(parts[i]) != length || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return "", "", false
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", false
	}
	return parts[0], parts[1], true
}

// serve lets a request in to an operation: admission before work, then who asks, then how often, then
// whether they may.
func (s *Server) serve(o operation, handle handler) echo.HandlerFunc {
	open := len(policy[o.id]) == 0
	class := classOf(o)
	return func(c echo.Context) error {
		r := requestOf(c)
		r.operation = o.id
		c.Request().Pattern = c.Path()
		if open {
			return handle(c, o, r)
		}
		if s.stopping.Load() {
			s.options.Hooks.Shed(class, "stopping")
			c.Response().Header().Set("Connection", "close")
			return fail("stopping", "The service is stopping; nothing was done.")
		}
		if r.crowded {
			s.options.Hooks.Shed(class, "connections")
			return fail("overloaded", "There are too many connections; nothing was done.")
		}
		if g := s.gates[class]; g != nil && g.full() {
			return g.shed()
		}
		if err := s.letIn(c, o, r, class); err != nil {
			return err
		}
		r.held = share{budget: s.budget, caller: r.who.caller()}
		defer r.held.giveBack()
		if class == classQuery && hasBody(c.Request()) {
			return fail("malformed_request", "A GET takes no body.")
		}
		return handle(c, o, r)
	}
}

// letIn finds out who asks and whether they may, and counts the request against their rate.
func (s *Server) letIn(c echo.Context, o operation, r *request, class string) error {
	who, err := s.keeper.identify(c.Request())
	r.who = who
	key := "sub:" + who.subject
	if err != nil {
		key = "ip:" + networkOf(c.RealIP())
	}
	if !who.trusted {
		if seconds, ok := s.limiter.take(key); !ok {
			s.options.Hooks.Shed(class, "rate")
			refusal := fail("rate_limited", "More than %g requests a second, with bursts of %d.", s.options.RateLimit, s.options.RateBurst)
			refusal.Attrs = map[string]string{"retryAfter": formatInt(int64(seconds))}
			return refusal
		}
	}
	if err == nil && who.trusted {
		err = s.sameSite(c.Request())
	}
	if err == nil {
		r.access, err = authorize(who, o.id)
	}
	if err != nil {
		s.options.Hooks.Denied(o.id, domain.CodeOf(err))
		s.logOf(r).Warn("a caller was refused", "operation", o.id, "code", domain.CodeOf(err), "reason", clip(err.Error()), "actor", who.subject,
			"roles", who.roles, "ip", c.RealIP())
	}
	return err
}

// caller is whose part of what is shared a request takes; empty for nobody's: where there are no keys all
// callers are one.
func (p principal) caller() string {
	if p.trusted {
		return ""
	}
	return p.subject
}

// hasBody says whether a request has content, without waiting for more than its first byte.
func hasBody(r *http.Request) bool {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return false
	}
	if r.ContentLength > 0 {
		return true
	}
	n, _ := r.Body.Read(make([]byte, 1))
	return n > 0
}

// bounded is the request's context with the time that work may take, wait on top.
func (s *Server) bounded(c echo.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Request().Context(), s.options.RequestTimeout+wait)
}
