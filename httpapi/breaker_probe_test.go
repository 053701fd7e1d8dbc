package httpapi

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidemark-dev/tidemark/domain"
)

// TestTheBreakerClosesThoughNobodyCommands: an alarm about a store that is back would go on all night.
func TestTheBreakerClosesThoughNobodyCommands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "gone"}
		var back atomic.Bool
		var asked atomic.Int64
		o := Options{Probe: func(context.Context) error {
			asked.Add(1)
			if back.Load() {
				return nil
			}
			return gone
		}}.withDefaults()
		life, end := context.WithCancel(t.Context())
		s := &Server{options: o, life: life, tripped: make(chan struct{}, 1)}
		s.breaker = newBreaker(o, s.tripped)
		go s.watchBreaker()
		fails := func() (any, error) { return nil, gone }
		for range tripAfter {
			_, _ = s.breaker.Execute(fails)
		}
		for range 10 { // as long as commands try, nobody else does
			<-time.After(2 * openFor)
			if _, err := s.breaker.Execute(fails); !errors.Is(err, gone) {
				t.Fatalf("a command was not let try: %v", err)
			}
		}
		if asked.Load() != 0 {
			t.Errorf("asked %d times beside commands", asked.Load())
		}
		<-time.After(time.Minute)
		if n := asked.Load(); n < 5 || n > 12 || s.breaker.State() == gobreaker.StateClosed {
			t.Errorf("asked %d times in a minute", n)
		}
		back.Store(true)
		<-time.After(quietFor + openFor)
		if s.breaker.State() != gobreaker.StateClosed {
			t.Error("it is open though the store is back")
		}
		before := asked.Load()
		<-time.After(time.Minute)
		if asked.Load() != before {
			t.Error("a store that answers is asked")
		}
		end()
	})
}
