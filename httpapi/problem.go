package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
)

// Problem is a failure as RFC 9457 writes it. Every answer that is not a 2xx or 3xx is one.
type Problem struct {
	Type            string         `json:"type"`
	Title           string         `json:"title"`
	Status          int            `json:"status"`
	Detail          string         `json:"detail,omitempty"`
	Instance        string         `json:"instance,omitempty"`
	Code            string         `json:"code"`
	RequestID       string         `json:"requestId,omitempty"`
	Errors          []domain.Field `json:"errors,omitempty"`
	CurrentRevision *int64         `json:"currentRevision,omitempty"`
	State           string         `json:"state,omitempty"`
	Checks          []Check        `json:"checks,omitempty"`

	retryAfter int // seconds; 0: none
}

const problemType = "application/problem+json"

// fallback is the code of a kind of error whose own code the catalogue does not have.
var fallback = map[domain.Kind]string{
	domain.KindInvalid: "invalid_request", domain.KindNotFound: "not_found", domain.KindForbidden: "forbidden",
	domain.KindRefused: "refused", domain.KindConflict: "revision_conflict", domain.KindMismatch: "revision_mismatch",
	domain.KindUnavailable: "event_store_unavailable", domain.KindUnknown: "outcome_unknown", domain.KindStale: "stale_read_model",
	domain.KindMalformed: "malformed_request", domain.KindUndecodable: "undecodable_event",
}

// alias is the code in the catalogue for one that tells more than callers need.
var alias = map[string]string{"collection_missing": "read_store_unavailable"}

// problemOf turns any error into a problem. What is not one of ours becomes "internal", and nothing of
// its text gets out.
func problemOf(err error) Problem {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return problemOfRefusal(e)
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		switch e.Code {
		case http.StatusNotFound:
			return problem("not_found", "There is nothing at this path.")
		case http.StatusMethodNotAllowed:
			return problem("method_not_allowed", "This path has no such method.")
		}
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return problem("timed_out", "The answer took too long.")
	}
	return problem("internal", "")
}

func problemOfRefusal(e *domain.Error) Problem {
	code := cmp.Or(alias[e.Code], e.Code)
	if _, known := catalogue[code]; !known {
		if code = fallback[e.Kind]; code == "" {
			return problem("internal", "")
		}
	}
	if code == "internal" || code == "undecodable_event" { // what they say is for the log
		return problem(code, "")
	}
	p := problem(code, e.Message)
	p.CurrentRevision = e.Revision
	if code == "stale_read_model" {
		p.State = cmp.Or(e.Attrs["state"], "lagging")
	}
	if seconds, err := strconv.Atoi(e.Attrs["retryAfter"]); err == nil && p.retryAfter > 0 {
		p.retryAfter = max(1, seconds)
	}
	p.Errors = sentences(e.Fields)
	if n := len(p.Errors); n > 0 && code == "invalid_request" {
		p.Detail = "The request is invalid: " + findingText(p.Errors[0])
		if n > 1 {
			p.Detail = fmt.Sprintf("The request is invalid in %d places, the first: %s", n, findingText(p.Errors[0]))
		}
	}
	return p
}

// sentences are findings with details that are whole sentences; those of the domain are not.
func sentences(found []domain.Field) []domain.Field {
	whole := slices.Clone(found)
	for i, f := range whole {
		first, size := utf8.DecodeRuneInString(f.Detail)
		whole[i].Detail = string(unicode.ToUpper(first)) + f.Detail[size:]
		if !strings.HasSuffix(f.Detail, ".") {
			whole[i].Detail += "."
		}
	}
	return whole
}

// findingText names the place of a finding and what is wrong there.
func findingText(f domain.Field) string {
	place := f.Pointer
	if place == "" {
		place = "the body"
	}
	first, size := utf8.DecodeRuneInString(f.Detail)
	return place + ": " + string(unicode.ToLower(first)) + f.Detail[size:]
}

// problem is the catalogue's entry for code; one that it lacks is a defect.
func problem(code, detail string) Problem {
	e, known := catalogue[code]
	if !known {
		code, detail = "internal", ""
		e = catalogue[code]
	}
	if detail == "" {
		detail = e.help
	}
	return Problem{Type: "/docs/errors/" + code, Title: e.title, Status: e.status, Detail: detail, Code: code, retryAfter: e.retry}
}

// fail makes a refusal of the edge itself; its kind follows from the code's status.
func fail(code, format string, args ...any) *domain.Error {
	return &domain.Error{Kind: kindOfCode(code), Code: code, Message: fmt.Sprintf(format, args...)}
}

func kindOfCode(code string) domain.Kind {
	switch catalogue[code].status {
	case http.StatusNotFound:
		return domain.KindNotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return domain.KindForbidden
	case http.StatusConflict:
		return domain.KindRefused
	case http.StatusUnprocessableEntity:
		return domain.KindInvalid
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return domain.KindUnavailable
	case http.StatusGatewayTimeout:
		return domain.KindUnknown
	case http.StatusInternalServerError:
		return domain.KindInternal
	}
	return domain.KindMalformed
}

// handleError is the only way a failure leaves.
func (s *Server) handleError(err error, c echo.Context) {
	if errors.Is(err, echo.ErrMethodNotAllowed) && beyond(c) {
		c.Response().Header().Del(echo.HeaderAllow)
		err = echo.ErrNotFound
	}
	p := problemOf(err)
	r := requestOf(c)
	r.code = p.Code
	if p.Code == "internal" || p.Code == "undecodable_event" {
		s.logOf(r).Error("a request failed", "operation", r.operation, "error", err)
	}
	if c.Response().Committed {
		return
	}
	s.write(c, p)
}

// beyond says whether the path goes on after what the router matched: to the router a last parameter takes all that
// follows, slashes too.
func beyond(c echo.Context) bool {
	u := c.Request().URL
	return strings.Count(cmp.Or(u.RawPath, u.Path), "/") != strings.Count(c.Path(), "/")
}

// write answers with a problem.
func (s *Server) write(c echo.Context, p Problem) {
	r := requestOf(c)
	r.code = p.Code
	p.RequestID, p.Instance = r.id, c.Request().URL.EscapedPath()
	h := c.Response().Header()
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	switch p.Status {
	case http.StatusUnauthorized:
		challenge := `Bearer realm="tidemark"`
		if c.Request().Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	case http.StatusMethodNotAllowed:
		if allow, ok := c.Get(echo.ContextKeyHeaderAllow).(string); ok {
			h.Set("Allow", allow)
			p.Detail = c.Request().Method + " is not possible at this path; it takes " + allow + "."
		}
	}
	h.Set("Cache-Control", "no-store")
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		body = []byte(`{}`)
	}
	if err := c.Blob(p.Status, problemType, append(body, '\n')); err != nil {
		s.logOf(r).Debug("an answer could not be written", "error", err)
	}
}
