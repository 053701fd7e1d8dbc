package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestReadyMeansFollowed: once readiness says yes, every consumer group has somebody who consumes it. A
// query with a tidemark that comes before waits all the same.
func TestReadyMeansFollowed(t *testing.T) {
	for range 3 {
		e := startEdge(t, edgeOptions{})
		made := e.send("POST", "/v1/orders", `{"customerId":"ann","accountId":"0199a1b2-0000-7a00-8000-00000000acc1","currency":"EUR","items":[{"sku":"TEA","name":"Tea","quantity":1,"unitPrice":5}]}`).expect(http.StatusCreated, "")
		e.send("GET", "/v1/orders", nil, "Tidemark", made.header.Get("Tidemark"), "Prefer", "wait=30").expect(http.StatusOK, "")
		e.stop()
		e.start() // the groups are there now, their consumers are not
		e.until("it is ready", time.Minute, func() bool { return e.send("GET", "/readyz", nil).status == http.StatusOK })
		var list struct {
			Items []struct {
				Group     string
				Consumers int
			}
		}
		if err := json.Unmarshal(e.send("GET", "/v1/ops/subscriptions", nil).expect(http.StatusOK, "").body, &list); err != nil {
			t.Fatal(err)
		}
		if want := len(e.app.following()); len(list.Items) != want {
			t.Errorf("%d groups, want %d", len(list.Items), want)
		}
		for _, g := range list.Items {
			if g.Consumers == 0 {
				t.Errorf("ready, but nobody consumes %s", g.Group)
			}
		}
		e.stop()
	}
}

// TestAnOrderlyStopIsNoReasonToWarn: stopping in the middle of work leaves the log silent.
func TestAnOrderlyStopIsNoReasonToWarn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		p := startProcess(t, dir, nil, "TIDEMARK_LOG_LEVEL=warn", "TIDEMARK_LOG_FORMAT=json")
		var sending sync.WaitGroup
		stop := make(chan struct{})
		for range 4 {
			sending.Go(func() {
				for sent := 0; ; sent++ {
					select {
					case <-stop:
						return
					default:
					}
					r, err := http.Post(p.api.base+"/v1/accounts", "application/json", strings.NewReader(`{"customerId":"ann","currency":"EUR"}`))
					if err != nil {
						return // it has stopped
					}
					r.Body.Close()
				}
			})
		}
		<-time.After(300 * time.Millisecond)
		code := p.interrupt()
		close(stop)
		sending.Wait()
		if said := p.output(); code != 0 || strings.Contains(said, `"level":"WARN"`) || strings.Contains(said, `"level":"ERROR"`) {
			t.Errorf("stopped with %d:\n%s", code, said)
		}
	}
}
