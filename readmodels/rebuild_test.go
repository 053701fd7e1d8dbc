package readmodels

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// tamper changes a stored body behind everybody's back.
func tamper(t *testing.T, store *memory, collection, id, body string) {
	t.Helper()
	store.mu.Lock()
	defer store.mu.Unlock()
	d, ok := store.collections[collection][id]
	if !ok {
		t.Fatalf("%s has no %s", collection, id)
	}
	checked, err := checkPut(Put{Document: Document{ID: id, Version: 1, Body: []byte(body)}})
	if err != nil {
		t.Fatal(err)
	}
	d.Body, d.values = []byte(body), checked[0].values
	store.collections[collection][id] = d
}

func stocked(s *script, skus int) {
	for i := range 3 * skus {
		s.append(fmt.Sprintf("inventory-S%d", i%skus), inventory.Received{Quantity: 5})
	}
}

func resultOf(t *testing.T, job Job) Rebuilt {
	t.Helper()
	var r Rebuilt
	if err := json.Unmarshal(job.Result, &r); err != nil {
		t.Fatalf("%s: %v", job.Result, err)
	}
	return r
}

func TestVerifyFindsExactlyWhatIsWrong(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	stocked(s, 20)
	follow(t, e, true)
	clean := resultOf(t, done(t, e, must(e.Operations().Verify(t.Context(), "stock_levels", "olga"))))
	if clean.Differing != 0 || clean.Checked != 20+60 {
		t.Fatalf("nothing is wrong, but: %+v", clean.Comparison)
	}
	body := string(must(store.Load(t.Context(), "stock_levels_1", []string{"S7"}))[0].Body)
	tamper(t, store, "stock_levels_1", "S7", `{"onHand":16`+body[len(`{"onHand":15`):])
	row := string(must(store.Load(t.Context(), "stock_levels_1_rows", []string{"inventory-S9@000000000001"}))[0].Body)
	tamper(t, store, "stock_levels_1_rows", "inventory-S9@000000000001", row[:len(row)-1]+`,"reason":"?"}`)
	if err := store.Delete(t.Context(), "stock_levels_1", []string{"S3"}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(t.Context(), "stock_levels_1", []Put{{Document: Document{ID: "GHOST", Version: 1, Sources: map[string]int64{"inventory-GHOST": 0}, Body: []byte(`{}`)}}}); err != nil {
		t.Fatal(err)
	}
	found := resultOf(t, done(t, e, must(e.Operations().Verify(t.Context(), "stock_levels", "olga"))))
	got := map[string]string{}
	for _, d := range found.Differences {
		got[d.Document+" "+d.Field] = string(d.Live) + " " + string(d.Expected)
	}
	want := map[string]bool{"S7 onHand": true, "inventory-S9@000000000001 reason": true, "S3 ": true, "GHOST ": true}
	if len(got) != len(want) || found.Differing != 4 {
		t.Fatalf("%+v", found.Comparison)
	}
	for at := range want {
		if _, ok := got[at]; !ok {
			t.Errorf("%q is missing among %v", at, got)
		}
	}
	if got["S7 onHand"] != "16 15" {
		t.Errorf("S7 onHand: %s", got["S7 onHand"])
	}
}

// loads counts how often documents of one collection were asked for.
type loads struct {
	*memory
	collection string
	count      atomic.Int64
}

func (l *loads) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if collection == l.collection {
		l.count.Add(1)
	}
	return l.memory.Load(ctx, collection, ids)
}

// A read model that lost every document is found out without waiting for each of them.
func TestVerifyWaitsOnceForWhatIsMissing(t *testing.T) {
	s, store := newScript(), newMemory()
	stocked(s, 60)
	counted := &loads{memory: store, collection: "stock_levels_1"}
	e := s.side(counted)
	e.Start(t.Context())
	found := resultOf(t, done(t, e, must(e.Operations().Verify(t.Context(), "stock_levels", "olga"))))
	if found.Differing != 60 {
		t.Errorf("%d of 60 documents are missed", found.Differing)
	}
	if n := counted.count.Load() - 180; n > 20 { // each row asks once for the document that it belongs to
		t.Errorf("60 missing documents were asked for %d times", n)
	}
}

// Where no worker runs, nobody takes over the job of a command that was killed; the next command does. If the
// first was only held up, it finds its job ended and leaves off.
func TestAnAbandonedJobMakesRoom(t *testing.T) {
	t.Parallel()
	s, store := newScript(), newMemory()
	stocked(s, 5)
	held := newSlow(store, "stock_levels_2")
	killed := s.side(held)
	killed.Start(t.Context())
	lost := must(killed.Operations().Rebuild(t.Context(), "stock_levels", "olga", false))
	<-held.hit
	alive := s.side(store)
	alive.Start(t.Context())
	if _, err := alive.Operations().Verify(t.Context(), "stock_levels", "olga"); domain.CodeOf(err) != "job_running" {
		t.Errorf("a job at work was pushed aside: %v", err)
	}
	later := s.side(store, func(o *Options) { o.DeadAfter = -time.Hour }) // to it, that process has been silent for long
	later.Start(t.Context())
	done(t, later, must(later.Operations().Verify(t.Context(), "stock_levels", "olga")))
	if job := must(later.Operations().Job(t.Context(), lost.ID)); job.State != JobFailed || job.Code != "abandoned" {
		t.Errorf("the lost job is %s (%s)", job.State, job.Code)
	}
	eventually(t, "the process that was held up leaves off", func() bool {
		killed.operations.mu.Lock()
		defer killed.operations.mu.Unlock()
		return len(killed.operations.running) == 0
	})
	if job := must(later.Operations().Job(t.Context(), lost.ID)); job.State != JobFailed || job.Code != "abandoned" {
		t.Errorf("in the end the lost job is %s (%s)", job.State, job.Code)
	}
}

