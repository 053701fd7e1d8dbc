package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sseFrame is one frame of a live stream.
type sseFrame struct {
	event, id string
	data      map[string]any
}

// sseReader listens to a live stream.
type sseReader struct {
	t      *testing.T
	frames chan sseFrame
	cancel context.CancelFunc
	last   string // id of the newest frame that had one
}

func (e *edge) listen(path, last string) *sseReader {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e.t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, "GET", e.app.url+path, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	request.Header.Set("Accept", "text/event-stream")
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		e.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		e.t.Fatalf("%s: %d", path, response.StatusCode)
	}
	r := &sseReader{t: e.t, frames: make(chan sseFrame, 1000), cancel: cancel, last: last}
	go func() {
		defer response.Body.Close()
		defer close(r.frames)
		lines, frame := bufio.NewScanner(response.Body), sseFrame{}
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				frame.event = value
			case "id":
				frame.id = value
			case "data":
				_ = json.Unmarshal([]byte(value), &frame.data) // a reset has an empty object
			case "":
				if lines.Text() == "" {
					r.frames <- frame
					frame = sseFrame{}
				}
			}
		}
	}()
	return r
}

// change is the next frame that shows something; ok is false at the end.
func (r *sseReader) change() (sseFrame, bool) {
	r.t.Helper()
	late := time.After(patience) // whatever signs of life come
	for {
		select {
		case f, ok := <-r.frames:
			if f.id != "" {
				r.last = f.id
			}
			if !ok || f.event != "" {
				return f, ok
			}
		case <-late:
			r.t.Fatal("no frame came")
		}
	}
}

// rebuilt builds a read model anew and lets the new generation serve.
func (e *edge) rebuilt(model string) {
	e.t.Helper()
	job := e.send("POST", "/v1/ops/readmodels/"+model+"/rebuild", `{"switch":true}`).expect(http.StatusAccepted, "").header.Get("Location")
	e.until("the new generation serves", patience, func() bool { return e.send("GET", job, nil).json()["state"] == "done" })
}

// TestALiveStreamIsResumedWithoutLoss: what happened while nobody listened, while the program was down and
// up again, and while a new generation took over, is told after all, and nothing is told twice.
func TestALiveStreamIsResumedWithoutLoss(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{data: t.TempDir()})
	s := e.furnish("ann")
	path := "/v1/accounts/" + s.account + "/statement"
	deposit := func(n int) {
		e.send("POST", "/v1/accounts/"+s.account+"/deposits", fmt.Sprintf(`{"amount":%d,"currency":"EUR"}`, n)).expect(http.StatusOK, "")
	}
	e.shown(path)
	var seen []float64
	take := func(r *sseReader, upTo float64) {
		t.Helper()
		for {
			f, ok := r.change()
			if !ok || f.event != "change" {
				t.Fatalf("frame %+v, more to come: %v; so far %v", f, ok, seen)
			}
			seen = append(seen, f.data["amount"].(float64))
			if f.data["amount"] == upTo {
				return
			}
		}
	}
	r := e.listen(path, "")
	take(r, 50000)
	for n := 1; n <= 10; n++ {
		deposit(n)
	}
	take(r, 10)
	r.cancel()
	for n := 11; n <= 20; n++ { // nobody listens
		deposit(n)
	}
	e.shown(path)
	r = e.listen(path, r.last)
	take(r, 20)
	e.stop()
	if f, ok := r.change(); ok {
		t.Fatalf("the stream outlives the program: %+v", f)
	}
	e.start()
	for n := 21; n <= 30; n++ {
		deposit(n)
	}
	r = e.listen(path, r.last)
	take(r, 30)
	e.rebuilt("account_statement") // somebody listens
	for n := 31; n <= 40; n++ {
		deposit(n)
	}
	take(r, 40)
	r.cancel()
	deposit(41)
	e.rebuilt("account_statement") // nobody listens
	deposit(42)
	e.shown(path)
	r = e.listen(path, r.last)
	take(r, 42)
	for i, amount := range seen {
		if i > 0 && amount != float64(i) {
			t.Fatalf("frame %d shows %v: %v", i, amount, seen)
		}
	}
	if len(seen) != 43 {
		t.Errorf("%d frames: %v", len(seen), seen)
	}
}

// TestAnEntityIsFollowedToItsEnd: an order's stream shows what its fulfilment does, too.
func TestAnEntityIsFollowedToItsEnd(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{})
	s := e.furnish("ann")
	r := e.listen("/v1/orders/"+s.order, "")
	first, _ := r.change()
	if first.data["status"] != "created" {
		t.Fatalf("%+v", first)
	}
	e.send("POST", "/v1/orders/"+s.order+"/confirm", nil).expect(http.StatusOK, "")
	for {
		f, ok := r.change()
		if !ok || f.event != "change" {
			t.Fatalf("%+v", f)
		}
		if f.data["status"] == "prepared" {
			break
		}
	}
	e.send("POST", "/v1/orders/"+s.order+"/ship", `{"carrier":"DHL","trackingNumber":"x"}`).expect(http.StatusOK, "")
	for {
		f, ok := r.change()
		if !ok {
			t.Fatal("it ended")
		}
		if process, _ := f.data["fulfilment"].(map[string]any); f.data["status"] == "shipped" && process["status"] == "completed" {
			break
		}
	}
	e.send("GET", "/v1/orders/"+s.order, nil).expect(http.StatusOK, "")
}
