package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// employ lets a process work on the groups of all read models; leave ends it, whatever it has in its hands.
func (w *readWorld) employ(documents readmodels.Documents) (leave func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	e := w.side(documents)
	var groups sync.WaitGroup
	for _, m := range e.Models() {
		groups.Go(func() {
			_ = w.store.Consume(ctx, domain.Group{Name: m.Name, Prefixes: m.Prefixes()}, application.Batching{Size: 10}, e.Projector(m.Name).Handle)
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		groups.Wait()
	})
}

// TestWorkersMayComeAndGo: workers join the groups and leave them amid their work, again and again, while events come.
// Readers see no error and nothing that goes back, and without any sweep the documents end as an orderly reading of
// the log makes them.
func TestWorkersMayComeAndGo(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newReadWorld(t)
	documents := w.documents()
	if err := w.side(documents).Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	reading, rest := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() { w.readOn(reading, documents) })

	leave := []func(){w.employ(documents), w.employ(documents)}
	for range 12 {
		w.history(random, 15)
		gone := random.IntN(len(leave))
		leave = append(leave, w.employ(documents))
		leave[gone]()
		leave = append(leave[:gone], leave[gone+1:]...)
	}
	want := w.orderly()
	deadline := time.Now().Add(patience)
	for diff := "?"; diff != ""; {
		if diff = cmp.Diff(want, w.contents(documents)); diff != "" && time.Now().After(deadline) {
			t.Errorf("seed %d: documents differ (-orderly +now):\n%s", seed, diff)
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	rest()
	reader.Wait()
	for _, last := range leave {
		last()
	}
}

// readOn reads the list of stock levels until ctx ends.
func (w *readWorld) readOn(ctx context.Context, documents readmodels.Documents) {
	reader, shown := w.side(documents).Reader(), map[string]int64{}
	for ctx.Err() == nil {
		for _, screen := range readmodels.Screens() {
			if screen.Operation != "listStock" {
				continue
			}
			answer, err := screen.Answer(w.t.Context(), reader, readmodels.Ask{})
			if err != nil || len(answer.Items) < len(shown) {
				w.t.Errorf("a reader sees %d of %d items (%v)", len(answer.Items), len(shown), err)
				return
			}
			for _, item := range answer.Items {
				stock := item.(readmodels.Stock)
				if stock.Revision < shown[stock.SKU] {
					w.t.Errorf("%s goes back from %d to %d", stock.SKU, shown[stock.SKU], stock.Revision)
				}
				shown[stock.SKU] = stock.Revision
			}
		}
		<-time.After(time.Millisecond)
	}
}
