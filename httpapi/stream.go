package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Bounds of a live stream.
const (
	heartbeat    = 15 * time.Second // a comment, so that both sides notice a dead connection
	frameTimeout = 10 * time.Second // for a reader to take what is written
)

// Feed tells the changes of read models. Without one in the options it is the reader itself.
type Feed interface {
	// Watch is Reader.Watch.
	Watch(ctx context.Context, model, document, resume string) (Watch, error)
}

// Watch hears of changes; see readmodels.Watch, which it is.
type Watch interface {
	Shown(readmodels.Tidemark) string
	Next(ctx context.Context) ([]readmodels.Change, error)
	Close()
}

// readerFeed is a reader as a Feed.
type readerFeed struct{ *readmodels.Reader }

func (f readerFeed) Watch(ctx context.Context, model, document, resume string) (Watch, error) {
	watch, err := f.Reader.Watch(ctx, model, document, resume)
	if err != nil {
		return nil, err
	}
	return watch, nil
}

// documentOf names the parameter that is the key of the one document that an operation shows; a watch
// of that document hears of nothing else.
var documentOf = map[string]string{"getOrder": "id", "getProduct": "sku", "getStock": "sku", "getAccount": "id", "getFulfilment": "orderId"}

// errSlow is a reader that does not take what is written.
var errSlow = errors.New("the reader does not keep up")

// live is one stream to one reader.
type live struct {
	server  *Server
	c       echo.Context
	o       operation
	screen  readmodels.Screen
	ask     readmodels.Ask
	control *http.ResponseController
	watch   Watch
	begun   bool // something was written

	point string // what the reader may resume from by now
	over  int    // frames sent that go beyond it

	shown   map[string]bool // ids of a list's items that the reader has, of at most maxShown
	resumed bool            // until what was missed is sent: the reader may have items that shown lacks
}

// maxShown bounds how many items of a list are remembered for a reader.
const maxShown = 10_000

// fleeting are the filters that a thing may come to match no more.
var fleeting = []string{"status", "lowStock", "olderThan"}

// fromTheState is the point before anything was sent: who resumes there gets the state again.
const fromTheState = "0"

// resumeAt takes the id of the last frame that a reader got. A frame in the midst of several that
// changed at once has the point before them and a number, so the reader gets all of them again.
func (l *live) resumeAt(id string) (resume string) {
	point, number, _ := strings.Cut(id, ".")
	l.point = point
	if n, err := parseInteger(number); err == nil && n >= 0 && n < 1<<30 {
		l.over = int(n)
	}
	if point == fromTheState {
		return ""
	}
	return point
}

// between is the id of a frame that stands in the midst of several.
func (l *live) between() string {
	l.over++
	return l.point + "." + strconv.Itoa(l.over)
}

// stream answers with frames for as long as the caller listens.
func (s *Server) stream(c echo.Context, o operation, r *request, screen readmodels.Screen, q question) error {
	if s.options.Feed == nil || screen.Item == nil {
		return fail("malformed_request", "This path has no live stream.")
	}
	if !q.ask.AsOf.IsZero() || q.ask.Revision != nil || q.ask.Cursor != "" || q.ask.Explain {
		return domain.Invalid(domain.Field{Pointer: "/header/Accept", Code: "contradiction", Detail: "A live stream shows what is now: without asOf, revision, cursor and explain."})
	}
	leave, err := s.streams.enter(r.who.subject)
	if err != nil {
		return err
	}
	why := "reader"
	defer func() { leave(why) }()
	ctx, cancel := s.streams.context(c.Request().Context(), r.who.expires)
	defer cancel()
	l := &live{server: s, c: c, o: o, screen: screen, ask: q.ask, control: http.NewResponseController(c.Response())}
	err = l.follow(ctx, l.resumeAt(c.Request().Header.Get("Last-Event-ID")))
	switch {
	case !l.begun:
		return err
	case errors.Is(err, errSlow):
		why = "slow"
	case s.stopping.Load():
		why = "stopping"
	case !timeIsUp(err):
		why = "error"
		s.logOf(r).Warn("a live stream ended", "operation", o.id, "error", err)
	}
	return nil
}

// follow sends the state as it is now, unless it resumes, and then what changes.
func (l *live) follow(ctx context.Context, resume string) (err error) {
	s := l.server
	bounded, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	l.watch, err = s.options.Feed.Watch(bounded, l.screen.Model, l.ask.Params[documentOf[l.o.id]], resume)
	cancel()
	if err != nil {
		return err
	}
	defer l.watch.Close()
	if resume == "" {
		err = l.state(ctx, "")
	} else {
		l.resumed = true
		err = l.mayRead(ctx)
	}
	for err == nil {
		err = l.next(ctx)
	}
	return err
}

// mayRead is for resumptions, which don't begin with an answer: what is not there, or not the caller's, is refused.
func (l *live) mayRead(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout+l.ask.Wait)
	defer cancel()
	answer, err := l.screen.Answer(bounded, l.server.options.Reader, l.ask)
	if err != nil {
		return err
	}
	l.noteAll(answer.Items)
	return l.write("")
}

