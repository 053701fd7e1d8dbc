package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// secure sets the headers that every answer has. Pages that show more set their own policy.
func (s *Server) secure(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		h := c.Response().Header()
		setSecurity(h)
		if c.Request().TLS != nil {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		return next(c)
	}
}

func setSecurity(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
}

// What browsers on other origins may send and see.
const (
	crossMethods = "GET, HEAD, POST, PATCH, DELETE"
	crossSends   = "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Tidemark, X-Request-Id, X-Correlation-Id, traceparent"
	crossSees    = "ETag, Location, Link, Retry-After, Idempotent-Replayed, Tidemark, Tidemark-Lag, Preference-Applied, X-Request-Id, X-Correlation-Id, WWW-Authenticate"
)

// origins answers browsers: nothing for origins that are not configured, which keeps them out.
func (s *Server) origins(next echo.HandlerFunc) echo.HandlerFunc {
	if len(s.options.CORSOrigins) == 0 {
		return next
	}
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Add("Vary", "Origin")
		origin := c.Request().Header.Get("Origin")
		if origin == "" || !slices.Contains(s.options.CORSOrigins, origin) {
			return next(c)
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", crossSees)
		if c.Request().Method == http.MethodOptions && c.Request().Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", crossMethods)
			h.Set("Access-Control-Allow-Headers", crossSends)
			h.Set("Access-Control-Max-Age", "600")
			return c.NoContent(http.StatusNoContent)
		}
		return next(c)
	}
}

// checkOrigin accepts scheme://host[:port], nothing more and no wildcard.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.Contains(origin, "*") {
		return fmt.Errorf("CORS_ORIGINS=%q is no origin such as https://shop.example", origin)
	}
	return nil
}

// sameSite protects a server without keys, where being able to reach it is all the proof there is:
// web pages of other sites must not reach it through the browser of somebody on this machine, neither
// by sending to it nor by a name that they let point here.
func (s *Server) sameSite(r *http.Request) error {
	if host := hostOnly(r.Host); host != "localhost" && !isLoopbackIP(host) {
		return fail("forbidden", "Without keys the service answers to loopback names only.")
	}
	if err := s.crossing.Check(r); err != nil {
		return fail("forbidden", "Another site's page may not do this here.")
	}
	return nil
}

func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func isLoopbackIP(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// clientIP is the address of the caller: of the connection, or, behind proxies that are trusted, the
// last one in X-Forwarded-For that is not such a proxy.
func (s *Server) clientIP(r *http.Request) string {
	ip := hostOnly(r.RemoteAddr)
	if len(s.proxies) == 0 || !s.proxied(ip) {
		return ip
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		hop = strings.TrimSpace(hop)
		if _, err := netip.ParseAddr(hop); err != nil {
			return ip
		}
		if ip = hop; !s.proxied(hop) {
			return ip
		}
	}
	return ip
}

// networkOf is what an address is told apart by when many requests come from there: a connection to the
// Internet comes with 2^64 addresses of version 6, and each would be a caller of its own.
func networkOf(ip string) string {
	addr, err := netip.ParseAddr(ip)
	if err != nil || addr.Unmap().Is4() {
		return ip
	}
	network, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return ip
	}
	return network.String()
}

func (s *Server) proxied(ip string) bool {
	addr, err := netip.ParseAddr(ip)
	return err == nil && slices.ContainsFunc(s.proxies, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) })
}
