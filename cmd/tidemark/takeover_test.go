package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stockWatch is what a reader of the stock screen has found.
type stockWatch struct {
	looked atomic.Int64
	stop   func()
}

// watchStock polls the whole screen: every SKU must be there with its five pieces, in every answer there is. A
// service that was killed answers nothing, and that is all that is forgiven.
func (p *process) watchStock(skus int) *stockWatch {
	ctx, cancel := context.WithCancel(p.t.Context())
	var running sync.WaitGroup
	w := &stockWatch{stop: func() { cancel(); running.Wait() }}
	running.Go(func() {
		for ctx.Err() == nil {
			var list struct {
				Items []struct {
					SKU    string `json:"sku"`
					OnHand int64  `json:"onHand"`
				} `json:"items"`
			}
			got, err := p.api.once(ctx, "GET", "/v1/inventory?limit=200", nil, nil) // no second try hides a refusal
			if err == nil {
				err = json.Unmarshal(got.body, &list)
			}
			if refusal, refused := errors.AsType[*problem](err); refused {
				p.t.Errorf("a reader is refused: %v", refusal)
				return
			}
			if err != nil {
				continue // nobody is there
			}
			if len(list.Items) != skus {
				p.t.Errorf("a reader sees %d of %d SKUs", len(list.Items), skus)
				return
			}
			for _, item := range list.Items {
				if item.OnHand != 5 {
					p.t.Errorf("a reader sees %d of %s", item.OnHand, item.SKU)
					return
				}
			}
			w.looked.Add(1)
			<-time.After(25 * time.Millisecond) // leaves the machine to the others
		}
	})
	p.t.Cleanup(w.stop)
	return w
}

// TestARebuildSurvivesKillNine: a real process is killed in the middle of a rebuild, at each step that shows from
// outside, while readers poll. The next process serves every document from its first answer on, takes the job
// over and ends it, and then everything agrees with the log.
func TestARebuildSurvivesKillNine(t *testing.T) {
	if testing.Short() {
		t.Skip("a job is taken over only after 15 s without a sign of life")
	}
	t.Parallel()
	const skus = 40
	type standing struct {
		Generation, Previous, Building int64
		Ready                          bool
		Job                            *job
	}
	var all sync.WaitGroup // they wait most of the time, and do so together, without keeping other tests waiting
	defer all.Wait()
	for name, reached := range map[string]func(s standing) bool{
		"before anything shows":         func(standing) bool { return true },
		"when the generation is begun":  func(s standing) bool { return s.Building != 0 },
		"when the generation is ready":  func(s standing) bool { return s.Ready || s.Generation > 1 },
		"when the generation has taken": func(s standing) bool { return s.Generation > 1 },
	} {
		all.Go(func() {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				p := startProcess(t, dir, nil)
				for i := range skus {
					p.receive(fmt.Sprintf("SKU-%d", i))
				}
				look := func(p *process) (s standing) {
					var m struct {
						modelRow
						Ready bool `json:"readyToSwitch"`
						Job   *job `json:"job"`
					}
					if _, err := p.api.call(t.Context(), "GET", "/v1/ops/readmodels/stock_levels", nil, &m); err != nil {
						t.Fatal(err)
					}
					return standing{m.Generation, m.Previous, m.Building, m.Ready, m.Job}
				}
				p.await("the screen has all", func() bool {
					var m modelRow
					_, err := p.api.call(t.Context(), "GET", "/v1/ops/readmodels/stock_levels", nil, &m)
					return err == nil && m.LagEvents == 0 && m.Events == skus
				})
				before := p.watchStock(skus)
				p.await("a reader's first look", func() bool { return before.looked.Load() > 0 })
				var begun job
				if _, err := p.api.call(t.Context(), "POST", "/v1/ops/readmodels/stock_levels/rebuild", map[string]any{"switch": true}, &begun); err != nil {
					t.Fatal(err)
				}
				p.await("the step", func() bool { return reached(look(p)) })
				p.kill()
				before.stop()
				again := startProcess(t, dir, nil)
				after := again.watchStock(skus)
				deadline := time.Now().Add(2 * time.Minute) // a job is taken over after 15 s without a sign of life
				for state := "running"; state == "running"; {
					var now job
					if _, err := again.api.call(t.Context(), "GET", "/v1/ops/jobs/"+begun.ID, nil, &now); err != nil {
						t.Fatal(err)
					}
					if state = now.State; state == "done" {
						break
					}
					if state != "running" || time.Now().After(deadline) {
						t.Fatalf("the job is %+v\n%s", now, again.output())
					}
					<-time.After(100 * time.Millisecond)
				}
				if s := look(again); s.Generation < 2 {
					t.Errorf("the job is done, but %+v", s)
				}
				again.await("a reader's first look", func() bool { return after.looked.Load() > 0 || t.Failed() })
				after.stop()
				if before.looked.Load() == 0 || after.looked.Load() == 0 {
					t.Errorf("looked %d times before and %d times after", before.looked.Load(), after.looked.Load())
				}
				again.walk([]step{{"readmodels verify stock_levels", 0, []string{` 0 differing`}, ""}})
			})
		})
	}
}