func TestRebuildRepairsAndRollbackReturns(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	stocked(s, 20)
	follow(t, e, true)
	body := string(must(store.Load(t.Context(), "stock_levels_1", []string{"S7"}))[0].Body)
	tamper(t, store, "stock_levels_1", "S7", `{"onHand":16`+body[len(`{"onHand":15`):])
	job := done(t, e, must(e.Operations().Rebuild(t.Context(), "stock_levels", "olga", false)))
	if r := resultOf(t, job); r.Differing != 1 || r.Differences[0].Document != "S7" || r.Differences[0].Field != "onHand" || r.Switched {
		t.Fatalf("%+v", r)
	}
	if onHand, _ := stockOf(t, e, "S7"); onHand != 16 {
		t.Fatalf("a rebuild must not switch by itself: %d", onHand)
	}
	shown := must(e.Operations().Show(t.Context(), "stock_levels"))
	if !shown.Ready || shown.Building == 0 || shown.Generation != 1 {
		t.Fatalf("%+v", shown)
	}
	r := s.append("inventory-S7", inventory.Received{Quantity: 1})
	deliver(t, e, []domain.Delivery{{Recorded: r}})
	done(t, e, must(e.Operations().Switch(t.Context(), "stock_levels", "olga")))
	if onHand, _ := stockOf(t, e, "S7"); onHand != 16 {
		t.Fatalf("after the switch %d on hand, want 15 and 1", onHand)
	}
	sameStock(t, s, e)
	r = s.append("inventory-S7", inventory.Received{Quantity: 1})
	deliver(t, e, []domain.Delivery{{Recorded: r}})
	done(t, e, must(e.Operations().Rollback(t.Context(), "stock_levels", "olga")))
	if onHand, revision := stockOf(t, e, "S7"); onHand != 18 || revision != 4 {
		t.Fatalf("after the rollback %d on hand at %d: the old generation has to be kept up to date", onHand, revision)
	}
	if _, err := e.Operations().Switch(t.Context(), "stock_levels", "olga"); domain.CodeOf(err) != "not_ready" {
		t.Errorf("a switch with nothing built: %v", err)
	}
}

// Readers poll throughout a rebuild, a switch, a rollback and the end of old generations, while events
// come: none sees an error, a missing document, or one that goes back.
func TestReadersSeeNoHole(t *testing.T) {
	s := newScript()
	store := newMemory()
	e := s.side(store)
	stocked(s, 20)
	follow(t, e, true)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			last := map[string]int64{}
			for n := i; ctx.Err() == nil; n++ {
				sku := fmt.Sprintf("S%d", n%20)
				answer, err := answerStock(t.Context(), e.Reader(), Ask{Params: map[string]string{"sku": sku}})
				if err != nil {
					t.Errorf("%s: %v", sku, err)
					return
				}
				if at := answer.Body.(Stock).Revision; at < last[sku] {
					t.Errorf("%s went back from %d to %d", sku, last[sku], at)
					return
				} else {
					last[sku] = at
				}
				list, err := stockList.answer(t.Context(), e.Reader(), Ask{})
				if err != nil || len(list.Items) != 20 {
					t.Errorf("%d items, %v", len(list.Items), err)
					return
				}
			}
		})
	}
	group.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			r := s.append(fmt.Sprintf("inventory-S%d", i%20), inventory.Received{Quantity: 1})
			deliver(t, e, []domain.Delivery{{Recorded: r}})
			rest(ctx, time.Millisecond)
		}
	})
	for range 2 {
		done(t, e, must(e.Operations().Rebuild(t.Context(), "stock_levels", "olga", true)))
		done(t, e, must(e.Operations().Rollback(t.Context(), "stock_levels", "olga")))
	}
	cancel()
	group.Wait()
	eventually(t, "all is applied", func() bool { return e.lag.now("stock_levels").Events == 0 })
	sameStock(t, s, e)
}

