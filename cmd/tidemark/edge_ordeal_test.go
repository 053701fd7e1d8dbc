package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	healWithin = 60 * time.Second // for everything to work again; what is promised is recoverWithin and what the machine takes
	customers  = 6                // who send commands while there is trouble, one at a time each
)

// ordeal is the whole program with a store in trouble and customers who want things meanwhile.
type ordeal struct {
	what  trouble
	lasts time.Duration
	e     *edge
	w     *wire
	shops []shop

	pulse *pulse

	mu      sync.Mutex
	asked   []asked
	answers map[string]int
	late    int
	starved bool // the machine did so little meanwhile that even good stores looked silent
	named   bool // readiness named the store
	opened  bool // the breaker was open
}

// asked is a command that was sent with a key, and its answer if there was one.
type asked struct {
	shop, number int
	body         string // of the first 2xx; empty if it was never acknowledged
}

func newOrdeal(t *testing.T, what trouble, lasts time.Duration) *ordeal {
	t.Helper()
	node := startCommandNode(t)
	o := &ordeal{what: what, lasts: lasts, w: newWire(t, node.node.Addr().String()), answers: map[string]int{}}
	o.e = startEdge(t, edgeOptions{store: "esdb://" + o.w.listener.Addr().String() + "?tls=false"})
	for i := range customers {
		s := o.e.furnish(fmt.Sprintf("c%d", i))
		o.e.shown("/v1/orders/"+s.order, "/v1/accounts/"+s.account)
		o.shops = append(o.shops, s)
	}
	o.e.shown("/v1/board", "/v1/orders", "/v1/inventory/"+o.shops[0].sku)
	o.e.until("nothing is behind", 30*time.Second, o.e.caughtUp)
	return o
}

func (o *ordeal) run() {
	e := o.e
	over, healed := make(chan struct{}), make(chan struct{})
	go func() { defer close(healed); o.what.spell(over, e, o.w) }()
	var busy sync.WaitGroup
	for i := range o.shops {
		busy.Go(func() { o.command(i, over) })
	}
	for range customers / 2 {
		busy.Go(func() { o.look(over) })
	}
	busy.Go(func() { o.watchReadiness(over) })
	busy.Go(func() { o.watchBreaker(over) })
	<-time.After(o.lasts)
	e.until("readiness and breaker take notice", healWithin, o.noticed)
	close(over)
	<-healed
	ended, allowance := time.Now(), o.pulse.allowance()
	busy.Wait()
	o.judge()
	e.until("commands are carried out again", healWithin, func() bool { return o.send(o.next(0)).status < 300 })
	o.note(ended, "commands")
	last := o.send(o.next(0)).header.Get("Tidemark")
	e.until("screens show them", healWithin, func() bool {
		return e.send("GET", "/v1/accounts/"+o.shops[0].account, nil, "Tidemark", last).status == http.StatusOK
	})
	e.until("every read model has caught up", healWithin, e.caughtUp)
	e.until("it is ready", healWithin, func() bool { return e.send("GET", "/readyz", nil).status == http.StatusOK })
	e.until("lists answer", healWithin, func() bool { return e.send("GET", "/v1/orders", nil).status == http.StatusOK })
	e.until("breakers are closed", healWithin, func() bool { return !e.breakerOpen(eventStore) && !e.breakerOpen(readStore) })
	o.note(ended, "everything")
	if took, allowed := time.Since(ended), recoverWithin+allowance(); took > allowed {
		e.t.Errorf("it took %s to recover, not %s", took, allowed)
	}
	o.settle()
}

// noticed says whether all has been seen that is to be seen while there is trouble.
func (o *ordeal) noticed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return (o.named || o.what.names == "") && (o.opened || o.what.opens == "")
}

func (o *ordeal) note(ended time.Time, what string) {
	took := time.Since(ended)
	o.e.t.Logf("%s %s after it was over", what, took.Round(time.Millisecond))
}

// next is a new command of a customer.
func (o *ordeal) next(shop int) asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := asked{shop: shop, number: len(o.asked)}
	o.asked = append(o.asked, a)
	return a
}

