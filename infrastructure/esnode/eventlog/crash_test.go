package eventlog

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// attempt is an append that a crash test made: to one stream, of several events.
type attempt struct {
	stream string
	events []Proposed
}

// crashWorkload appends from several goroutines and notes in the disk's journal which appends were
// acknowledged, and when.
func crashWorkload(t *testing.T, log *Log, d *disk, seed uint64, n int) []attempt {
	ctx := context.Background()
	attempts := make([]attempt, n)
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range attempts {
		a := attempt{stream: fmt.Sprintf("order-%d", random.IntN(12))}
		for j := range 1 + random.IntN(5) {
			a.events = append(a.events, Proposed{ID: id(fmt.Sprintf("%d.%d", i, j)), Type: "t", Data: make([]byte, random.IntN(3000)), Metadata: []byte{byte(j)}})
		}
		attempts[i] = a
	}
	var group sync.WaitGroup
	const writers = 4
	for w := range writers {
		group.Go(func() {
			for i := w; i < n; i += writers {
				if i == n/2 { // catches up while the others append
					if err := log.EnableProjection(ctx, Streams); err != nil {
						t.Errorf("enable: %v", err)
					}
				}
				if _, err := log.Append(ctx, attempts[i].stream, Any, attempts[i].events); err != nil {
					t.Errorf("append %d: %v", i, err)
				}
				d.note(i)
			}
		})
	}
	group.Wait()
	return attempts
}

// TestPowerCut cuts the power at every sync, before and after it, and in between: nothing acknowledged is
// lost, no append is there by half, derived events are there exactly once, and the log works on.
func TestPowerCut(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := newDisk(t)
	log, err := Open(filepath.Join(t.TempDir(), "events.db"), Options{VFS: d.name, CheckpointPages: 25, CatchUp: 9, Projections: []string{ByCategory}})
	if err != nil {
		t.Fatal(err)
	}
	attempts := crashWorkload(t, log, d, seed, 120)
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 2))
	every := 5
	if testing.Short() {
		every = 20
	}
	p, quick := newPlatter(), quickDisk(t)
	acknowledged := map[int]bool{}
	cuts := 0
	cut := func() {
		if cuts++; cuts%every == 0 {
			afterCut(t, p, quick, random, attempts, acknowledged)
		}
	}
	for _, s := range d.journal {
		if t.Failed() {
			break
		}
		switch {
		case s.op == opSync:
			cut()
			p.apply(s)
			cut()
		case s.op == opNote:
			acknowledged[s.note] = true
		default:
			p.apply(s)
			if random.IntN(40) == 0 {
				cut()
			}
		}
	}
	if cuts < 50 || len(acknowledged) != len(attempts) {
		t.Errorf("only %d cuts, %d acknowledged", cuts, len(acknowledged))
	}
}

// afterCut opens what a power cut left and checks it against what was acknowledged.
func afterCut(t *testing.T, p *platter, disk string, random *rand.Rand, attempts []attempt, acknowledged map[int]bool) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "cut")
	if err != nil {
		t.Fatal(err)
	}
	share := []float64{0, 0.5, 1, random.Float64()}[random.IntN(4)]
	if err := p.cut(dir, random, share); err != nil {
		t.Fatal(err)
	}
	log, err := Open(filepath.Join(dir, "events.db"), Options{VFS: disk, Projections: []string{ByCategory}})
	if err != nil {
		t.Fatalf("open after a cut that kept %.2f of the rest: %v", share, err)
	}
	defer func() {
		if err := errors.Join(log.Close(), os.RemoveAll(dir)); err != nil {
			t.Error(err)
		}
	}()
	ctx := context.Background()
	if err := log.Check(ctx); err != nil {
		t.Errorf("after a cut that kept %.2f of the rest: %v", share, err)
	}
	if err := settle(ctx, log); err != nil {
		t.Error(err)
	}
	checkAttempts(t, allOf(t, log), attempts, acknowledged)
	if t.Failed() {
		t.Logf("the cut kept %.2f of what was not synced", share)
	}
	if _, err := log.Append(ctx, "order-0", Any, []Proposed{{ID: id("after"), Type: "t"}}); err != nil {
		t.Errorf("append after the cut: %v", err)
	}
}

