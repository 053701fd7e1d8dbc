package httpapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// TestNobodyGetsMoreOfTheBudgetThanTheirPart: whatever is taken and given back, in any order.
func TestNobodyGetsMoreOfTheBudgetThanTheirPart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBudget(int64(rapid.IntRange(1, 16).Draw(t, "MiB")) << 20)
		shares := make([]*share, 12)
		for i := range shares {
			shares[i] = &share{budget: b, caller: []string{"", "ann", "ben"}[i%3]}
		}
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			s := rapid.SampledFrom(shares).Draw(t, "share")
			if rapid.Bool().Draw(t, "give back") {
				s.giveBack()
				continue
			}
			bytes := s.bytes + rapid.Int64Range(0, maxBody).Draw(t, "more")
			if fits, held := s.fits(bytes), s.hold(bytes); fits != held {
				t.Fatalf("fits %t, but was given %t", fits, held)
			}
			var all, large int64
			callers := map[string]int64{}
			for _, s := range shares {
				all, large = all+s.bytes, large+ofLarge(s.bytes)
				callers[s.caller] += s.bytes
			}
			if all != b.held || large != b.large || all > b.total || large > b.total/4*3 || callers["ann"] > b.total/4 || callers["ben"] > b.total/4 {
				t.Fatalf("%d held, %d of it large, by caller %v, and the budget has %+v", all, large, callers, b)
			}
		}
		for _, s := range shares {
			s.giveBack()
		}
		if b.held != 0 || b.large != 0 || len(b.callers) != 0 {
			t.Fatalf("after all were given back: %+v", b)
		}
	})
}

// trickle is a body that stays where it is until it is told to go on.
type trickle struct {
	io.Reader
	more io.Reader // after that
	next chan struct{}
	read atomic.Bool
}

func (b *trickle) Read(p []byte) (int, error) {
	b.read.Store(true)
	if n, err := b.Reader.Read(p); n > 0 || err == nil {
		return n, nil
	}
	<-b.next
	return b.more.Read(p)
}

// slowly posts an order whose sender stops after so many bytes of padding, of announced in all (-1: in chunks),
// until next is closed.
func (w *world) slowly(bytes int, announced int64, next chan struct{}) (*trickle, answered) {
	body := &trickle{Reader: strings.NewReader(strings.Repeat(" ", bytes)), more: strings.NewReader(orderBody), next: next}
	r := httptest.NewRequestWithContext(context.Background(), "POST", "http://127.0.0.1:8080/v1/orders", body)
	r.ContentLength = announced
	r.Header.Set("Content-Type", "application/json")
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	return body, w.do(r)
}

// heldBytes is what the bodies of all requests hold.
func (w *world) heldBytes() int64 {
	w.budget.mu.Lock()
	defer w.budget.mu.Unlock()
	return w.budget.held
}

// TestLargeBodiesLeaveRoomForSmallOnes: large ones that arrive slowly fill their part, another one is refused
// unread, and small ones go on; in the end nothing is held.
func TestLargeBodiesLeaveRoomForSmallOnes(t *testing.T) {
	for _, announced := range []int64{int64(300<<10 + len(orderBody)), -1} {
		t.Run(fmt.Sprint(announced), func(t *testing.T) {
			var shed atomic.Int64
			w := newWorld(t, func(o *Options) {
				o.Limits.Bodies = 2 << 20
				o.Hooks.Shed = func(class, reason string) {
					if class == classCommand && reason == "bodies" {
						shed.Add(1)
					}
				}
			})
			next := make(chan struct{})
			var slow sync.WaitGroup
			var done atomic.Int64
			const fit = 3 // 300 KiB each, in buffers of 512 KiB or of just their length
			for range fit {
				slow.Go(func() {
					if _, got := w.slowly(300<<10, announced, next); got.Code == http.StatusCreated {
						done.Add(1)
					}
				})
			}
			eventually(t, "the large ones have arrived", func() bool { return w.heldBytes() >= fit*(300<<10) })
			flows := make(chan struct{})
			close(flows)
			body, got := w.slowly(0, 1<<20, flows)
			got.expect(http.StatusServiceUnavailable, "overloaded")
			if got.Header().Get("Retry-After") == "" || body.read.Load() || shed.Load() != 1 {
				t.Errorf("Retry-After %q, read %t, %d counted", got.Header().Get("Retry-After"), body.read.Load(), shed.Load())
			}
			for range 3 {
				w.send("POST", "/v1/orders", orderBody).expect(http.StatusCreated, "")
			}
			close(next)
			slow.Wait()
			if done.Load() != fit || w.heldBytes() != 0 {
				t.Errorf("%d of %d slow ones were served, %d bytes are still held", done.Load(), fit, w.heldBytes())
			}
			w.send("POST", "/v1/orders", strings.Repeat(" ", maxBody-len(orderBody))+orderBody).expect(http.StatusCreated, "")
		})
	}
}

