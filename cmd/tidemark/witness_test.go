package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// witness remembers what the whole program told its callers and its document store, so that the end of a test
// can be held against it; see holdInvariants. It knows the program's goroutines by a label that they inherit.
type witness struct {
	mu     sync.Mutex
	spoken []exchange                        // answers to commands
	faults []string                          // answers that nobody may ever get
	writes map[documentPlace]map[int64]int64 // of each document: the version before a write, and that after it
	broken []string                          // writes that took a document back, or from under another
	label  string
}

// exchange is a request with its answer.
type exchange struct {
	method, path string
	body         []byte
	asked        http.Header
	status       int
	header       http.Header
	answer       []byte
}

// dry tells that nothing was to be done.
func (s exchange) dry() bool { return strings.Contains(s.path, "dryRun=true") }

// done tells that the command was acknowledged.
func (s exchange) done() bool { return s.status < 300 && !s.dry() }

// undone tells that the caller was told that nothing was done: a refusal, or a store that can't be reached.
func (s exchange) undone() bool {
	return s.dry() || s.status >= 400 && s.status < 500 || s.status == http.StatusServiceUnavailable
}

type documentPlace struct{ collection, id string }

func newWitness() *witness {
	return &witness{writes: map[documentPlace]map[int64]int64{}}
}

// stack is how traces of goroutines begin, which are nobody's business.
var stack = regexp.MustCompile(`goroutine \d+ \[`)

// heard notes an answer.
func (w *witness) heard(s exchange) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s.status == http.StatusInternalServerError || stack.Match(s.answer) {
		w.faults = append(w.faults, fmt.Sprintf("%s %s: %d %.300s", s.method, s.path, s.status, s.answer))
	}
	if (s.method == http.MethodPost || s.method == http.MethodDelete) && !strings.HasPrefix(s.path, "/v1/ops") && !strings.HasPrefix(s.path, "/v1/import") {
		w.spoken = append(w.spoken, s)
	}
}

// all are the answers to commands so far.
func (w *witness) all() []exchange {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spoken[:len(w.spoken):len(w.spoken)]
}

// of gives documents whose writes are noted.
func (w *witness) of(documents readmodels.Documents) readmodels.Documents {
	return witnessed{documents, w}
}

// witnessed is a document store whose writes are noted.
type witnessed struct {
	readmodels.Documents
	witness *witness
}

// Write implements readmodels.Documents.
func (d witnessed) Write(ctx context.Context, collection string, puts []readmodels.Put) ([]bool, error) {
	done, err := d.Documents.Write(ctx, collection, puts)
	if err == nil && !strings.HasPrefix(collection, "_") { // bookkeeping is deleted and begins anew
		d.witness.wrote(collection, puts, done)
	}
	return done, err
}

// Watch implements readmodels.Watcher, where the store does.
func (d witnessed) Watch(ctx context.Context, collection string, changed func(ids []string)) error {
	watcher, ok := d.Documents.(readmodels.Watcher)
	if !ok {
		return errors.ErrUnsupported
	}
	return watcher.Watch(ctx, collection, changed)
}

// wrote notes writes that were done, in whatever order their answers come: each takes its document from a
// version that no other write took it from to a higher one.
func (w *witness) wrote(collection string, puts []readmodels.Put, done []bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, put := range puts {
		if i >= len(done) || !done[i] {
			continue
		}
		place, to := documentPlace{collection, put.Document.ID}, put.Document.Version
		if w.writes[place] == nil {
			w.writes[place] = map[int64]int64{}
		}
		if other, twice := w.writes[place][put.IfVersion]; twice && other != to || to <= put.IfVersion {
			w.broken = append(w.broken, fmt.Sprintf("%s of %s went from version %d to %d, and to %d", place.id, collection, put.IfVersion, to, other))
		}
		w.writes[place][put.IfVersion] = to
	}
}

var labelled atomic.Int64

// begin gives a context for what the program starts now, and labels the goroutine of the caller so that all
// that come of it bear the label.
func (w *witness) begin() context.Context {
	w.label = fmt.Sprintf("edge-%d", labelled.Add(1))
	ctx := pprof.WithLabels(context.Background(), pprof.Labels("program", w.label))
	pprof.SetGoroutineLabels(ctx)
	return ctx
}

// allEnded waits until no goroutine of the program is left after it stopped.
func (w *witness) allEnded(t testing.TB) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		left := w.goroutines()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("I-22: the program stopped and left %d kinds of goroutines:\n%s", len(left), strings.Join(left, "\n"))
			return
		}
	}
}

// goroutines are those that bear the program's label, alike ones in one piece.
func (w *witness) goroutines() (left []string) {
	var all bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
		return []string{err.Error()}
	}
	for piece := range strings.SplitSeq(all.String(), "\n\n") {
		if strings.Contains(piece, fmt.Sprintf("%q:%q", "program", w.label)) {
			left = append(left, piece)
		}
	}
	return left
}
