package httpapi

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// scriptedFeed hands out what a test puts in.
type scriptedFeed struct {
	mu      sync.Mutex
	opened  []string // model/document/resume
	closed  int
	batches chan any // []readmodels.Change or an error
}

func newFeed() *scriptedFeed { return &scriptedFeed{batches: make(chan any, 1000)} }

func (f *scriptedFeed) Watch(_ context.Context, model, document, resume string) (Watch, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if resume == "broken" {
		return nil, errors.New("no watch")
	}
	f.opened = append(f.opened, model+"/"+document+"/"+resume)
	return f, nil
}

func (f *scriptedFeed) Shown(readmodels.Tidemark) string { return "start" }

func (f *scriptedFeed) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
}

func (f *scriptedFeed) Next(ctx context.Context) ([]readmodels.Change, error) {
	select {
	case batch := <-f.batches:
		if err, failed := batch.(error); failed {
			return nil, err
		}
		return batch.([]readmodels.Change), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// frame is what a reader got: one block of lines.
type frame map[string]string

// listener reads frames of a live stream.
type listener struct {
	t      testing.TB
	frames chan frame
	cancel context.CancelFunc
}

func (w *world) listen(target string, headers ...string) *listener {
	w.t.Helper()
	server := httptest.NewServer(w.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(func() { cancel(); w.streams.close(); server.Close() })
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" || response.Header.Get("Cache-Control") != "no-store" {
		w.t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
	l := &listener{t: w.t, frames: make(chan frame, 100), cancel: cancel}
	go func() {
		defer response.Body.Close()
		defer close(l.frames)
		lines, f := bufio.NewScanner(response.Body), frame{}
		for lines.Scan() {
			if lines.Text() == "" {
				l.frames <- f
				f = frame{}
				continue
			}
			name, value, _ := strings.Cut(lines.Text(), ":")
			f[name] = strings.TrimPrefix(value, " ")
		}
	}()
	return l
}

// next is the next frame; ok is false at the end.
func (l *listener) next() (frame, bool) {
	l.t.Helper()
	select {
	case f, ok := <-l.frames:
		return f, ok
	case <-time.After(patience):
		l.t.Fatal("no frame came")
		return nil, false
	}
}

func (l *listener) expect(event, id, data string) {
	l.t.Helper()
	f, _ := l.next()
	if f["event"] != event || f["id"] != id || f["data"] != data {
		l.t.Fatalf("frame %v, want %s %s %s", f, event, id, data)
	}
}

func change(document string, revision int64, resume string) readmodels.Change {
	return readmodels.Change{Document: document, Stream: "order-" + document, Revision: revision, Resume: resume}
}

func TestAnEntityStreamsItsStateAndThenItsChanges(t *testing.T) {
	feed := newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = feed })
	l := w.listen("/v1/orders/x")
	if f, _ := l.next(); f["retry"] != "3000" {
		t.Errorf("%v", f)
	}
	l.expect("change", "start", `{"revision":3}`)
	feed.batches <- []readmodels.Change{change("x", 4, ""), change("x", 5, ""), change("x", 6, "after-6")}
	l.expect("change", "after-6", `{"id":"x","revision":6}`) // one frame for all, as it is now
	feed.batches <- []readmodels.Change{change("hidden", 1, "after-7")}
	l.expect("", "after-7", "")              // nothing to see, but the reader may resume behind it
	feed.batches <- context.DeadlineExceeded // nothing happens for as long as a heartbeat
	if f, _ := l.next(); f[""] != "still here" {
		t.Errorf("instead of a heartbeat: %v", f)
	}
	feed.batches <- readmodels.ErrReset
	l.expect("reset", "", "{}")
	l.expect("change", "start", `{"revision":3}`)
	l.cancel()
	eventually(t, "the watch is closed", func() bool { feed.mu.Lock(); defer feed.mu.Unlock(); return feed.closed == 1 })
	eventually(t, "the stream is no longer counted", func() bool { w.streams.mu.Lock(); defer w.streams.mu.Unlock(); return w.streams.all == 0 })
	if feed.opened[0] != "order_details/x/" {
		t.Errorf("watched %v", feed.opened)
	}
}

func TestAListStreamsItsRowsAndThenChangedOnes(t *testing.T) {
	feed := newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = feed })
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{List: true, Items: []any{"a", "b"}}, nil
	}
	l := w.listen("/v1/orders?status=created")
	l.next()
	l.expect("change", "0.1", `"a"`)
	l.expect("change", "start", `"b"`)
	feed.batches <- []readmodels.Change{change("x", 4, ""), change("hidden", 1, ""), change("y", 5, "after")}
	l.expect("change", "start.1", `{"id":"x","revision":4}`)
	l.expect("change", "after", `{"id":"y","revision":5}`) // only the last stands behind all of them
}

