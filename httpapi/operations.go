package httpapi

import (
	"cmp"
	"context"
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"
)

// done is what an operation of operators answers.
type done struct {
	status   int // 0: 200
	body     any
	location string
	retry    int // Retry-After in seconds; 0: none
}

// operate is the handler of an operation that changes something for operators.
func (s *Server) operate(do func(ctx context.Context, r *request, in input) (done, error)) handler {
	return func(c echo.Context, o operation, r *request) error {
		in, err := s.readInput(c, o)
		if err != nil {
			return err
		}
		ctx, cancel := s.bounded(c, 0)
		defer cancel()
		leave, err := s.gates[classCommand].enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		answer, err := do(ctx, r, in)
		if err != nil {
			return err
		}
		h := c.Response().Header()
		h.Set("Cache-Control", "no-store")
		if answer.location != "" {
			h.Set("Location", answer.location)
		}
		if answer.retry > 0 {
			h.Set("Retry-After", strconv.Itoa(answer.retry))
		}
		return writeJSON(c, cmp.Or(answer.status, http.StatusOK), answer.body)
	}
}

// look is the handler of a question of operators.
func (s *Server) look(ask func(ctx context.Context, params map[string]string) (any, error)) handler {
	return func(c echo.Context, o operation, r *request) error {
		params, found, err := readQuery(o, c.Request())
		if err != nil {
			return err
		}
		if _, err := readPath(o, c, params); err != nil {
			return err
		}
		if len(found) > 0 {
			return invalid(found)
		}
		ctx, cancel := s.bounded(c, 0)
		defer cancel()
		leave, err := s.gates[classQuery].enter(ctx)
		if err != nil {
			return err
		}
		defer leave()
		answer, err := ask(ctx, params)
		if err != nil {
			return err
		}
		c.Response().Header().Set("Cache-Control", "no-store")
		if p, ok := answer.(page); ok && p.Next != nil {
			c.Response().Header().Set("Link", nextLink(c.Request().URL, *p.Next))
		}
		return writeJSON(c, http.StatusOK, answer)
	}
}

// paged cuts a page out of a short list; key names an item, and the cursor the item behind which the page begins.
func paged[T any](list string, all []T, key func(T) string, params map[string]string) (page, error) {
	limit := 50
	if n, err := parseInteger(params["limit"]); err == nil {
		limit = int(n)
	}
	start := 0
	if cursor := params["cursor"]; cursor != "" {
		after, ok := openCursor(list, cursor)
		if !ok {
			return page{}, fail("invalid_cursor", "The cursor is not one that this list handed out.")
		}
		for i, item := range all {
			if key(item) == after {
				start = i + 1
			}
		}
	}
	p := page{Items: []any{}}
	for i := start; i < len(all) && len(p.Items) < limit; i++ {
		p.Items = append(p.Items, all[i])
	}
	if end := start + len(p.Items); len(p.Items) > 0 && end < len(all) {
		next := makeCursor(list, key(all[end-1]))
		p.Next = &next
	}
	return p, nil
}

func makeCursor(list, key string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorSum(list, key) + key))
}

func openCursor(list, cursor string) (key string, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(raw) < 8 {
		return "", false
	}
	key = string(raw[8:])
	return key, cursorSum(list, key) == string(raw[:8])
}

func cursorSum(list, key string) string {
	text := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(list+"\x00"+key))), 16)
	return strings.Repeat("0", 8-len(text)) + text
}

// operationHandlers serve /v1/ops.
func (s *Server) operationHandlers() map[string]handler {
	all := map[string]handler{
		"listSubscriptions": s.look(s.listSubscriptions), "getSubscription": s.look(s.getSubscription), "listParked": s.look(s.listParked),
		"createSubscription": s.operate(s.createSubscription), "updateSubscription": s.operate(s.updateSubscription), "deleteSubscription": s.operate(s.deleteSubscription),
		"resetSubscription": s.operate(s.resetSubscription), "replayParked": s.operate(s.replayParked),
	}
	for id, handle := range s.modelHandlers() {
		all[id] = handle
	}
	return all
}

// operated puts what operators do into the log.
func (s *Server) operated(r *request, what string, err error, attrs ...any) {
	attrs = append(attrs, "actor", r.who.subject)
	if err != nil {
		s.logOf(r).Warn("an operation failed", append(attrs, "operation", r.operation, "error", err)...)
		return
	}
	s.logOf(r).Info(what, attrs...)
}
