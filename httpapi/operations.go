package httpapi

import (
	"context"
	"encoding/base64"
	"hash/crc32"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
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
		return writeJSON(c, orDefault(answer.status, http.StatusOK), answer.body)
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
		"createSubscription": s.operate(s.createSubscription), "deleteSubscription": s.operate(s.deleteSubscription),
		"resetSubscription": s.operate(s.resetSubscription), "replayParked": s.operate(s.replayParked),
	}
	for id, handle := range s.modelHandlers() {
		all[id] = handle
	}
	return all
}

func (s *Server) listSubscriptions(ctx context.Context, params map[string]string) (any, error) {
	all, err := s.options.Groups.List(ctx)
	if err != nil {
		return nil, err
	}
	return paged("subscriptions", all, func(g domain.GroupInfo) string { return g.Group }, params)
}

func (s *Server) getSubscription(ctx context.Context, params map[string]string) (any, error) {
	info, err := s.options.Groups.Info(ctx, params["group"])
	return info, err
}

// maxParked bounds how many parked events are listed.
const maxParked = 1000

// parked is a parked event as the API shows it.
type parked struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	At       string `json:"at,omitempty"`
}

func (s *Server) listParked(ctx context.Context, params map[string]string) (any, error) {
	found, err := s.options.Groups.Parked(ctx, params["group"], maxParked)
	if err != nil {
		return nil, err
	}
	all := make([]parked, len(found))
	for i, p := range found {
		all[i] = parked{p.ID, p.Stream, p.Revision, p.Type, p.Reason, stamp(p.At)}
	}
	return paged("parked "+params["group"], all, func(p parked) string { return p.ID }, params)
}

// from reads "start", "end" or a position.
func from(value any) (domain.From, error) {
	switch v := value.(type) {
	case nil:
		return domain.From{}, nil
	case string:
		return domain.From{End: v == "end"}, nil
	}
	text, ok := value.(interface{ String() string })
	if !ok {
		return domain.From{}, fail("invalid_request", "The position can't be read.")
	}
	n, err := strconv.ParseUint(text.String(), 10, 63)
	return domain.From{Position: n}, err
}

func (s *Server) createSubscription(ctx context.Context, _ *request, in input) (done, error) {
	body, err := decode[subscriptionBody](in)
	if err != nil {
		return done{}, err
	}
	at, err := from(body.From)
	if err != nil {
		return done{}, err
	}
	if err := s.options.Groups.Create(ctx, domain.Group{Name: body.Group, Prefixes: body.Prefixes}, at); err != nil {
		return done{}, err
	}
	info, err := s.options.Groups.Info(ctx, body.Group)
	return done{status: http.StatusCreated, body: info, location: "/v1/ops/subscriptions/" + body.Group}, err
}

func (s *Server) deleteSubscription(ctx context.Context, r *request, in input) (done, error) {
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err == nil {
		err = s.options.Groups.Delete(ctx, info.Group)
	}
	s.operated(r, "a consumer group was deleted", err, "group", in.params["group"])
	return done{body: info}, err
}

func (s *Server) resetSubscription(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[resetBody](in)
	if err != nil {
		return done{}, err
	}
	at, err := from(body.To)
	if err != nil {
		return done{}, err
	}
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil || in.dryRun {
		return done{body: info}, err
	}
	group := domain.Group{Name: info.Group, Prefixes: s.prefixes(info)}
	if len(group.Prefixes) == 0 {
		return done{}, fail("refused", "The event store does not tell what group %q takes, so it could not be made again; delete and create it instead.", info.Group)
	}
	err = s.options.Groups.Reset(ctx, group, at)
	s.operated(r, "a consumer group was reset", err, "group", info.Group, "to", body.To)
	if err != nil {
		return done{}, err
	}
	info, err = s.options.Groups.Info(ctx, info.Group)
	return done{body: info}, err
}

// prefixes are those of a group of ours, or what the event store says.
func (s *Server) prefixes(info domain.GroupInfo) []string {
	for _, f := range s.options.Following {
		if f.Group == info.Group {
			return f.Prefixes
		}
	}
	return info.Prefixes
}

func (s *Server) replayParked(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[replayBody](in)
	if err != nil {
		return done{}, err
	}
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil || in.dryRun {
		return done{body: info}, err
	}
	err = s.options.Groups.ReplayParked(ctx, info.Group, int(body.Limit))
	s.operated(r, "parked events are replayed", err, "group", info.Group, "limit", body.Limit)
	if err != nil {
		return done{}, err
	}
	info, err = s.options.Groups.Info(ctx, info.Group)
	return done{body: info}, err
}

// operated puts what operators do into the log.
func (s *Server) operated(r *request, what string, err error, attrs ...any) {
	attrs = append(attrs, "actor", r.who.subject, "request_id", r.id)
	if err != nil {
		s.log.Warn("an operation failed", append(attrs, "operation", r.operation, "error", err)...)
		return
	}
	s.log.Info(what, attrs...)
}