// A reader that breaks off in the midst of frames that belong together gets all of them again.
func TestAStreamResumesBeforeFramesThatWereCutShort(t *testing.T) {
	began, feed := newFeed(), newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = began })
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{List: true, Items: []any{"a", "b"}}, nil
	}
	first := w.listen("/v1/orders", "Last-Event-ID", "0.1")
	first.next()
	first.expect("change", "0.2", `"a"`)
	first.expect("change", "start", `"b"`)
	second := newWorld(t, func(o *Options) { o.Feed = feed }).listen("/v1/orders", "Last-Event-ID", "there.7")
	second.next()
	feed.batches <- []readmodels.Change{change("x", 4, ""), change("y", 5, "after")}
	second.expect("change", "there.8", `{"id":"x","revision":4}`)
	second.expect("change", "after", `{"id":"y","revision":5}`)
	if got, want := slices.Concat(began.opened, feed.opened), []string{"customer_orders//", "customer_orders//there"}; !slices.Equal(got, want) {
		t.Errorf("watched %v, want %v", got, want)
	}
}

func TestAResumedStreamBeginsBehindTheLastFrame(t *testing.T) {
	feed := newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = feed })
	l := w.listen("/v1/orders", "Last-Event-ID", "there")
	l.next()
	feed.batches <- []readmodels.Change{change("x", 4, "after")}
	l.expect("change", "after", `{"id":"x","revision":4}`)
	if feed.opened[0] != "customer_orders//there" {
		t.Errorf("watched %v", feed.opened)
	}
}

// A row that the reader has comes once more when it leaves the list; what it never had doesn't.
func TestARowThatLeavesItsListIsShownOnceMore(t *testing.T) {
	feed := newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = feed })
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{List: true, Items: []any{map[string]any{"id": "moved"}}}, nil
	}
	l := w.listen("/v1/orders?status=created")
	l.next()
	l.expect("change", "start", `{"id":"moved"}`)
	feed.batches <- []readmodels.Change{change("moved", 1, "a")}
	l.expect("change", "a", `{"id":"moved","revision":1}`)
	feed.batches <- []readmodels.Change{change("moved", 2, "b")}
	l.expect("", "b", "")
	feed.batches <- []readmodels.Change{change("moved-unseen", 1, "c")}
	l.expect("", "c", "")
	l.cancel()

	missed := newFeed() // of what changed while nobody listened, the reader may have had anything
	l = newWorld(t, func(o *Options) { o.Feed = missed }).listen("/v1/orders?status=created", "Last-Event-ID", "c")
	l.next()
	missed.batches <- []readmodels.Change{change("moved-unseen", 2, "d"), change("hidden", 1, "d")}
	l.expect("change", "d", `{"id":"moved-unseen","revision":2}`)
	missed.batches <- []readmodels.Change{change("moved-unseen", 3, "e")}
	l.expect("", "e", "")
}

