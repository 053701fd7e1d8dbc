package sqlitedocs

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// Nothing goes on after Close.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A store that only dawdles keeps every promise.
func TestContractWithDelays(t *testing.T) {
	documentstest.Run(t, func(t *testing.T) readmodels.Documents {
		store := open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
		return documentstest.NewFaulty(store, documentstest.Faults{Seed: 1, Delay: 200 * time.Microsecond})
	})
}

// Workers that only ever load, write on a condition and try again bring every document to its end, one step at a
// time, whatever the store does to them.
func TestWorkersOnAFaultyStore(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	store := open(t, filepath.Join(t.TempDir(), "documents.db"), Options{})
	if err := store.Ensure(t.Context(), readmodels.Collection{Name: "orders", Indexes: [][]string{{"steps"}}}); err != nil {
		t.Fatal(err)
	}
	faulty := documentstest.NewFaulty(store, documentstest.Faults{
		Seed: seed, Unavailable: 0.1, Lost: 0.1, Partial: 0.1, Delay: 100 * time.Microsecond,
	})
	const documents, workers, target = 8, 4, 12
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)))
			for !advance(t, faulty, random, documents, target) {
			}
		})
	}
	wg.Wait()
	if faulty.Injected() == 0 {
		t.Error("no fault was injected")
	}
	faulty.Heal()
	found, err := faulty.Find(t.Context(), "orders", readmodels.Find{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var want []readmodels.Document
	for d := range documents {
		want = append(want, stepped(d, target))
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Fatal(diff)
	}
}

// stepped is a document after some steps; it counts them, so that none can be lost or done twice unseen.
func stepped(d int, steps int64) readmodels.Document {
	id := fmt.Sprintf("order-%d", d)
	return readmodels.Document{ID: id, Version: steps, Sources: map[string]int64{id: steps - 1}, Body: fmt.Appendf(nil, `{"steps":%d}`, steps)}
}

// advance moves some documents by one step and says whether all have arrived.
func advance(t *testing.T, docs readmodels.Documents, random *rand.Rand, documents int, target int64) (done bool) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ids := make([]string, documents)
	for d := range ids {
		ids[d] = stepped(d, 0).ID
	}
	loaded, err := docs.Load(ctx, "orders", ids)
	if err != nil {
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("load: %v", err)
			return true
		}
		return false
	}
	at := map[string]int64{}
	for _, document := range loaded {
		at[document.ID] = document.Version
	}
	var puts []readmodels.Put
	done = true
	for d, id := range ids {
		if at[id] == target {
			continue
		}
		done = false
		if random.IntN(2) == 0 {
			puts = append(puts, readmodels.Put{Document: stepped(d, at[id]+1), IfVersion: at[id]})
		}
	}
	if _, err := docs.Write(ctx, "orders", puts); err != nil {
		switch domain.KindOf(err) {
		case domain.KindUnavailable, domain.KindUnknown:
			return false
		}
		t.Errorf("write: %v", err)
		return true
	}
	return done
}
