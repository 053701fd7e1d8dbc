package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// bigAnswer is more than the buffers of a connection take.
const bigAnswer = 24 << 20

// answeringBig makes a world whose board is a big answer; one query may be worked on at a time.
func answeringBig(t *testing.T, edit func(*Options)) *world {
	t.Helper()
	w := newWorld(t, func(o *Options) { o.Limits.Queries, o.pieceTimeout = 1, patience }, edit)
	text := strings.Repeat("a", bigAnswer)
	w.shown.answer = func(operation string, _ readmodels.Ask) (readmodels.Answer, error) {
		if operation == "getBoard" {
			return readmodels.Answer{Body: map[string]any{"text": text}}, nil
		}
		return readmodels.Answer{List: true}, nil
	}
	return w
}

// asksAndDoesNotRead sends a request whose answer is big.
func (w *world) asksAndDoesNotRead() *dialled {
	w.t.Helper()
	conn := dial(w.t, w.listening(), nil)
	conn.ask("GET", "/v1/board")
	return conn
}

// TestASlowReaderKeepsNobodyFromAnAnswer: the slot is free as soon as the work is done, and who does read on,
// however late, gets the whole answer.
func TestASlowReaderKeepsNobodyFromAnAnswer(t *testing.T) {
	w := answeringBig(t, func(*Options) {})
	slow := w.asksAndDoesNotRead()
	eventually(t, "it is being answered", func() bool { return w.heldBytes() > bigAnswer })
	for range 3 {
		w.send("GET", "/v1/products", "").expect(http.StatusOK, "")
	}
	response, err := http.ReadResponse(slow.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n < bigAnswer {
		t.Errorf("%d bytes, %v", n, err)
	}
	eventually(t, "nothing is held any more", func() bool { return w.heldBytes() == 0 })
}

// TestAReaderWhoTakesNothingIsCutOff by the bound for a piece, and what it was sent is given up.
func TestAReaderWhoTakesNothingIsCutOff(t *testing.T) {
	var served atomic.Bool
	w := answeringBig(t, func(o *Options) {
		o.pieceTimeout = 100 * time.Millisecond
		o.Hooks.Served = func(string, string, int, time.Duration) { served.Store(true) }
	})
	slow := w.asksAndDoesNotRead()
	eventually(t, "it is given up", func() bool { return served.Load() && w.heldBytes() == 0 })
	response, err := http.ReadResponse(slow.reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, response.Body); err == nil {
		t.Errorf("%d bytes look like a whole answer", n)
	}
}

// TestIdleConnectionsEnd: after their bound, without a word.
func TestIdleConnectionsEnd(t *testing.T) {
	const bound = 300 * time.Millisecond
	w := newWorld(t, func(o *Options) { o.idleTimeout = bound })
	conn := dial(t, w.listening(), nil)
	began := time.Now()
	conn.gets("GET", "/v1/board", http.StatusOK)
	conn.isClosed()
	if took := time.Since(began); took < bound {
		t.Errorf("closed after %s already", took)
	}
}

// TestWhoLeavesTheQueueIsNotWorkedFor: a caller who goes away while waiting for a slot gives up the place.
func TestWhoLeavesTheQueueIsNotWorkedFor(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Commands, o.Limits.QueueWait, o.RequestTimeout = 1, patience, patience })
	addr := w.listening()
	w.commands.block = make(chan struct{})
	first := dial(t, addr, nil)
	first.ask("POST", confirmPath)
	eventually(t, "the first is worked for", func() bool { return len(w.commands.took()) == 1 })
	g := w.gates[classCommand]
	for n, request := range []string{
		"Content-Length: 0\r\n\r\n",
		fmt.Sprintf("Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(orderBody), orderBody),
	} {
		path := []string{confirmPath, "/v1/orders"}[n]
		left := dial(t, addr, nil)
		if _, err := io.WriteString(left, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+request); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it waits", func() bool { return g.waiting.Load() == 1 })
		_ = left.Close()
		eventually(t, "it left", func() bool { return g.waiting.Load() == 0 && w.heldBytes() == 0 })
	}
	close(w.commands.block)
	if got := first.answer(); got.StatusCode != http.StatusOK {
		t.Errorf("the first got %d", got.StatusCode)
	}
	eventually(t, "the slot is free", func() bool { return len(g.slots) == 0 })
	if n := len(w.commands.took()); n != 1 {
		t.Errorf("%d commands were carried out", n)
	}
}