func TestWhatCannotBeStreamedIsAProblem(t *testing.T) {
	feed := newFeed()
	w := newWorld(t, func(o *Options) { o.Feed = feed; o.Limits.PerClient = 2 })
	events := []string{"Accept", "text/event-stream"}
	w.send("GET", "/v1/orders?asOf=2026-03-01T00:00:00Z", "", events...).expect(http.StatusUnprocessableEntity, "invalid_request")
	w.send("GET", "/v1/orders/x?revision=1", "", events...).expect(http.StatusUnprocessableEntity, "invalid_request")
	w.send("GET", "/v1/orders", "", append(events, "Last-Event-ID", "broken")...).expect(http.StatusInternalServerError, "internal")
	w.shown.answer = func(string, readmodels.Ask) (readmodels.Answer, error) {
		return readmodels.Answer{}, domain.NotFound("order", "x")
	}
	w.send("GET", "/v1/orders/x", "", events...).expect(http.StatusNotFound, "not_found")
	w.send("GET", "/v1/orders/x", "", append(events, "Last-Event-ID", "there")...).expect(http.StatusNotFound, "not_found")
	w.shown.answer = nil
	w.listen("/v1/orders").next()
	w.listen("/v1/orders").next()
	w.send("GET", "/v1/orders", "", events...).expect(http.StatusTooManyRequests, "rate_limited")
	w.send("GET", "/v1/orders", "", "Accept", "application/json, text/event-stream;q=0").expect(http.StatusOK, "")
}

// stuckWriter is a reader that stopped reading: writes fail at their deadline.
type stuckWriter struct {
	http.ResponseWriter
	after int // writes that still get through
}

func (w *stuckWriter) Write(p []byte) (int, error) {
	if w.after--; w.after < 0 {
		return 0, errors.New("i/o timeout")
	}
	return len(p), nil
}

func (w *stuckWriter) Flush() {}

func TestASlowReaderIsCutOff(t *testing.T) {
	feed := newFeed()
	ended := make(chan string, 1)
	w := newWorld(t, func(o *Options) {
		o.Feed = feed
		o.Hooks.Stream = func(n int, why string) {
			if n < 0 {
				ended <- why
			}
		}
	})
	for n := range 10 {
		feed.batches <- []readmodels.Change{change("x", int64(n), strconv.Itoa(n))}
	}
	r := httptest.NewRequest("GET", "http://127.0.0.1/v1/orders", nil)
	r.Header.Set("Accept", "text/event-stream")
	w.Handler().ServeHTTP(&stuckWriter{httptest.NewRecorder(), 3}, r)
	if why := <-ended; why != "slow" {
		t.Errorf("it ended because: %s", why)
	}
}

func TestStreamsEndWithTheServerAndWithTheToken(t *testing.T) {
	feed := newFeed()
	i := newIssuer(t)
	w := i.secured(func(o *Options) { o.Feed = feed })
	short := w.listen("/v1/orders", "Authorization", "Bearer "+i.good(map[string]any{"exp": time.Now().Add(time.Second).Unix()}))
	long := w.listen("/v1/orders", "Authorization", "Bearer "+i.good(nil))
	for ok := true; ok; _, ok = short.next() {
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	for ok := true; ok; _, ok = long.next() {
	}
}

// TestAReaderWhoStaysIsNoSlowRequest: how long a stream is open is no time that it took to answer.
func TestAReaderWhoStaysIsNoSlowRequest(t *testing.T) {
	feed := newFeed()
	var later atomic.Int64
	served := make(chan time.Duration, 1)
	w := newWorld(t, func(o *Options) {
		o.Feed = feed
		o.Now = func() time.Time { return time.Now().Add(time.Duration(later.Load())) }
		o.Hooks.Served = func(_, _ string, _ int, elapsed time.Duration) { served <- elapsed }
	})
	l := w.listen("/v1/orders/x")
	l.next()
	later.Store(int64(1000 * time.Hour))
	l.cancel()
	if took := <-served; took > 500*time.Hour {
		t.Errorf("it took %s", took)
	}
}
