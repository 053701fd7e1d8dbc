package httpapi

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// crowd offers a gate so many at once and again every pause, rounds times; each holds its slot for work.
// It gives how many were served, how many refused, and how many of these had waited in vain.
func crowd(t *testing.T, g *gate, many, rounds int, pause, work time.Duration) (served, refused, vain int64) {
	t.Helper()
	var ok, no, late atomic.Int64
	var all sync.WaitGroup
	for range rounds {
		for range many {
			all.Go(func() {
				began := time.Now()
				leave, err := g.enter(t.Context())
				if err != nil {
					no.Add(1)
					if time.Since(began) > 0 {
						late.Add(1)
					}
					return
				}
				<-time.After(work)
				leave()
				ok.Add(1)
			})
		}
		<-time.After(pause)
	}
	all.Wait()
	return ok.Load(), no.Load(), late.Load()
}

// TestABurstIsServed: what a quick machine gets done in time may wait.
func TestABurstIsServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(classCommand, 8, Limits{QueueWait: 400 * time.Millisecond}, Hooks{}.filled())
		served, refused, _ := crowd(t, g, 100, 20, 50*time.Millisecond, 3*time.Millisecond)
		if served != 2000 || refused != 0 {
			t.Errorf("%d served, %d refused", served, refused)
		}
	})
}

// TestASlowMachineRefusesAtOnce: once the pace is known hardly anybody waits in vain, but the slots stay busy.
func TestASlowMachineRefusesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(classCommand, 4, Limits{Queue: 1000, QueueWait: 400 * time.Millisecond}, Hooks{}.filled())
		crowd(t, g, 100, 20, 100*time.Millisecond, 200*time.Millisecond) // it learns
		served, refused, vain := crowd(t, g, 100, 100, 100*time.Millisecond, 200*time.Millisecond)
		if served < 200 || served > 220 || served+refused != 10_000 { // 4 every 200 ms for 10 s, and the queue
			t.Errorf("%d served, %d refused", served, refused)
		}
		if vain > 500 {
			t.Errorf("%d of %d waited for a refusal", vain, refused)
		}
	})
}

// TestTheQueueOpensAgain: a pace from bad times does not keep the queue short in good ones.
func TestTheQueueOpensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(classCommand, 8, Limits{QueueWait: 400 * time.Millisecond}, Hooks{}.filled())
		crowd(t, g, 100, 5, time.Second, time.Second)
		crowd(t, g, 30, 10, 50*time.Millisecond, 3*time.Millisecond)
		served, refused, _ := crowd(t, g, 100, 20, 50*time.Millisecond, 3*time.Millisecond)
		if served != 2000 || refused != 0 {
			t.Errorf("%d served, %d refused", served, refused)
		}
	})
}

// TestNobodyKeepsTheOthersFromWaiting: one caller may have what is free, but not what others need.
func TestNobodyKeepsTheOthersFromWaiting(t *testing.T) {
	turns := newTurns(newGate(classWait, 32, Limits{QueueWait: time.Millisecond}, Hooks{}.filled()))
	var held []func()
	enter := func(caller string) bool {
		leave, err := turns.enterAs(t.Context(), caller)
		if err == nil {
			held = append(held, leave)
		}
		return err == nil
	}
	for _, c := range []struct {
		who string
		may int
	}{{"ann", 16}, {"ben", 4}, {"carl", 4}} {
		for n := range c.may {
			if !enter(c.who) {
				t.Fatalf("%s got only %d", c.who, n)
			}
		}
		if enter(c.who) {
			t.Errorf("%s got more than %d", c.who, c.may)
		}
	}
	for range 8 { // where there are no keys nobody is told apart
		if !enter("") {
			t.Fatal("slots are free")
		}
	}
	if enter("dora") || enter("") {
		t.Error("there are more than 32")
	}
	for _, leave := range held {
		leave()
	}
	if len(turns.held) != 0 || len(turns.slots) != 0 {
		t.Errorf("%v and %d slots are still taken", turns.held, len(turns.slots))
	}
}

// What may take long takes a place apart, so that what is quick is answered besides.
func TestAWaitCountsForItsCaller(t *testing.T) {
	i := newIssuer(t)
	w := i.secured(func(o *Options) { o.Limits.Waits = 2 })
	w.token = i.good(nil)
	leave, err := w.waits.enterAs(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	token := readmodels.Tidemark{{Stream: "order-" + someOrder, Revision: 1}}.Token()
	w.send("GET", "/v1/board", "", "Tidemark", token).expect(http.StatusTooManyRequests, "rate_limited")
	w.send("GET", "/v1/orders?asOf=2026-03-01T00:00:00Z", "").expect(http.StatusTooManyRequests, "rate_limited") // the past is slow, too
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	w.token = i.good(map[string]any{"sub": "ben"})
	w.send("GET", "/v1/board", "", "Tidemark", token).expect(http.StatusOK, "")
}

// TestAnImportCountsForItsCaller: an import lasts as long as its sender likes.
func TestAnImportCountsForItsCaller(t *testing.T) {
	i := newIssuer(t)
	w := i.secured()
	w.token = i.good(map[string]any{"sub": "ann"})
	send := func() answered {
		return w.send("POST", "/v1/import/orders", importLine("a"), "Content-Type", "application/x-ndjson")
	}
	for range 2 {
		leave, err := w.imports.enterAs(t.Context(), "ann")
		if err != nil {
			t.Fatal(err)
		}
		defer leave()
	}
	send().expect(http.StatusTooManyRequests, "rate_limited")
	w.token = i.good(map[string]any{"sub": "ben"})
	send().expect(http.StatusOK, "")
}

// TestManyMayAskForReadiness: it is open to everybody, so it must not cost the stores more for it.
func TestManyMayAskForReadiness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		w := newWorld(t, func(o *Options) {
			o.Ready = func(ctx context.Context) []Check {
				asked.Add(1)
				<-time.After(time.Second)
				return []Check{{Name: "event store", Kind: "dependency", Status: "ok"}}
			}
		})
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { w.send("GET", "/readyz", "").expect(http.StatusOK, "") })
		}
		all.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("the stores were asked %d times", n)
		}
		w.send("GET", "/readyz", "").expect(http.StatusOK, "")
		if n := asked.Load(); n != 2 {
			t.Errorf("later the stores were asked %d times", n-1)
		}
	})
}
