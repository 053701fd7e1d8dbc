package httpapi

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/sync/singleflight"
)

// readyTimeout bounds how long the readiness report may take.
const readyTimeout = 3 * time.Second

type health struct {
	Status string  `json:"status"`
	Checks []Check `json:"checks,omitempty"`
}

// healthz says that the process runs.
func (s *Server) healthz(c echo.Context, _ operation, _ *request) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return writeJSON(c, http.StatusOK, health{Status: "ok"})
}

// readyz says whether requests should come here. The lines are for callers with a role: they tell what
// the house is made of.
func (s *Server) readyz(c echo.Context, _ operation, r *request) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	checks := s.checks(c.Request().Context())
	ready := !s.stopping.Load() && !slices.ContainsFunc(checks, failed)
	who, err := s.keeper.identify(c.Request())
	if err != nil || len(who.roles) == 0 || who.trusted && s.sameSite(c.Request()) != nil {
		checks = nil
	}
	r.who = who
	if !ready {
		s.write(c, notReady(checks))
		return nil
	}
	return writeJSON(c, http.StatusOK, health{Status: "ready", Checks: checks})
}

// Probes serves the health checks of a process that has no API, on a listener for operators: everybody there sees
// the lines. Ready is asked once for all who want to know at the same time.
func Probes(mux *http.ServeMux, ready func(ctx context.Context) []Check) {
	answer := func(w http.ResponseWriter, media string, status int, body any) {
		text, err := marshal(body)
		if err != nil { // strings and numbers always marshal
			status = http.StatusInternalServerError
		}
		w.Header().Set("Content-Type", media)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_, _ = w.Write(text) // the prober may have gone
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, echo.MIMEApplicationJSON, http.StatusOK, health{Status: "ok"})
	})
	var asking singleflight.Group
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		checks := askOnce(r.Context(), &asking, ready)
		if slices.ContainsFunc(checks, failed) {
			p := notReady(checks)
			answer(w, problemType, p.Status, p)
			return
		}
		answer(w, echo.MIMEApplicationJSON, http.StatusOK, health{Status: "ready", Checks: checks})
	})
}

func failed(c Check) bool { return c.Status == "failed" }

func notReady(checks []Check) Problem {
	p := problem("service_not_ready", "Requests should not come here now: the service is starting or stopping, or a store can't be reached.")
	p.Checks = checks
	return p
}

// checks asks every dependency, once for all who want to know at the same time: everybody may, as often as they
// like, and each dependency would pay for it.
func (s *Server) checks(ctx context.Context) []Check {
	if s.options.Ready == nil {
		return nil
	}
	return askOnce(ctx, &s.asking, s.options.Ready)
}

func askOnce(ctx context.Context, asking *singleflight.Group, ready func(ctx context.Context) []Check) []Check {
	checks, _, _ := asking.Do("", func() (any, error) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout) // others wait for it, too
		defer cancel()
		return ready(bounded), nil
	})
	return checks.([]Check)
}

// metrics hands over to the handler that was put in; without one there is nothing here.
func (s *Server) metrics(c echo.Context, _ operation, _ *request) error {
	if s.options.Metrics == nil {
		return fail("not_found", "There is nothing at this path.")
	}
	if s.keeper.open {
		if err := s.sameSite(c.Request()); err != nil {
			return err
		}
	}
	s.options.Metrics.ServeHTTP(c.Response(), c.Request())
	return nil
}
