package main

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// checkWithin bounds how long readiness waits for an answer.
const checkWithin = 2 * time.Second

// ready reports on every dependency and read model. A read model that lags or is blocked makes the
// process degraded, not unready: its queries say so themselves. One that nothing follows yet, right after the
// start, makes it unready. All are asked at once, so that a store that is silent makes no other look so.
func (a *app) ready(ctx context.Context) []httpapi.Check {
	ctx, cancel := context.WithTimeout(ctx, checkWithin)
	defer cancel()
	var events, documents, err error
	var states []readmodels.ReadModel
	var asking sync.WaitGroup
	asking.Go(func() { events = a.store.Ping(ctx) })
	asking.Go(func() { documents = a.documents.Ping(ctx) })
	asking.Go(func() { states, err = a.engine.Operations().List(ctx) })
	asking.Wait()
	checks := []httpapi.Check{check("event store", events), check("read store", documents)}
	if process := application.FulfilmentGroup().Name; a.role.works() && !a.follows(process) {
		checks = append(checks, httpapi.Check{Name: process, Kind: "process", Status: "failed", Detail: notFollowing})
	}
	if err != nil {
		return append(checks, httpapi.Check{Name: "read models", Kind: "readmodel", Status: "degraded", Detail: domain.CodeOf(err)})
	}
	for _, s := range states {
		c := httpapi.Check{Name: s.Name, Kind: "readmodel", Status: "ok"}
		switch {
		case a.role.works() && s.State == readmodels.StateLive && !a.follows(a.groupName(s.Name)):
			c.Status, c.Detail = "failed", notFollowing
		case s.State == readmodels.StateStalled || s.Blocked > 0:
			c.Status, c.Detail = "degraded", s.Cause
		}
		checks = append(checks, c)
	}
	return checks
}

// notFollowing is the state of a consumer between the start and its subscription.
const notFollowing = "starting: its consumer group is not subscribed to yet"

// welcomeWithin bounds how long the welcome waits for the consumers: it says that all is ready, and /readyz should
// say the same by then.
const welcomeWithin = 1500 * time.Millisecond

// settle waits until every consumer group is followed, or no longer.
func (a *app) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, welcomeWithin)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	starting := func(c httpapi.Check) bool { return c.Detail == notFollowing }
	for slices.ContainsFunc(a.ready(ctx), starting) {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// follows says whether the consumer of a group has ever been subscribed. What comes after an outage is told by the
// event store's own line, and by the lag.
func (a *app) follows(group string) bool {
	_, ok := a.followed.Load(group)
	return ok
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

// groupStates are those of our own groups: what else the event store has is its owner's, and could be any number.
func (a *app) groupStates() []telemetry.GroupState {
	ctx, cancel := context.WithTimeout(a.life, scrapeWithin)
	defer cancel()
	groups, err := a.store.List(ctx)
	if err != nil {
		return nil
	}
	paused := map[string]bool{}
	for _, name := range a.engine.Paused(ctx) {
		paused[a.groupName(name)] = true
	}
	ours := map[string]bool{}
	for _, f := range a.following() {
		ours[f.Group] = true
	}
	list := make([]telemetry.GroupState, 0, len(ours))
	for _, g := range groups {
		if ours[g.Group] {
			list = append(list, telemetry.GroupState{Name: g.Group, Parked: g.Parked, InFlight: g.InFlight, Consumers: g.Consumers, Paused: paused[g.Group]})
		}
	}
	return list
}
