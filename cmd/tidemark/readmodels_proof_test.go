package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// Several processes take random shares of the deliveries, repeated, shuffled, some lost, over a document
// store that fails and dawdles, while processes restart: the documents end as an orderly fold makes them.
func TestReadModelsEndInTheSameBytesOverFaultyStores(t *testing.T) {
	t.Parallel()
	proveSameBytes(t, proof{events: 250, workers: []int{1, 4, 16}, documents: func(_ *testing.T, w *readWorld) readmodels.Documents { return w.documents() }})
}

// proof says how large it is and over which document store, which is empty each time.
type proof struct {
	events    int
	workers   []int
	documents func(t *testing.T, w *readWorld) readmodels.Documents
}

func proveSameBytes(t *testing.T, p proof) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newReadWorld(t)
	w.history(random, p.events)
	deliveries := w.everything()
	want := w.orderly()
	for _, workers := range p.workers {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) {
			documents := p.documents(t, w)
			if err := w.side(documents).Prepare(t.Context()); err != nil {
				t.Fatal(err)
			}
			faulty := documentstest.NewFaulty(documents, documentstest.Faults{Seed: seed, Unavailable: 0.05, Lost: 0.05, Partial: 0.05})
			shares := make([][]domain.Delivery, workers)
			for range 2 {
				for _, d := range deliveries {
					if random.IntN(4) > 0 {
						n := random.IntN(workers)
						shares[n] = append(shares[n], d)
					}
				}
			}
			var group sync.WaitGroup
			for _, share := range shares {
				random.Shuffle(len(share), func(i, j int) { share[i], share[j] = share[j], share[i] })
				size := 1 + random.IntN(40)
				group.Go(func() { workThrough(t, w.side(faulty), share, size) })
			}
			group.Wait()
			faulty.Heal()
			last := w.side(documents)
			stop := w.follow(t, last)
			w.settled(last)
			stop()
			if diff := cmp.Diff(want, w.contents(documents)); diff != "" {
				t.Errorf("seed %d: documents differ (-orderly +now):\n%s", seed, diff)
			}
			if faulty.Injected() == 0 {
				t.Error("no fault came about")
			}
		})
	}
}

// workThrough handles deliveries batch by batch; what fails comes again later.
func workThrough(t *testing.T, e *readmodels.Engine, share []domain.Delivery, size int) {
	for _, m := range e.Models() {
		projector := e.Projector(m.Name)
		left := share
		for round := 0; len(left) > 0 && round < 1000; round++ {
			batch := left[:min(size, len(left))]
			left = left[len(batch):]
			for i, err := range projector.Handle(t.Context(), batch) {
				switch domain.KindOf(err) {
				case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict:
					left = append(left[:len(left):len(left)], batch[i])
				case domain.KindInternal:
					if err != nil {
						t.Errorf("%s: %v", m.Name, err)
					}
				}
			}
		}
		if len(left) > 0 {
			t.Errorf("%s: %d deliveries could never be handled", m.Name, len(left))
		}
	}
}

// follow runs a process's follower until the returned function is called.
func (w *readWorld) follow(t testing.TB, e *readmodels.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	e.Start(ctx)
	ended, caughtUp := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_ = e.Follow(ctx, true, func() { close(caughtUp) })
	}()
	<-caughtUp
	return sync.OnceFunc(func() {
		cancel()
		<-ended
		e.Stop()
	})
}

// await polls a job until it ends well.
func await(t testing.TB, e *readmodels.Engine, job readmodels.Job, err error) readmodels.Job {
	t.Helper()
	within := patience + time.Duration(*historyEvents)*time.Millisecond // a benchmark's rebuild may be a long one
	for deadline := time.Now().Add(within); err == nil && job.State == readmodels.JobRunning && time.Now().Before(deadline); {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
		job, err = e.Operations().Job(t.Context(), job.ID)
	}
	if err != nil || job.State != readmodels.JobDone {
		t.Fatalf("%s of %s: %s %s (%v)", job.Kind, job.Target, job.State, job.Error, err)
	}
	return job
}

// Read models are verified, rebuilt, switched and rolled back over the real stores while events come
// and readers poll.
func TestReadModelsAreRebuiltUnderTraffic(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	w := newReadWorld(t)
	w.history(rand.New(rand.NewPCG(seed, 0)), 200)
	w.append("inventory-SKU-POLLED", inventory.Received{Quantity: 1})
	documents := w.documents()
	e := w.side(documents)
	stop := w.follow(t, e)
	defer stop()
	w.settled(e)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	group.Go(func() { // one more piece now and then, by the sweep only
		for ctx.Err() == nil {
			w.append("inventory-SKU-POLLED", inventory.Received{Quantity: 1})
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	group.Go(func() { pollStock(ctx, t, e.Reader()) })
	for _, name := range []string{"stock_levels", "order_details", "audit_log"} { // one source, two, and rows only
		job, err := e.Operations().Verify(t.Context(), name, "tester")
		found := readmodels.Comparison{}
		if err := json.Unmarshal(await(t, e, job, err).Result, &found); err != nil || found.Differing != 0 || found.Checked == 0 {
			t.Errorf("verify %s: %+v (%v)", name, found, err)
		}
		job, err = e.Operations().Rebuild(t.Context(), name, "tester", true)
		rebuilt := readmodels.Rebuilt{}
		if err := json.Unmarshal(await(t, e, job, err).Result, &rebuilt); err != nil || rebuilt.Differing != 0 || !rebuilt.Switched {
			t.Errorf("rebuild %s: %+v (%v)", name, rebuilt, err)
		}
		job, err = e.Operations().Rollback(t.Context(), name, "tester")
		await(t, e, job, err)
	}
	cancel()
	group.Wait()
}

// pollStock reads one SKU again and again: always there, never an error, never going back.
func pollStock(ctx context.Context, t *testing.T, r *readmodels.Reader) {
	var get readmodels.Screen
	for _, s := range readmodels.Screens() {
		if s.Operation == "getStock" {
			get = s
		}
	}
	last := int64(-1)
	for ctx.Err() == nil {
		answer, err := get.Answer(t.Context(), r, readmodels.Ask{Params: map[string]string{"sku": "SKU-POLLED"}})
		if err != nil {
			t.Errorf("a reader saw %v", err)
			return
		}
		if at := answer.Body.(readmodels.Stock).Revision; at < last {
			t.Errorf("a reader went back from %d to %d", last, at)
			return
		} else {
			last = at
		}
	}
}