// TestWhatIsAnnouncedHoldsLittle: who announces much and sends nothing keeps nobody out.
func TestWhatIsAnnouncedHoldsLittle(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Bodies = 4 << 20 })
	next := make(chan struct{})
	var silent sync.WaitGroup
	for range 100 {
		silent.Go(func() { w.slowly(0, maxBody, next) })
	}
	eventually(t, "all wait for their bodies", func() bool { return w.heldBytes() == 100*firstRead })
	w.send("POST", "/v1/orders", strings.Repeat(" ", maxBody-len(orderBody))+orderBody).expect(http.StatusCreated, "")
	close(next)
	silent.Wait()
	if held := w.heldBytes(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}

// TestACallerHasAPartOfTheBudget: one who fills theirs keeps nobody else out.
func TestACallerHasAPartOfTheBudget(t *testing.T) {
	i := newIssuer(t)
	w := i.secured(func(o *Options) { o.Limits.Bodies = 4 << 20 })
	w.token = i.good(map[string]any{"sub": "ann"})
	next := make(chan struct{})
	var slow sync.WaitGroup
	slow.Go(func() { w.slowly(600<<10, 900<<10, next) })
	eventually(t, "it has arrived", func() bool { return w.heldBytes() == 900<<10 })
	large := strings.Repeat(" ", 500<<10) + orderBody
	w.send("POST", "/v1/orders", large).expect(http.StatusServiceUnavailable, "overloaded")
	w.send("POST", "/v1/orders", orderBody).expect(http.StatusCreated, "")
	w.token = i.good(map[string]any{"sub": "ben"})
	w.send("POST", "/v1/orders", large).expect(http.StatusCreated, "")
	close(next)
	slow.Wait()
	if held := w.heldBytes(); held != 0 || len(w.budget.callers) != 0 {
		t.Errorf("%d bytes are still held, by %v", held, w.budget.callers)
	}
}

// TestFewLargeBodiesAreTakenApartAtOnce: the others wait, and small ones don't.
func TestFewLargeBodiesAreTakenApartAtOnce(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Queue, o.Limits.QueueWait = 1, patience })
	g := w.gates[classBody]
	for range cap(g.slots) {
		g.slots <- struct{}{}
	}
	large := strings.Repeat(" ", smallBody) + orderBody
	code := make(chan int, 1)
	go func() { code <- w.send("POST", "/v1/orders", large).Code }()
	eventually(t, "one waits", func() bool { return g.waiting.Load() == 1 })
	w.send("POST", "/v1/orders", large).expect(http.StatusServiceUnavailable, "overloaded")
	w.send("POST", "/v1/orders", orderBody).expect(http.StatusCreated, "")
	<-g.slots
	if got := <-code; got != http.StatusCreated {
		t.Errorf("the one that waited got %d", got)
	}
}

// TestAnImportHoldsItsPartOfTheBudget: it is refused where there is no room for it, and reads on only when
// the long lines before are done, so that it never holds more.
func TestAnImportHoldsItsPartOfTheBudget(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Bodies = importBytes })
	w.send("POST", "/v1/import/orders", importLine("a"), "Content-Type", "application/x-ndjson").expect(http.StatusServiceUnavailable, "overloaded")
	synctest.Test(t, longLines)
}

func longLines(t *testing.T) {
	w := newWorld(t)
	w.commands.block = make(chan struct{})
	line := `{"customerId":"a",` + strings.Repeat(" ", maxBody*2/5) + importLine("a")[len(`{"customerId":"a",`):] + "\n"
	answers := make(chan answered, 1)
	go func() {
		answers <- w.send("POST", "/v1/import/orders", strings.Repeat(line, 5), "Content-Type", "application/x-ndjson")
	}()
	synctest.Wait()
	if n, held := len(w.commands.took()), w.heldBytes(); n != 2 || held != importBytes {
		t.Errorf("%d lines under way, %d bytes held", n, held)
	}
	close(w.commands.block)
	got := <-answers
	if results := got.results(); len(results) != 5 || results[4].Status != "created" {
		t.Errorf("%s", clipped(got.Body))
	}
	if held := w.heldBytes(); held != 0 {
		t.Errorf("%d bytes are still held", held)
	}
}
