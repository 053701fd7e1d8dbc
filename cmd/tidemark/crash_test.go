package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"
)

// acknowledged is what a client was told.
type acknowledged struct {
	key, path string
	body      map[string]any
	answer    string // the whole answer, byte for byte
	unknown   bool   // the connection broke before an answer came
}

// TestKillNineLosesNothingAcknowledged writes from several callers, kills the process in the middle,
// restarts it, and repeats every call with its key: what was acknowledged is answered the same, byte for
// byte; what had no answer is done exactly once.
func TestKillNineLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	var all []acknowledged
	var account string
	for round := range rounds {
		p := startProcess(t, dir, nil)
		if account == "" {
			account = openAccount(t, p.api)
		}
		done := writeUntilKilled(t, p, account, round, time.Duration(200+random.IntN(400))*time.Millisecond)
		t.Logf("round %d: %d calls, %d without an answer", round, len(done), countUnknown(done))
		all = append(all, done...)
	}
	p := startProcess(t, dir, nil)
	deposits := repeatAll(t, p.api, all)
	var state struct {
		Balance int64 `json:"balance"`
	}
	// One more: a command answers from the stream, whatever the screens show yet.
	if _, err := p.api.call(t.Context(), "POST", "/v1/accounts/"+account+"/deposits", map[string]any{"amount": 1, "currency": "EUR"}, &state); err != nil {
		t.Fatal(err)
	}
	if state.Balance != deposits+1 {
		t.Errorf("balance %d after %d deposits of 1", state.Balance, deposits+1)
	}
	p.holdInvariants()
	if code := p.interrupt(); code != 0 {
		t.Errorf("exit code %d after SIGTERM\n%s", code, p.output())
	}
}

func openAccount(t *testing.T, api *apiClient) string {
	t.Helper()
	var opened struct {
		ID string `json:"id"`
	}
	if _, err := api.call(t.Context(), "POST", "/v1/accounts", map[string]any{"customerId": "c-1", "currency": "EUR"}, &opened); err != nil {
		t.Fatal(err)
	}
	return opened.ID
}

func countUnknown(list []acknowledged) (n int) {
	for _, a := range list {
		if a.unknown {
			n++
		}
	}
	return n
}

// writeUntilKilled lets eight callers create orders and deposit into one account until the process dies.
func writeUntilKilled(t *testing.T, p *process, account string, round int, after time.Duration) []acknowledged {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	time.AfterFunc(after, p.kill)
	var mu sync.Mutex
	var list []acknowledged
	var callers sync.WaitGroup
	for caller := range 8 {
		callers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a := acknowledged{key: fmt.Sprintf("r%d-c%d-%d", round, caller, i), path: "/v1/accounts/" + account + "/deposits",
					body: map[string]any{"amount": 1, "currency": "EUR"}}
				if i%2 == 0 {
					a.path = "/v1/orders"
					a.body = map[string]any{"customerId": "c-1", "accountId": account, "currency": "EUR",
						"items": []map[string]any{{"sku": "A-1", "name": "Thing", "quantity": 1 + i%3, "unitPrice": 100}}}
				}
				got, err := p.api.call(ctx, "POST", a.path, a.body, nil, "Idempotency-Key", a.key)
				refusal, refused := errors.AsType[*problem](err)
				if refused && refusal.Status != http.StatusServiceUnavailable && refusal.Status != http.StatusGatewayTimeout {
					t.Errorf("%s: %v", a.path, err)
					return
				}
				a.answer, a.unknown = string(got.body), err != nil
				mu.Lock()
				list = append(list, a)
				mu.Unlock()
				if err != nil && !refused {
					return // killed
				}
			}
		})
	}
	callers.Wait()
	p.kill()
	return list
}

// repeatAll sends every call again, gives how many deposits there must be, and reports every answer
// that is not the first one.
func repeatAll(t *testing.T, api *apiClient, list []acknowledged) (deposits int64) {
	t.Helper()
	ids := map[string]string{}
	for _, a := range list {
		var entity struct {
			ID string `json:"id"`
		}
		got, err := api.call(t.Context(), "POST", a.path, a.body, &entity, "Idempotency-Key", a.key)
		if err != nil {
			t.Fatalf("repeat of %s %s: %v", a.key, a.path, err)
		}
		if !a.unknown && string(got.body) != a.answer {
			t.Errorf("%s was answered\n%s\nthen\n%s", a.key, a.answer, got.body)
		}
		if !a.unknown && got.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s was acknowledged and is not recognised as a repeat", a.key)
		}
		if a.path != "/v1/orders" {
			deposits++
		} else if other, twice := ids[entity.ID]; twice {
			t.Errorf("keys %s and %s made one order %s", a.key, other, entity.ID)
		} else {
			ids[entity.ID] = a.key
		}
	}
	return deposits
}
