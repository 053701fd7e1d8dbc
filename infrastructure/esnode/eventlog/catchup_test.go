package eventlog

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestCatchUpIsExactlyOnce enables projections over a history of several chunks, closes and opens the log
// again while they catch up and others append, resets one, and finds each event derived once, in order.
func TestCatchUpIsExactlyOnce(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	m := newMachine(t, Options{Relaxed: true, TailEvents: 50, CatchUp: 7})
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	n := 0
	write := func(count int) {
		for range count {
			n++
			if _, err := m.log.Append(ctx, fmt.Sprintf("order-%d", random.IntN(30)), Any, one(fmt.Sprint(n))); err != nil {
				t.Error(err)
			}
		}
	}
	write(500)
	for _, name := range []string{ByCategory, Streams} {
		if err := m.log.EnableProjection(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	interrupted := 0
	for round := range 8 {
		var group sync.WaitGroup
		group.Go(func() { write(2) })
		if round == 5 {
			if err := m.log.ResetProjection(ctx, ByCategory); err != nil {
				t.Fatal(err)
			}
		}
		group.Wait()
		m.reopen()
		if p := m.log.Projections()[0]; !p.Live {
			interrupted++
		}
	}
	if err := settle(ctx, m.log); err != nil {
		t.Fatal(err)
	}
	write(10)
	if interrupted == 0 {
		t.Log("no restart came in between")
	}
	checkDerived(t, m.log, n)
	if err := m.log.Check(ctx); err != nil {
		t.Error(err)
	}
}

// checkDerived compares the derived streams with the n events of the log's own order.
func checkDerived(t *testing.T, log *Log, n int) {
	t.Helper()
	var want []string
	streams := map[string]bool{}
	for _, e := range allOf(t, log) {
		if !isSource(e.Stream) {
			continue
		}
		want = append(want, string(Link(e.Revision, e.Stream)))
		streams[e.Stream] = true
	}
	got := derivedOf(t, log, "$ce-order")
	if len(got) != n || len(want) != n {
		t.Fatalf("%d derived, %d written, %d in the log", len(got), n, len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("derived event %d is %s; want %s", i, got[i], want[i])
		}
	}
	if got := derivedOf(t, log, "$streams"); len(got) != len(streams) {
		t.Errorf("%d streams derived; want %d", len(got), len(streams))
	}
}

func derivedOf(t *testing.T, log *Log, stream string) (data []string) {
	t.Helper()
	q := StreamQuery{Stream: stream}
	for {
		page, err := log.ReadStream(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Events {
			data = append(data, string(r.Event.Data))
		}
		if page.End {
			return data
		}
		q.From = page.Next
	}
}
