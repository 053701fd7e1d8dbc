package httpapi

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Bounds of a live stream.
const (
	heartbeat    = 15 * time.Second // a comment, so that both sides notice a dead connection
	frameTimeout = 10 * time.Second // for a reader to take what is written
	maxPending   = 1024             // changes that wait for a reader, before it is cut off
)

// Feed tells the changes of read models.
type Feed interface {
	// Watch calls changed for each change of the read model, in an order in which no document goes
	// back, from behind resume on, or from now on where resume is empty. It calls began first, with
	// the point that it starts from. It returns when ctx ends or changed fails, with that error; with code
	// resume_too_old where it can't know what came after resume, and KindMalformed where that is none of its points.
	Watch(ctx context.Context, model, resume string, began func(resume string), changed func(readmodels.Change) error) error
}

// everything is the read model that takes every event: histories follow it.
const everything = "audit_log"

// errSlow ends the watch of a reader that does not keep up.
var errSlow = errors.New("the reader does not keep up")

// live is one stream to one reader.
type live struct {
	server  *Server
	c       echo.Context
	o       operation
	screen  readmodels.Screen
	ask     readmodels.Ask
	control *http.ResponseController
	changes chan readmodels.Change
	began   chan string
	ended   chan error
	first   bool // nothing was written yet
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
	l := &live{server: s, c: c, o: o, screen: screen, ask: q.ask, control: http.NewResponseController(c.Response()), first: true}
	resume := c.Request().Header.Get("Last-Event-ID")
	for {
		err := l.follow(ctx, resume)
		switch {
		case domain.CodeOf(err) == "resume_too_old" && resume != "":
			resume = "" // the client reads anew, and so do we for it
			if err = l.write("event: reset\ndata: {}\n\n"); err == nil {
				continue
			}
		case errors.Is(err, errSlow):
			why = "slow"
		case s.stopping.Load():
			why = "stopping"
		}
		if l.first {
			return err
		}
		return nil
	}
}

// follow sends the state as it is now, unless it resumes, and then what changes.
func (l *live) follow(ctx context.Context, resume string) error {
	ctx, cancel := context.WithCancel(ctx)
	l.changes, l.began, l.ended = make(chan readmodels.Change, maxPending), make(chan string, 1), make(chan error, 1)
	model := orDefault(l.screen.Model, everything)
	go func() {
		l.ended <- l.server.options.Feed.Watch(ctx, model, resume, func(at string) { l.began <- at }, l.push)
	}()
	defer func() {
		cancel()
		if l.ended != nil {
			<-l.ended
		}
	}()
	select {
	case at := <-l.began:
		if resume == "" {
			if err := l.state(ctx, at); err != nil {
				return err
			}
		}
	case err := <-l.ended:
		l.ended = nil
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.write(""); err != nil {
		return err
	}
	return l.loop(ctx)
}

// push is called by the watch; it never blocks it.
func (l *live) push(change readmodels.Change) error {
	select {
	case l.changes <- change:
		return nil
	default:
		return errSlow
	}
}

// state sends what the plain GET would say: an entity, or the rows of the first page.
func (l *live) state(ctx context.Context, at string) error {
	bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout+l.ask.Wait)
	defer cancel()
	answer, err := l.screen.Answer(bounded, l.server.options.Reader, l.ask)
	if err != nil {
		return err
	}
	items := answer.Items
	if !answer.List {
		items = []any{answer.Body}
	}
	var frames strings.Builder
	for _, item := range items {
		frame, err := frameOf(at, item)
		if err != nil {
			return err
		}
		frames.WriteString(frame)
	}
	return l.write(frames.String())
}

func (l *live) loop(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case change := <-l.changes:
			err = l.tell(ctx, l.pending(change))
		case <-beat.C:
			err = l.write(": still here\n\n")
		case err = <-l.ended:
			l.ended = nil
			if err == nil {
				err = ctx.Err()
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// pending takes what else has come: it is told in one go.
func (l *live) pending(first readmodels.Change) []readmodels.Change {
	all := []readmodels.Change{first}
	for len(all) < maxPending {
		select {
		case change := <-l.changes:
			all = append(all, change)
		default:
			return all
		}
	}
	return all
}

// tell sends the items that changes show. An entity is sent once for all of them, as it is now.
func (l *live) tell(ctx context.Context, changes []readmodels.Change) error {
	var frames strings.Builder
	for i := range changes {
		change := changes[i]
		if !l.o.list {
			change = changes[len(changes)-1-i]
		}
		bounded, cancel := context.WithTimeout(ctx, l.server.options.RequestTimeout)
		item, found, err := l.screen.Item(bounded, l.server.options.Reader, l.ask, change)
		cancel()
		if err != nil {
			return err // the client resumes behind the last frame it got
		}
		if !found {
			continue
		}
		resume := change.Resume
		if !l.o.list {
			resume = changes[len(changes)-1].Resume
		}
		frame, err := frameOf(resume, item)
		if err != nil {
			return err
		}
		if frames.WriteString(frame); !l.o.list {
			break
		}
	}
	if frames.Len() == 0 {
		return nil
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
	if l.first {
		l.first = false
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

// streamBook counts live streams, all and by caller, and ends them.
type streamBook struct {
	total, perClient int
	hooks            Hooks
	done             chan struct{}
	once             sync.Once

	mu   sync.Mutex
	open map[string]int
	all  int
}

func newStreamBook(limits Limits, hooks Hooks) *streamBook {
	return &streamBook{total: limits.Streams, perClient: limits.PerClient, hooks: hooks, done: make(chan struct{}), open: map[string]int{}}
}

// enter counts a stream of a caller; leave must be called with why it ended.
func (b *streamBook) enter(caller string) (leave func(why string), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open[caller] >= b.perClient {
		b.hooks.Shed(classStream, "rate")
		return nil, fail("rate_limited", "A caller may have %d live streams.", b.perClient)
	}
	if b.all >= b.total {
		b.hooks.Shed(classStream, "queue")
		return nil, fail("overloaded", "There are too many live streams.")
	}
	b.open[caller]++
	b.all++
	b.hooks.Stream(+1, "")
	return func(why string) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.open[caller]--; b.open[caller] == 0 {
			delete(b.open, caller)
		}
		b.all--
		b.hooks.Stream(-1, why)
	}, nil
}

// context ends with the request, with the server's stopping, and with the token.
func (b *streamBook) context(ctx context.Context, expires time.Time) (context.Context, context.CancelFunc) {
	var cancel context.CancelFunc
	if expires.IsZero() {
		ctx, cancel = context.WithCancel(ctx)
	} else {
		ctx, cancel = context.WithDeadline(ctx, expires)
	}
	go func() {
		select {
		case <-b.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// close ends all streams, those open and those to come.
func (b *streamBook) close() { b.once.Do(func() { close(b.done) }) }