func TestInterruptedRebuildGoesOn(t *testing.T) {
	s := newScript()
	store := newMemory()
	stocked(s, 50)
	e := s.side(store)
	stop := follow(t, e, true)
	slow := newSlow(store, "stock_levels_2")
	killed := s.side(slow)
	killed.Start(t.Context())
	job := must(killed.Operations().Rebuild(t.Context(), "stock_levels", "olga", true))
	<-slow.hit // it is in the middle
	killed.Stop()
	stop()
	half := len(dump(t, store, generation{stockLevels, 2}))
	if half == 0 || half >= 200 {
		t.Fatalf("interrupted with %d documents and rows", half)
	}
	heir := s.side(store)
	follow(t, heir, true)
	eventually(t, "another process takes the job over", func() bool {
		heir.operations.adopt(t.Context())
		taken, err := heir.Operations().Job(t.Context(), job.ID)
		return err == nil && taken.State == JobDone
	})
	shown := must(heir.Operations().Show(t.Context(), "stock_levels"))
	if shown.Generation != 2 || shown.Previous != 1 {
		t.Errorf("%+v", shown)
	}
	sameStock(t, s, heir)
}

// slow holds writes to a collection after the first few.
type slow struct {
	*memory
	collection string
	hit        chan struct{}
	once       sync.Once
}

func newSlow(store *memory, collection string) *slow {
	return &slow{memory: store, collection: collection, hit: make(chan struct{})}
}

func (s *slow) Write(ctx context.Context, collection string, puts []Put) ([]bool, error) {
	if collection == s.collection {
		half := puts[:max(1, len(puts)/2)]
		done, err := s.memory.Write(ctx, collection, half)
		s.once.Do(func() { close(s.hit) })
		<-ctx.Done()
		_, _ = done, err
		return nil, ended(ctx)
	}
	return s.memory.Write(ctx, collection, puts)
}

func TestOneJobAtATime(t *testing.T) {
	s := newScript()
	store := newMemory()
	stocked(s, 5)
	held := newSlow(store, "stock_levels_2")
	e := s.side(held)
	follow(t, e, true)
	job := must(e.Operations().Rebuild(t.Context(), "stock_levels", "olga", false))
	<-held.hit
	if _, err := e.Operations().Verify(t.Context(), "stock_levels", "olga"); domain.CodeOf(err) != "job_running" {
		t.Errorf("a second job: %v", err)
	}
	if shown := must(e.Operations().Show(t.Context(), "stock_levels")); shown.State != StateRebuilding || shown.Job == nil || shown.Job.ID != job.ID {
		t.Errorf("%+v", shown)
	}
	must(e.Operations().CancelJob(t.Context(), job.ID))
	eventually(t, "the job is cancelled", func() bool { return must(e.Operations().Job(t.Context(), job.ID)).State == JobCancelled })
	if _, err := e.Operations().CancelJob(t.Context(), job.ID); domain.CodeOf(err) != "job_ended" {
		t.Errorf("cancelled twice: %v", err)
	}
	if jobs := must(e.Operations().Jobs(t.Context(), 0)); len(jobs) != 1 || jobs[0].ID != job.ID {
		t.Errorf("%+v", jobs)
	}
	if _, err := e.Operations().Job(t.Context(), "nonsense"); domain.KindOf(err) != domain.KindNotFound {
		t.Errorf("%v", err)
	}
}

func TestChangedFoldIsBuiltBesideAndTakesOver(t *testing.T) {
	s := newScript()
	store := newMemory()
	stocked(s, 5)
	stop := follow(t, s.side(store), true)
	stop()
	raised := *stockLevels
	raised.Version++
	e := s.side(store, func(o *Options) { o.Models = []*Model{&raised} })
	follow(t, e, true)
	e.operations.adopt(t.Context())
	eventually(t, "the new generation serves", func() bool {
		return must(e.Operations().Show(t.Context(), "stock_levels")).Generation == 2
	})
	if shown := must(e.Operations().Show(t.Context(), "stock_levels")); shown.FoldVersion != raised.Version {
		t.Errorf("%+v", shown)
	}
	eventually(t, "the job is over", func() bool { return must(e.registry.fresh(t.Context(), &raised)).Job == "" })
	done(t, e, must(e.Operations().Rollback(t.Context(), "stock_levels", "olga")))
	e.operations.adopt(t.Context())
	if shown := must(e.Operations().Show(t.Context(), "stock_levels")); shown.Generation != 1 || shown.Job != nil {
		t.Errorf("a rollback must hold against the upgrade: %+v", shown)
	}
}

func TestRetiredGenerationsAreDropped(t *testing.T) {
	s := newScript()
	store := newMemory()
	stocked(s, 3)
	e := s.side(store)
	follow(t, e, true)
	done(t, e, must(e.Operations().Rebuild(t.Context(), "stock_levels", "olga", true)))
	done(t, e, must(e.Operations().Drop(t.Context(), "stock_levels", "olga")))
	s.mu.Lock()
	s.clock = s.clock.Add(time.Hour)
	s.mu.Unlock()
	eventually(t, "its collections are gone", func() bool {
		e.operations.adopt(t.Context())
		for _, name := range must(store.Collections(t.Context())) {
			if name == "stock_levels_1" || name == "stock_levels_1_rows" {
				return false
			}
		}
		return true
	})
	sameStock(t, s, e)
}