// send sends it, with its key: even ones pay money in, odd ones make an order.
func (o *ordeal) send(a asked) got {
	s, key := o.shops[a.shop], fmt.Sprintf("%s-%d", o.shops[a.shop].customer, a.number)
	var g got
	if a.number%2 == 0 {
		g = o.e.send("POST", "/v1/accounts/"+s.account+"/deposits", `{"amount":1,"currency":"EUR"}`, "Idempotency-Key", key)
	} else {
		g = o.e.send("POST", "/v1/orders", o.e.orderBody(s), "Idempotency-Key", key)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if g.status < 300 && o.asked[a.number].body == "" {
		o.asked[a.number].body = string(g.body)
	}
	return g
}

// command sends one command after the other and checks each answer.
func (o *ordeal) command(shop int, over <-chan struct{}) {
	for !isOver(over, 120*time.Millisecond) {
		began, allowance := time.Now(), o.pulse.allowance()
		g := o.send(o.next(shop))
		took, slack := time.Since(began), allowance()
		answer := fmt.Sprint(g.status, " ", g.code())
		switch {
		case g.status < 300:
		case answer == "503 event_store_unavailable", answer == "504 outcome_unknown":
			if g.header.Get("Retry-After") == "" {
				o.e.t.Errorf("%s without Retry-After", answer)
			}
		default:
			o.e.t.Errorf("%s: %s %s", g.what, answer, g.body)
		}
		if took > o.e.config.RequestTimeout+slack {
			o.e.t.Errorf("%s: %s after %s", g.what, answer, took)
		}
		o.mu.Lock()
		o.answers[answer]++
		o.starved = o.starved || slack > time.Second
		if g.status >= 300 && took > refuseWithin+slack {
			o.late++
		}
		o.mu.Unlock()
	}
}

// look asks for screens all the time.
func (o *ordeal) look(over <-chan struct{}) {
	s := o.shops[0]
	singles := []string{"/v1/orders/" + s.order, "/v1/accounts/" + s.account, "/v1/inventory/" + s.sku}
	lists := []string{"/v1/orders", "/v1/board", "/v1/orders?status=created"}
	for i := 0; !isOver(over, 10*time.Millisecond); i++ {
		list := i%2 == 1
		path := singles[i%len(singles)]
		if list {
			path = lists[i%len(lists)]
		}
		g := o.e.send("GET", path, nil)
		switch {
		case g.status == http.StatusOK && g.header.Get("Tidemark-Lag") != "":
		case g.code() == "read_store_unavailable" && list && o.what.folded:
		default:
			o.e.t.Errorf("%s: %d %s", g.what, g.status, g.body)
		}
	}
}

// watchReadiness notes which stores readiness names.
func (o *ordeal) watchReadiness(over <-chan struct{}) {
	for !isOver(over, 50*time.Millisecond) {
		allowance := o.pulse.allowance()
		failed := o.e.failedChecks()
		for _, other := range []string{eventStore, readStore} {
			if other != o.what.store && slices.Contains(failed, other) && allowance() < time.Second {
				o.e.t.Errorf("readiness named the %s, with which nothing was wrong", other)
			}
		}
		if o.what.names != "" && slices.Contains(failed, o.what.names) {
			o.mu.Lock()
			o.named = true
			o.mu.Unlock()
		}
	}
}

// watchBreaker notes whether the breaker opens.
func (o *ordeal) watchBreaker(over <-chan struct{}) {
	for !isOver(over, 50*time.Millisecond) {
		if o.what.opens != "" && o.e.breakerOpen(o.what.opens) {
			o.mu.Lock()
			o.opened = true
			o.mu.Unlock()
		}
	}
}

func isOver(over <-chan struct{}, within time.Duration) bool {
	select {
	case <-over:
		return true
	case <-time.After(within):
		return false
	}
}

// judge looks back on the time of trouble.
func (o *ordeal) judge() {
	t := o.e.t
	t.Logf("answers %v, %d of them late", o.answers, o.late)
	for answer, n := range o.answers {
		if o.what.works && !o.starved && answer != "200 " && answer != "201 " {
			t.Errorf("%d × %s", n, answer)
		}
	}
	if o.late > 0 && !o.what.crawls {
		t.Errorf("%d commands were refused after more than %s", o.late, refuseWithin)
	}
}

// settle sends every command again, as a client does that wants to know, and counts what there is.
func (o *ordeal) settle() {
	t := o.e.t
	deposits, orders := make([]int, len(o.shops)), 0
	var again sync.WaitGroup
	for shop := range o.shops {
		again.Go(func() { o.repeat(shop) })
	}
	again.Wait()
	for _, a := range o.asked {
		if a.number%2 == 0 {
			deposits[a.shop]++
		} else {
			orders++
		}
	}
	for i, s := range o.shops {
		var account struct{ Balance int }
		g := o.e.send("GET", "/v1/accounts/"+s.account, nil, "Tidemark", o.e.send("POST", "/v1/accounts/"+s.account+"/deposits", `{"amount":1,"currency":"EUR"}`).header.Get("Tidemark"), "Prefer", "wait=30")
		if err := json.Unmarshal(g.expect(http.StatusOK, "").body, &account); err != nil {
			t.Fatal(err)
		}
		if want := 50000 + deposits[i] + 1; account.Balance != want {
			t.Errorf("the account of %s has %d, want %d", s.customer, account.Balance, want)
		}
	}
	if made := o.e.events()["order"]; made != orders+len(o.shops) {
		t.Errorf("%d orders, want %d", made, orders+len(o.shops))
	}
}

// repeat sends everything that a customer asked for again, in order.
func (o *ordeal) repeat(shop int) {
	o.mu.Lock()
	all := slices.Clone(o.asked)
	o.mu.Unlock()
	for _, a := range all {
		if a.shop != shop {
			continue
		}
		var g got
		o.e.until("the same command is answered", healWithin, func() bool { g = o.send(a); return g.status < 300 })
		if a.body != "" && (a.body != string(g.body) || g.header.Get("Idempotent-Replayed") != "true") {
			o.e.t.Errorf("acknowledged with\n%s\nand then answered\n%s", a.body, g.body)
		}
	}
}