// checkAttempts finds acknowledged appends whole and where they belong, others whole or not at all, and
// what was derived of each event exactly once.
func checkAttempts(t *testing.T, events []*Event, attempts []attempt, acknowledged map[int]bool) {
	t.Helper()
	place := map[[16]byte]int{}
	links := map[string]int{}
	for i, e := range events {
		place[e.ID] = i
		if e.Type == TypeLink {
			links[e.Stream+" "+string(e.Data)]++
		}
	}
	for key, n := range links {
		if n != 1 {
			t.Errorf("%s was derived %d times", key, n)
		}
	}
	for i, a := range attempts {
		first, found := place[a.events[0].ID]
		if !found {
			if _, half := place[a.events[len(a.events)-1].ID]; half || acknowledged[i] {
				t.Errorf("append %d is gone (acknowledged: %v) or there by half (%v)", i, acknowledged[i], half)
			}
			continue
		}
		for j, want := range a.events {
			got := events[first+j]
			if got.ID != want.ID || got.Stream != a.stream || string(got.Data) != string(want.Data) || string(got.Metadata) != string(want.Metadata) {
				t.Errorf("event %d of append %d is not where it belongs or not what it was", j, i)
			}
			if links["$ce-order "+string(Link(got.Revision, got.Stream))] == 0 {
				t.Errorf("event %d of append %d was not derived", j, i)
			}
		}
	}
}

// allOf reads the whole log.
func allOf(t testing.TB, log *Log) (events []*Event) {
	t.Helper()
	q := AllQuery{}
	for {
		page, err := log.ReadAll(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Events {
			events = append(events, r.Event)
		}
		if page.End {
			return events
		}
		q.From = page.Next
	}
}

// TestFailingDiskStopsTheLog lets the disk fail at each kind of step: the append at hand fails, no later
// one succeeds, reading goes on, and what was acknowledged is there after the next start.
func TestFailingDiskStopsTheLog(t *testing.T) {
	for _, test := range []struct {
		name  string
		fails func(op operation, file string) bool
	}{
		{"sync of the log", func(op operation, file string) bool { return op == opSync && file == "events.db-wal" }},
		{"write to the log", func(op operation, file string) bool { return op == opWrite && file == "events.db-wal" }},
		{"sync of the file in a checkpoint", func(op operation, file string) bool { return op == opSync && file == "events.db" }},
		{"write to the file in a checkpoint", func(op operation, file string) bool { return op == opWrite && file == "events.db" }},
	} {
		t.Run(test.name, func(t *testing.T) { failDisk(t, test.fails) })
	}
}

func failDisk(t *testing.T, fails func(op operation, file string) bool) {
	ctx := context.Background()
	d := newDisk(t)
	path := filepath.Join(t.TempDir(), "events.db")
	log, err := Open(path, Options{VFS: d.name, CheckpointPages: 20})
	if err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	appendOne := func() error {
		_, err := log.Append(ctx, "order-1", int64(acknowledged)-1, []Proposed{{ID: id(fmt.Sprint(acknowledged)), Type: "t", Data: make([]byte, 5000)}})
		if err == nil {
			acknowledged++
		}
		return err
	}
	for range 5 {
		if err := appendOne(); err != nil {
			t.Fatal(err)
		}
	}
	if log.Err() != nil {
		t.Fatal(log.Err())
	}
	d.failWhen(fails)
	for i := 0; err == nil; i++ {
		if err = appendOne(); i > 100 {
			t.Fatal("the disk's failure went unnoticed")
		}
	}
	<-log.Failed()
	d.failWhen(nil) // SQLite would go on now; the log must not
	for range 3 {
		if err := appendOne(); !errors.Is(err, ErrFailed) {
			t.Errorf("an append after the failure: %v", err)
		}
	}
	if !errors.Is(log.Err(), ErrFailed) || !errors.Is(err, ErrFailed) {
		t.Errorf("failed with %v, then %v", err, log.Err())
	}
	page, err := log.ReadStream(ctx, StreamQuery{Stream: "order-1"})
	if err != nil || len(page.Events) != acknowledged {
		t.Errorf("%d events readable, %v; want %d", len(page.Events), err, acknowledged)
	}
	if err := log.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	log, err = Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Check(ctx); err != nil {
		t.Error(err)
	}
	if state, err := log.StreamState(ctx, "order-1"); err != nil || state.Last < int64(acknowledged)-1 {
		t.Errorf("last revision %d, %v; %d were acknowledged", state.Last, err, acknowledged)
	}
}
