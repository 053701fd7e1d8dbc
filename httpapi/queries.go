package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// page is the body of a list.
type page struct {
	Items []any   `json:"items"`
	Next  *string `json:"nextCursor"`
}

// tell is the handler of a query: any screen is asked in the same way.
func (s *Server) tell(screen readmodels.Screen) handler {
	return func(c echo.Context, o operation, r *request) error {
		q, err := readQuestion(o, c, r.access)
		if err != nil {
			return err
		}
		if wantsEvents(c.Request()) {
			return s.stream(c, o, r, screen, q)
		}
		enter, wait := s.gates[classQuery].enter, time.Duration(0)
		if q.waits {
			wait = q.ask.Wait
		}
		if q.takesLong() {
			enter = func(ctx context.Context) (func(), error) { return s.waits.enterAs(ctx, r.who.caller()) }
		}
		ctx, cancel := s.bounded(c, wait)
		defer cancel()
		leave, err := enter(ctx)
		if err != nil {
			return err
		}
		leave = sync.OnceFunc(leave)
		defer leave()
		if len(q.ask.After) == 0 { // a token is a promise about what the answer includes
			ctx = readmodels.Relaxed(ctx)
		}
		answer, err := screen.Answer(ctx, s.options.Reader, q.ask)
		if err != nil {
			return err
		}
		return s.answerQuery(c, r, q, answer, leave)
	}
}

// answerQuery answers, and ends the work by leave once only the reader is waited for.
func (s *Server) answerQuery(c echo.Context, r *request, q question, a readmodels.Answer, leave func()) error {
	h := c.Response().Header()
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept, Authorization")
	h.Set("Tidemark-Lag", strconv.FormatFloat(max(0, a.Lag.Seconds()), 'f', -1, 64))
	h.Set("Tidemark", reflected(q, a))
	if q.applied != "" {
		h.Set("Preference-Applied", q.applied)
	}
	body := a.Body
	if a.List {
		p := page{Items: a.Items}
		if p.Items == nil {
			p.Items = []any{}
		}
		if a.Next != "" {
			p.Next = &a.Next
			h.Set("Link", nextLink(c.Request().URL, a.Next))
		}
		body = p
	}
	text, err := marshal(body)
	if err != nil {
		return err
	}
	tag, validator := validators(q, a, text)
	h.Set("ETag", tag)
	if noneMatch(c.Request().Header, validator) {
		return c.NoContent(http.StatusNotModified)
	}
	if len(text) <= smallBody {
		leave()
		return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, text)
	}
	if r.held.hold(int64(len(text))) { // else it is the slot that bounds how many large answers there are
		leave()
	}
	s.deliver(c, r, text)
	return nil
}

// deliver writes a large answer, piece by piece: a reader that takes none of it is cut off long before the time for
// a whole answer is over.
func (s *Server) deliver(c echo.Context, r *request, text []byte) {
	control := http.NewResponseController(c.Response())
	end := time.Now().Add(maxWait + writeTimeout)
	c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
	c.Response().WriteHeader(http.StatusOK)
	for piece := range slices.Chunk(text, smallBody) {
		deadline := time.Now().Add(s.options.pieceTimeout)
		if end.Before(deadline) {
			deadline = end
		}
		_ = control.SetWriteDeadline(deadline)
		if _, err := c.Response().Write(piece); err != nil {
			s.log.Debug("an answer could not be written", "request_id", r.id, "error", err)
			return
		}
	}
}

// reflected is the token of what an answer includes: its own marks and those it was asked to include.
func reflected(q question, a readmodels.Answer) string {
	return append(append(readmodels.Tidemark{}, a.Reflects...), q.ask.After...).Token()
}

// validators gives the ETag of an answer and what If-None-Match is compared with. An entity's ETag is
// its revision. Where the answer shows more than the entity (an order its fulfilment) the revision alone
// makes no 304. Lists and totals have a weak tag of their content.
func validators(q question, a readmodels.Answer, text []byte) (tag, validator string) {
	if a.ETag == "" || q.ask.Explain {
		sum := sha256.Sum256(text)
		tag = `W/"` + hex.EncodeToString(sum[:12]) + `"`
		return tag, tag
	}
	tag = `"` + a.ETag + `"`
	if a.Validator != "" {
		return tag, `"` + a.Validator + `"`
	}
	return tag, tag
}

// nextLink points to the next page by the same filters.
func nextLink(u *url.URL, cursor string) string {
	query := u.Query()
	query.Set("cursor", cursor)
	return "<" + u.EscapedPath() + "?" + query.Encode() + `>; rel="next"`
}

// wantsEvents says whether the caller asks for a live stream: text/event-stream by name, not refused.
func wantsEvents(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			media, params, err := mime.ParseMediaType(part)
			if err == nil && media == "text/event-stream" && params["q"] != "0" {
				return r.Method == http.MethodGet
			}
		}
	}
	return false
}

// timeIsUp says whether an error comes from a context rather than from an answer.
func timeIsUp(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// Classes of work, each with a gate of its own.
const (
	classCommand = "command"
	classQuery   = "query"
	classWait    = "wait"
	classImport  = "import"
	classStream  = "stream"
	classBody    = "body" // reading what is in a large body

	classConnection = "connection" // without a gate
)

func classOf(o operation) string {
	switch {
	case o.id == "importOrders":
		return classImport
	case o.method == http.MethodGet:
		return classQuery
	}
	return classCommand
}

// handlers is the table: every operation of the document with what serves it.
func (s *Server) handlers() map[string]handler {
	all := map[string]handler{
		"importOrders": s.importOrders,
		"healthz":      s.healthz, "readyz": s.readyz, "metrics": s.metrics,
	}
	for id, screen := range s.screens {
		all[id] = s.tell(screen)
	}
	do := s.options.Commands
	for _, table := range []map[string]doing{orderCommands(do), productCommands(do), s.stockCommands(do), accountCommands(do), fulfilmentCommands(do)} {
		for id, command := range table {
			all[id] = s.carryOut(command)
		}
	}
	for id, handle := range s.operationHandlers() {
		all[id] = handle
	}
	return all
}
