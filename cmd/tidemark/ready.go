package main

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// ready reports on every dependency and read model. A read model that lags or is blocked makes the
// process degraded, not unready: its queries say so themselves.
func (a *app) ready(ctx context.Context) []httpapi.Check {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	checks := []httpapi.Check{
		check("event store", a.store.Ping(ctx)),
		check("read store", a.documents.Ping(ctx)),
	}
	states, err := a.engine.Operations().List(ctx)
	if err != nil {
		return append(checks, httpapi.Check{Name: "read models", Kind: "readmodel", Status: "degraded", Detail: domain.CodeOf(err)})
	}
	for _, s := range states {
		c := httpapi.Check{Name: s.Name, Kind: "readmodel", Status: "ok"}
		if s.State == "stalled" || s.Blocked > 0 {
			c.Status, c.Detail = "degraded", s.Cause
		}
		checks = append(checks, c)
	}
	return checks
}

func check(name string, err error) httpapi.Check {
	if err != nil {
		return httpapi.Check{Name: name, Kind: "dependency", Status: "failed", Detail: domain.CodeOf(err)}
	}
	return httpapi.Check{Name: name, Kind: "dependency", Status: "ok"}
}

// scrapeWithin bounds what a scrape may ask the stores.
const scrapeWithin = 2 * time.Second

func (a *app) lags() []telemetry.ModelLag {
	ctx, cancel := context.WithTimeout(a.life, scrapeWithin)
	defer cancel()
	states, err := a.engine.Operations().List(ctx)
	if err != nil {
		return nil // the store's own metrics tell
	}
	list := make([]telemetry.ModelLag, len(states))
	for i, s := range states {
		list[i] = telemetry.ModelLag{Name: s.Name, Events: s.LagEvents, Seconds: s.LagSeconds, Blocked: s.Blocked,
			EventsPerSecond: float64(s.EventsPerSecond), Stalled: s.State == "stalled"}
	}
	return list
}

func (a *app) groupStates() []telemetry.GroupState {
	ctx, cancel := context.WithTimeout(a.life, scrapeWithin)
	defer cancel()
	groups, err := a.store.List(ctx)
	if err != nil {
		return nil
	}
	list := make([]telemetry.GroupState, len(groups))
	for i, g := range groups {
		list[i] = telemetry.GroupState{Name: g.Group, Parked: g.Parked, InFlight: g.InFlight, Consumers: g.Consumers}
	}
	return list
}
