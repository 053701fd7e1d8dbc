package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// benchService runs the whole service in this process and measures it over its public API.
func (p *program) benchService(ctx context.Context, options benchOptions) error {
	return options.withDir(func(dir string) error {
		config := p.config
		config.DataDir, config.HTTPAddr, config.NodeAddr, config.AdminAddr = dir, "127.0.0.1:0", "127.0.0.1:0", ""
		config.Eventstore, config.Documents, config.RateLimit = "embedded", "embedded", "off"
		log, err := telemetry.NewLogger(p.errs, "error", "text")
		if err != nil {
			return err
		}
		began := time.Now()
		app, err := newApp(ctx, config, roleAll, log)
		if err != nil {
			return err
		}
		if err := app.start(); err != nil {
			return errors.Join(err, stopApp(ctx, app))
		}
		fmt.Fprintf(p.out, "BenchmarkStart-1\t1\t%d ns/op\n", time.Since(began).Nanoseconds())
		err = p.benchAPI(ctx, newAPIClient(app.url, ""), options)
		return errors.Join(err, stopApp(ctx, app))
	})
}

// shopBench measures a running service as its clients see it.
type shopBench struct {
	p       *program
	client  *apiClient
	options benchOptions
	account string
	draft   map[string]any // an order of two lines
}

func (p *program) benchAPI(ctx context.Context, client *apiClient, options benchOptions) error {
	var account struct {
		ID string `json:"id"`
	}
	if _, err := client.call(ctx, "POST", "/v1/accounts", map[string]any{"customerId": "bench", "currency": "EUR"}, &account); err != nil {
		return err
	}
	b := &shopBench{p: p, client: client, options: options, account: account.ID, draft: map[string]any{
		"customerId": "bench", "accountId": account.ID, "currency": "EUR",
		"items": []map[string]any{{"sku": "BENCH-1", "name": "Thing", "quantity": 1, "unitPrice": 100}, {"sku": "BENCH-2", "name": "Other", "quantity": 2, "unitPrice": 250}},
	}}
	best := 0.0
	for _, callers := range []int{1, 8, 64} {
		m, err := b.run(ctx, fmt.Sprintf("CreateOrder/callers=%d", callers), callers, b.createOrder)
		if err != nil {
			return err
		}
		best = max(best, float64(len(m.times))/m.took.Seconds())
	}
	if _, err := b.run(ctx, "Deposit/hotStream/callers=64", 64, func(ctx context.Context) error {
		_, err := client.call(ctx, "POST", "/v1/accounts/"+b.account+"/deposits", map[string]any{"amount": 1, "currency": "EUR"}, nil)
		return err
	}); err != nil {
		return err
	}
	if err := b.reads(ctx); err != nil {
		return err
	}
	if _, err := b.run(ctx, "CommandToScreen/idle", 1, b.commandToScreen); err != nil {
		return err
	}
	if err := b.commandToScreenLoaded(ctx, 0.7*best); err != nil {
		return err
	}
	memory(p.out, "Memory")
	return nil
}

// run measures op and prints the line.
func (b *shopBench) run(ctx context.Context, name string, callers int, op func(context.Context) error) (measurement, error) {
	m, err := measure(ctx, name, b.options.duration, callers, func(ctx context.Context, _, _ int) (int, error) { return 1, op(ctx) })
	if err != nil {
		return m, fmt.Errorf("%s: %w", name, err)
	}
	m.print(b.p.out)
	return m, nil
}

func (b *shopBench) createOrder(ctx context.Context) error {
	_, err := b.client.call(ctx, "POST", "/v1/orders", b.draft, nil)
	return err
}

func (b *shopBench) reads(ctx context.Context) error {
	var order demoOrder
	if _, err := b.client.call(ctx, "POST", "/v1/orders", b.draft, &order); err != nil {
		return err
	}
	_, err := b.run(ctx, "ReadOrder/callers=8", 8, func(ctx context.Context) error {
		_, err := b.client.call(ctx, "GET", "/v1/orders/"+order.ID, nil, nil)
		return err
	})
	return err
}

// commandToScreen creates an order and asks the list of its customer, which must show it.
func (b *shopBench) commandToScreen(ctx context.Context) error {
	got, err := b.client.call(ctx, "POST", "/v1/orders", b.draft, nil)
	if err != nil {
		return err
	}
	_, err = b.client.call(ctx, "GET", "/v1/customers/bench/orders?limit=1", nil, nil, "Tidemark", got.header.Get("Tidemark"), "Prefer", "wait=10")
	return err
}

// commandToScreenLoaded measures the same while others create orders at a steady rate per second,
// whether or not the answers keep up with it; it also prints what rate was reached.
func (b *shopBench) commandToScreenLoaded(ctx context.Context, rate float64) error {
	ctx, cancel := context.WithCancel(ctx)
	due := make(chan struct{}, 1024) // what can't be sent by then is left out, and shows in the rate reached
	var done atomic.Int64
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	all.Go(func() { pace(ctx, rate, due) })
	failed := make(chan error, 64)
	for range cap(failed) {
		all.Go(func() {
			for {
				select {
				case <-due:
				case <-ctx.Done():
					return
				}
				if err := b.createOrder(ctx); err != nil && ctx.Err() == nil {
					failed <- err
					return
				}
				done.Add(1)
			}
		})
	}
	began := time.Now()
	if _, err := b.run(ctx, "CommandToScreen/load=70%", 1, b.commandToScreen); err != nil {
		return err
	}
	fmt.Fprintf(b.p.out, "BenchmarkCommandToScreenLoad-%d\t%8d\t%10.0f wanted-ops/s\t%10.0f ops/s\n", runtime.GOMAXPROCS(0), done.Load(), rate, float64(done.Load())/time.Since(began).Seconds())
	select {
	case err := <-failed:
		return fmt.Errorf("load beside CommandToScreen: %w", err)
	default:
		return nil
	}
}

// pace puts rate tokens a second into due, evenly to the millisecond, until ctx ends.
func pace(ctx context.Context, rate float64, due chan<- struct{}) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	began, given := time.Now(), 0
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for ; float64(given) < time.Since(began).Seconds()*rate; given++ {
			select {
			case due <- struct{}{}:
			default:
			}
		}
	}
}
