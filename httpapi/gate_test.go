package httpapi

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
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