// state sends what the plain GET would say: an entity, or the rows of the first page.
func (l *live) state(ctx context.Context, before string) error {
	if l.point != fromTheState {
		l.point, l.over = fromTheState, 0
	}
	bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout+l.ask.Wait)
	defer cancel()
	answer, err := l.screen.Answer(bounded, l.server.options.Reader, l.ask)
	if err != nil {
		return err
	}
	items := answer.Items
	l.noteAll(items)
	if !answer.List {
		items = []any{answer.Body}
	}
	return l.send(before, items, l.watch.Shown(answer.Reflects))
}

// next waits for changes, at most until a sign of life is due, and sends them.
func (l *live) next(ctx context.Context) error {
	patient, cancel := context.WithTimeout(ctx, heartbeat)
	changes, err := l.watch.Next(patient)
	cancel()
	switch {
	case errors.Is(err, readmodels.ErrReset): // the client reads anew, and so do we for it
		return l.state(ctx, "event: reset\ndata: {}\n\n")
	case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return l.write(": still here\n\n")
	case err != nil:
		return err
	}
	items, err := l.items(ctx, changes)
	l.resumed = false
	if err != nil {
		return err // the client resumes behind the last frame it got
	}
	return l.send("", items, changes[len(changes)-1].Resume)
}

// items are what changes show. What is not a list is read once for all of them, as it is now.
func (l *live) items(ctx context.Context, changes []readmodels.Change) ([]any, error) {
	if !l.o.list {
		changes = slices.Clone(changes)
		slices.Reverse(changes)
	}
	var items []any
	for _, change := range changes {
		bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout)
		item, found, err := l.screen.Item(bounded, l.server.options.Reader, l.ask, change)
		cancel()
		switch {
		case err != nil || !l.o.list:
		case found:
			l.note(change.Document)
		default:
			item, found, err = l.left(ctx, change)
		}
		if err != nil {
			return nil, err
		}
		if found {
			items = append(items, item)
		}
		if found && !l.o.list {
			break
		}
	}
	return items, nil
}

// left is an item that the reader has and that its filters no longer match, as it is now: so the reader
// sees that it has left the list.
func (l *live) left(ctx context.Context, change readmodels.Change) (item any, found bool, err error) {
	if !l.resumed && !l.shown[change.Document] {
		return nil, false, nil
	}
	delete(l.shown, change.Document)
	ask := l.ask
	ask.Params = maps.Clone(ask.Params)
	maps.DeleteFunc(ask.Params, func(name, _ string) bool { return slices.Contains(fleeting, name) })
	if len(ask.Params) == len(l.ask.Params) {
		return nil, false, nil
	}
	bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout)
	defer cancel()
	return l.screen.Item(bounded, l.server.options.Reader, ask, change)
}

// noteAll remembers the items of a page.
func (l *live) noteAll(page []any) {
	for _, item := range page {
		var named struct {
			ID string `json:"id"`
		}
		if data, err := marshal(item); err == nil && json.Unmarshal(data, &named) == nil {
			l.note(named.ID)
		}
	}
}

// note remembers that the reader has an item of a list.
func (l *live) note(id string) {
	if id == "" || len(l.shown) >= maxShown {
		return
	}
	if l.shown == nil {
		l.shown = map[string]bool{}
	}
	l.shown[id] = true
}

// send writes a frame for each item. Only the last one carries the point to resume from, as only it
// stands behind all of them; where there is none, the point goes out by itself, which readers take in silence.
func (l *live) send(before string, items []any, resume string) error {
	var frames strings.Builder
	frames.WriteString(before)
	for i, item := range items {
		id := resume
		if i < len(items)-1 || resume == "" {
			id = l.between()
		}
		frame, err := frameOf(id, item)
		if err != nil {
			return err
		}
		frames.WriteString(frame)
	}
	if len(items) == 0 && resume != "" {
		frames.WriteString("id: " + resume + "\n\n")
	}
	if resume != "" {
		l.point, l.over = resume, 0
	}
	return l.write(frames.String())
}

// frameOf writes one change. JSON has no line breaks but between its frames.
func frameOf(id string, item any) (string, error) {
	data, err := marshal(item)
	if err != nil {
		return "", err
	}
	return "event: change\nid: " + id + "\ndata: " + strings.TrimSuffix(string(data), "\n") + "\n\n", nil
}

// write sends text, at once, within a deadline: a reader that does not take it is cut off.
func (l *live) write(text string) error {
	_ = l.control.SetWriteDeadline(time.Now().Add(frameTimeout))
	if !l.begun {
		l.begun = true
		requestOf(l.c).opened = l.server.options.Now()
		h := l.c.Response().Header()
		h.Set(echo.HeaderContentType, "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
		l.c.Response().WriteHeader(http.StatusOK)
		text = "retry: 3000\n\n" + text
	}
	if _, err := l.c.Response().Write([]byte(text)); err != nil {
		return errors.Join(errSlow, err)
	}
	if err := l.control.Flush(); err != nil {
		return errors.Join(errSlow, err)
	}
	return nil
}
