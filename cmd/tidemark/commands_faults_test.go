package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
)

// Whatever call to the real adapter and node fails, and however, the same command sent again is applied
// exactly once and always answered the same.
func TestFaultsAtEveryCallThroughTheNode(t *testing.T) {
	t.Parallel()
	node := startCommandNode(t)
	store := node.connect(t)
	faults := []struct {
		name string
		err  error
		done bool
	}{{"not done", notDone(), false}, {"lost, done", nobodyKnows(), true}, {"lost, not done", nobodyKnows(), false}, {"died, done", notDone(), true}}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			for number, struck := 0, true; struck; number++ {
				struck = false
				broken := &breakable{EventStore: store}
				broken.fail = func(n int, appends bool) (error, bool) {
					if n != number || !appends && fault.done {
						return nil, false
					}
					struck = true
					return fault.err, fault.done
				}
				key := uuid.NewString()
				command := byKey("createOrder", key, "x")
				command.MayPrice = true
				in := newOrder()
				first, err := replica(t, broken, application.Options{}).CreateOrder(t.Context(), command, in)
				if kind := domain.KindOf(err); err != nil && kind != domain.KindUnavailable && kind != domain.KindUnknown {
					t.Fatal(err)
				}
				again, againErr := replica(t, store, application.Options{}).CreateOrder(t.Context(), command, in)
				if againErr != nil || err == nil && again.ID != first.ID {
					t.Fatalf("call %d: first %s %v, again %s %v", number, first.ID, err, again.ID, againErr)
				}
				if events := stored(t, store, "order-"+again.ID); len(events) != 1 {
					t.Fatalf("call %d: %d events", number, len(events))
				}
				if claims := stored(t, store, "idempotency-"+command.ID); claims[0].Event.(domain.KeyClaimed).Stream != "order-"+again.ID {
					t.Fatalf("call %d: the claim is of another order", number)
				}
				if !struck && fault.done && number < 8 {
					struck = true // that call was a read
				}
			}
		})
	}
}

// Several replicas, few accounts, many movements, a store that fails now and then: afterwards the money is
// what the acknowledged movements say, each of them once.
func TestMoneyIsConservedUnderFaults(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	node := startCommandNode(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	broken := storetest.NewFaulty(node.connect(t), nil, storetest.Faults{Seed: seed})
	calm := replica(t, node.connect(t), application.Options{})
	accounts := make([]string, 3)
	want := map[string]int64{}
	for i := range accounts {
		made, err := calm.OpenAccount(ctx, application.Command{}, application.OpenAccount{CustomerID: "c1", Currency: "EUR"})
		if err != nil {
			t.Fatal(err)
		}
		accounts[i] = made.ID
	}
	replicas := []*application.Service{
		replica(t, broken, application.Options{SnapshotEvery: 7}), replica(t, broken, application.Options{SnapshotEvery: -1}),
		replica(t, broken, application.Options{CacheBytes: -1}),
	}
	broken.Set(storetest.Faults{Unavailable: 0.04, Lost: 0.04, Undone: 0.02, Broken: 0.02, Delay: 2 * time.Millisecond})
	var mu sync.Mutex
	var all sync.WaitGroup
	for w := range 6 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(w)+2))
			for i := range 25 {
				id, amount := accounts[random.IntN(len(accounts))], random.Int64N(9)+1
				command := byKey("move", fmt.Sprint(w, "/", i), "x")
				result, err := insist(ctx, func() (application.Result[account.Account], error) {
					s := replicas[random.IntN(len(replicas))]
					if i%3 == 2 {
						return s.Withdraw(ctx, command, id, amount, "EUR", "", "")
					}
					return s.Deposit(ctx, command, id, amount, "EUR", "")
				})
				if i%3 == 2 {
					amount = -amount
				}
				switch {
				case domain.CodeOf(err) == "insufficient_funds":
				case err != nil:
					t.Errorf("%d/%d: %v", w, i, err)
				default:
					mu.Lock()
					want[result.ID] += amount
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d faults injected", broken.Injected())
	for _, id := range accounts {
		balance, once := int64(0), map[string]bool{}
		for _, r := range stored(t, node.connect(t), "account-"+id) { // an oracle that shares nothing with the fold
			if once[r.Meta.CommandID] {
				t.Errorf("command %s was applied twice", r.Meta.CommandID)
			}
			once[r.Meta.CommandID] = true
			switch e := r.Event.(type) {
			case account.Deposited:
				balance += e.Amount
			case account.Withdrawn:
				balance -= e.Amount
			}
			if balance < 0 {
				t.Errorf("account %s is at %d at revision %d", id, balance, r.Revision)
			}
		}
		if balance != want[id] {
			t.Errorf("account %s has %d, acknowledged were %d", id, balance, want[id])
		}
	}
}

// insist sends a command again until it has an answer, as a client with a key does.
func insist[S any](ctx context.Context, send func() (application.Result[S], error)) (application.Result[S], error) {
	for {
		result, err := send()
		switch domain.KindOf(err) {
		case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict:
			if ctx.Err() != nil {
				return result, errors.Join(err, ctx.Err())
			}
			continue
		}
		return result, err
	}
}
