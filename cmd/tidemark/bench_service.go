package main

import (
	"context"
	"errors"
	"fmt"
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

func (p *program) benchAPI(ctx context.Context, client *apiClient, options benchOptions) error {
	var account struct {
		ID string `json:"id"`
	}
	if _, err := client.call(ctx, "POST", "/v1/accounts", map[string]any{"customerId": "bench", "currency": "EUR"}, &account); err != nil {
		return err
	}
	draft := map[string]any{"customerId": "bench", "accountId": account.ID, "currency": "EUR",
		"items": []map[string]any{{"sku": "BENCH-1", "name": "Thing", "quantity": 1, "unitPrice": 100}, {"sku": "BENCH-2", "name": "Other", "quantity": 2, "unitPrice": 250}}}
	var last demoOrder
	for _, callers := range []int{1, 8, 64} {
		m, err := measure(ctx, fmt.Sprintf("CreateOrder/callers=%d", callers), options.duration, callers, func(ctx context.Context, caller, _ int) (int, error) {
			var order demoOrder
			_, err := client.call(ctx, "POST", "/v1/orders", draft, &order)
			if caller == 0 {
				last = order
			}
			return 1, err
		})
		if err != nil {
			return err
		}
		m.print(p.out)
	}
	m, err := measure(ctx, "Deposit/hotStream/callers=64", options.duration, 64, func(ctx context.Context, _, _ int) (int, error) {
		_, err := client.call(ctx, "POST", "/v1/accounts/"+account.ID+"/deposits", map[string]any{"amount": 1, "currency": "EUR"}, nil)
		return 1, err
	})
	if err != nil {
		return err
	}
	m.print(p.out)
	if m, err = measure(ctx, "ReadOrder/callers=8", options.duration, 8, func(ctx context.Context, _, _ int) (int, error) {
		_, err := client.call(ctx, "GET", "/v1/orders/"+last.ID, nil, nil)
		return 1, err
	}); err != nil {
		return err
	}
	m.print(p.out)
	// From command to screen: the list of a customer must show the order that was just created.
	if m, err = measure(ctx, "CommandToScreen", options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		var order demoOrder
		got, err := client.call(ctx, "POST", "/v1/orders", draft, &order)
		if err != nil {
			return 0, err
		}
		_, err = client.call(ctx, "GET", "/v1/customers/bench/orders?limit=1", nil, nil, "Tidemark", got.header.Get("Tidemark"), "Prefer", "wait=10")
		return 1, err
	}); err != nil {
		return err
	}
	m.print(p.out)
	memory(p.out, "Memory")
	return nil
}
