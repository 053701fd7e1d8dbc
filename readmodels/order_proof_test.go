package readmodels

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
)

// orderly is what a single worker makes of the log, event by event.
func orderly(t *rapid.T, s *script) map[string]map[string]string {
	e := s.side(newMemory())
	for _, d := range s.deliveries() {
		deliver(t, e, []domain.Delivery{d})
	}
	return dumpAll(t, e)
}

func dumpAll(t *rapid.T, e *Engine) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, m := range e.Models() {
		all[m.Name] = dump(t, e.options.Documents, generation{m, 1})
	}
	return all
}

// Whatever order deliveries come in, repeated and lost ones included, in batches of any size and to any
// number of workers, the documents end in the same bytes.
func TestAnyDeliveryEndsInTheSameBytes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 60)
		want := orderly(t, s)
		all := s.deliveries()
		doubled := append(append([]domain.Delivery{}, all...), all...)
		shuffled := rapid.Permutation(doubled).Draw(t, "deliveries")
		shuffled = shuffled[:len(shuffled)-rapid.IntRange(0, len(shuffled)).Draw(t, "lost")]

		store := newMemory()
		workers := make([]*Engine, rapid.SampledFrom([]int{1, 2, 5, 16}).Draw(t, "workers"))
		for i := range workers {
			workers[i] = s.side(store)
		}
		size := rapid.IntRange(1, 20).Draw(t, "batch")
		var group sync.WaitGroup
		for i, e := range workers {
			group.Go(func() {
				for at := i * size; at < len(shuffled); at += len(workers) * size {
					deliver(t, e, shuffled[at:min(at+size, len(shuffled))])
				}
			})
		}
		group.Wait()
		restarted := s.side(store)
		if err := restarted.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, m := range restarted.Models() {
			var streams []string
			for _, d := range all {
				streams = append(streams, d.Stream)
			}
			if left, err := restarted.sweep(t.Context(), generation{m, 1}, streams, false); left > 0 {
				t.Fatalf("the sweep left %d: %v", left, err)
			}
		}
		if diff := cmp.Diff(want, dumpAll(t, restarted)); diff != "" {
			t.Fatalf("documents differ (-orderly +now):\n%s", diff)
		}
	})
}

// Every delivery is applied, repeated, blocked or none of the model's: nothing else can become of it.
func TestDeliveriesAreAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 40)
		for _, r := range s.events() {
			if rapid.IntRange(0, 9).Draw(t, "poison") == 0 {
				s.poison(r.Stream, r.Revision, true)
			}
		}
		total := map[string]Counts{}
		e := s.side(newMemory(), func(o *Options) {
			o.Hooks.Batch = func(model string, c Counts, _ time.Duration) {
				if c.Delivered != c.Applied+c.Duplicate+c.Blocked+c.Ignorable+c.Failed {
					t.Fatalf("%s: %+v doesn't add up", model, c)
				}
				sum := total[model]
				sum.Delivered += c.Delivered
				sum.Applied += c.Applied
				sum.Blocked += c.Blocked
				sum.Failed += c.Failed
				total[model] = sum
			}
		})
		all := s.deliveries()
		shuffled := rapid.Permutation(append(append([]domain.Delivery{}, all...), all...)).Draw(t, "deliveries")
		for len(shuffled) > 0 {
			n := min(len(shuffled), rapid.IntRange(1, 12).Draw(t, "batch"))
			deliver(t, e, shuffled[:n])
			shuffled = shuffled[n:]
		}
		for _, m := range e.Models() {
			if got := total[m.Name]; got.Failed != 0 || got.Delivered != 2*len(all) {
				t.Fatalf("%s: %+v of %d deliveries", m.Name, got, 2*len(all))
			}
		}
	})
}
