package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/tidemark-dev/tidemark/domain"
)

func TestTheBreakerOpensWhenTheStoreIsGoneAndClosesWhenItIsBack(t *testing.T) {
	for _, gone := range []struct {
		err    *domain.Error
		status int
	}{
		{&domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "gone"}, http.StatusServiceUnavailable},
		{&domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown", Message: "silent"}, http.StatusGatewayTimeout},
	} {
		t.Run(gone.err.Code, func(t *testing.T) { breakerRound(t, gone.err, gone.status) })
	}
}

// breakerRound lets the store fail in one way until it is back.
func breakerRound(t *testing.T, gone *domain.Error, status int) {
	var states []string
	var mu sync.Mutex
	w := newWorld(t, func(o *Options) {
		o.Hooks.Breaker = func(state string) { mu.Lock(); states = append(states, state); mu.Unlock() }
	})
	var back atomic.Bool
	w.commands.fail = func(call) error {
		if back.Load() {
			return nil
		}
		return gone
	}
	confirm := func() answered { return w.send("POST", "/v1/orders/"+someOrder+"/confirm", "") }
	began := time.Now()
	for range tripAfter {
		confirm().expect(status, gone.Code)
	}
	for range 10 {
		if got := confirm(); got.code() != "event_store_unavailable" && got.code() != gone.Code {
			t.Errorf("while it is open: %d %s", got.Code, got.code())
		}
	}
	// Where this takes longer than the breaker is open, commands try again, and rightly.
	most := tripAfter + int(time.Since(began)/openFor)
	if calls := len(w.commands.took()); calls < tripAfter || calls > most {
		t.Errorf("%d commands reached a store that is gone, want %d", calls, most)
	}
	back.Store(true)
	eventually(t, "commands work again", func() bool { return confirm().Code == http.StatusOK })
	mu.Lock()
	defer mu.Unlock()
	last := []string{"open", "half-open", "closed"}
	if len(states) < 3 || states[0] != "open" || !slices.Equal(states[len(states)-3:], last) {
		t.Errorf("states %v, want %v in the end", states, last)
	}
}

func TestRefusalsDoNotOpenTheBreaker(t *testing.T) {
	w := newWorld(t)
	for _, err := range []error{domain.Refuse("order_empty", "x"), domain.NotFound("order", "x"), context.DeadlineExceeded} {
		w.commands.fail = func(call) error { return err }
		before := len(w.commands.took())
		for range 3 * tripAfter {
			w.send("POST", "/v1/orders/"+someOrder+"/confirm", "")
		}
		if calls := len(w.commands.took()) - before; calls != 3*tripAfter {
			t.Errorf("%v: only %d commands got through", err, calls)
		}
	}
}

// TestCallersWhoLeaveDoNotOpenTheBreaker: that a command ended early because nobody waits for it says nothing about the store.
func TestCallersWhoLeaveDoNotOpenTheBreaker(t *testing.T) {
	w := newWorld(t)
	leave := make(chan struct{})
	w.commands.fail = func(call) error {
		<-leave
		return &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "given up"}
	}
	for i := range 3 * tripAfter {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { // the caller goes once its command is under way
			eventually(t, "the command is under way", func() bool { return len(w.commands.took()) == i+1 })
			cancel()
			leave <- struct{}{}
		}()
		r := httptest.NewRequestWithContext(ctx, "POST", "http://127.0.0.1:8080/v1/orders/"+someOrder+"/confirm", nil)
		r.RemoteAddr = "127.0.0.1:1"
		w.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	if calls := len(w.commands.took()); calls != 3*tripAfter {
		t.Errorf("only %d commands got through", calls)
	}
}

// TestOnlyTheStoresWordClosesTheBreaker: the command that tries whether the store is back may be refused, or
// break off, before it gets there. Commands go on trying one by one until one has an answer.
func TestOnlyTheStoresWordClosesTheBreaker(t *testing.T) {
	gone := &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "gone"}
	for name, said := range map[string]error{
		"content": domain.Invalid(domain.Field{Pointer: "/items/0/sku", Code: "unknown", Detail: "must be in the catalogue"}),
		"caller":  &domain.Error{Kind: domain.KindForbidden, Code: "forbidden", Message: "somebody else's"},
		"queue":   &domain.Error{Kind: domain.KindUnavailable, Code: "overloaded", Message: "too many wait"},
		"time":    context.DeadlineExceeded,
		"panic":   nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				tell := func(err error) {
					w.commands.fail = func(call) error {
						if err == nil {
							panic("a defect")
						}
						return err
					}
					w.send("POST", "/v1/orders/"+someOrder+"/confirm", "")
				}
				for range tripAfter {
					tell(gone)
				}
				<-time.After(openFor + 1)
				for range 3 {
					tell(said)
					if state := w.breaker.State(); state != gobreaker.StateHalfOpen {
						t.Fatalf("the breaker is %s", state)
					}
				}
				if calls := len(w.commands.took()); calls != tripAfter+3 {
					t.Errorf("%d commands, want %d: each may try after the one before", calls, tripAfter+3)
				}
				tell(domain.NotFound("order", someOrder))
				if state := w.breaker.State(); state != gobreaker.StateClosed {
					t.Errorf("after an answer of the store the breaker is %s", state)
				}
			})
		})
	}
}
