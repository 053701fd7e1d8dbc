package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// machineClock is the machine's clock; it can ring.
type machineClock struct{}

// Now gives the time as events carry it: UTC, whole microseconds.
func (machineClock) Now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Ring implements application.Alarms.
func (machineClock) Ring(d time.Duration) (<-chan time.Time, func()) {
	timer := time.NewTimer(d)
	return timer.C, func() { timer.Stop() }
}

// openReadSide makes the read models' engine; nothing runs yet.
func (a *app) openReadSide() {
	a.engine = readmodels.New(readmodels.Options{
		Documents: a.documents, Streams: a.events, Log: a.store, Clock: machineClock{}, Logger: a.log, Group: a.groupOf,
		LowStock: a.config.lowStock(), OrderOpenFor: a.config.OrderOpenFor, PrepareWithin: a.config.PrepareWithin,
		Hooks: readmodels.Hooks{
			Batch: func(model string, counts readmodels.Counts, _ time.Duration) {
				for outcome, n := range map[string]int{"applied": counts.Applied, "duplicate": counts.Duplicate, "blocked": counts.Blocked,
					"ignorable": counts.Ignorable, "failed": counts.Failed} {
					a.metrics.Delivered(model, outcome, n)
				}
			},
			Document: a.metrics.Delay,
			Breaker: func(open bool) {
				a.metrics.BreakerOpen("read store", open)
				a.log.Warn("the circuit breaker of queries changed", "open", open)
			},
			Swept: a.metrics.Swept,
		},
	})
	for _, model := range a.engine.Models() {
		a.metrics.Swept(model.Name, 0)
	}
	a.onStop("read models", func(context.Context) error { a.engine.Stop(); return nil })
}

// openWriteSide makes the command service.
func (a *app) openWriteSide() {
	every := a.config.SnapshotEvery
	if every == 0 {
		every = -1 // the executor's word for none
	}
	a.service = application.NewService(a.events, application.Options{
		Clock: machineClock{}, SnapshotEvery: every, StoreWait: a.storeWait,
		Hooks: application.Hooks{
			Loaded:   func(category string, _ application.Start, events int) { a.metrics.Loaded(category, events) },
			Snapshot: func(category string, _ time.Duration, events int64) { a.metrics.SnapshotAge(category, events) },
			SnapshotTaken: func(stream string, err error) {
				if err == nil {
					a.metrics.Snapshot("taken")
					return
				}
				a.metrics.Snapshot("failed")
				a.log.Warn("a snapshot could not be taken", "stream", stream, "error", err)
			},
			SnapshotIgnored: func(stream, reason string) {
				a.metrics.Snapshot("ignored")
				a.log.Warn("a snapshot was not used", "stream", stream, "reason", reason)
			},
			Conflict: func(category, _ string, _ int) { a.metrics.Conflict(category) },
			Unknown: func(stream string, resolved bool) {
				a.log.Warn("an append had no answer", "stream", stream, "found_out", resolved)
			},
		},
	})
}

// openAPI makes the HTTP server on an open listener.
func (a *app) openAPI(listener net.Listener) error {
	limit, err := a.config.rateLimit()
	if err != nil {
		return err
	}
	if limit == 0 || !a.config.authOn() { // loopback without keys isn't limited
		limit = -1
	}
	scheme := "http://"
	if a.config.TLSCertFile != "" {
		var shown *certificate
		if listener, shown, err = withTLS(listener, a.config.TLSCertFile, a.config.TLSKeyFile); err != nil {
			return err
		}
		a.metrics.Certificate(shown.ends)
		scheme = "https://"
	}
	most := connectionsOf(openFiles())
	options := httpapi.Options{
		Limits:   httpapi.Limits{Connections: most},
		Commands: a.service, Screens: readmodels.Screens(), Reader: a.engine.Reader(), Models: a.engine.Operations(),
		Groups: a.store, Following: a.following(),
		Auth:      a.config.auth(),
		RateLimit: limit, RequestTimeout: a.config.RequestTimeout, TrustedProxies: a.config.TrustedProxies, CORSOrigins: a.config.CorsOrigins,
		Ready: a.ready, Probe: a.store.Ping, Wrap: telemetry.TraceRequests, Trace: telemetry.TraceParent, Logger: a.log, Now: machineClock{}.Now,
		Console: consoleHandler(), LowStock: a.config.lowStock(),
		Hooks: httpapi.Hooks{
			Served: func(operation, _ string, status int, elapsed time.Duration) {
				a.metrics.Request(operation, strconv.Itoa(status), elapsed)
			},
			Shed:        func(_, reason string) { a.metrics.Shed(reason) },
			Connections: a.metrics.Connections("api", most),
			Denied:      func(operation, _ string) { a.metrics.Denied(operation) },
			Stream:      a.metrics.Stream,
			Breaker:     func(state string) { a.metrics.BreakerOpen("event store", state != "closed") }, // half-open lets one through
			Panicked:    func(string) { a.metrics.Panicked() },
		},
	}
	if a.config.AdminAddr == "" && httpapi.IsLoopback(a.config.HTTPAddr) {
		options.Metrics = a.metrics.Handler()
	}
	if err := options.Validate(a.config.HTTPAddr); err != nil {
		return err
	}
	server, err := httpapi.New(options)
	if err != nil {
		return err
	}
	a.metrics.Serves(server.Operations())
	a.metrics.UnderWay(server.UnderWay)
	a.url = scheme + reachable(listener.Addr())
	a.server, a.listener = server, listener
	a.onStop("API", a.drainAPI)
	return nil
}

// group is the consumer group of a read model in this process's document store.
func (a *app) group(model *readmodels.Model) domain.Group {
	return domain.Group{Name: a.groupName(model.Name), Prefixes: model.Prefixes()}
}

func (a *app) groupName(name string) string {
	if a.private != "" {
		return name + "-" + a.private
	}
	return name
}

// groupOf is how the consumer group of a read model stands.
func (a *app) groupOf(ctx context.Context, model string) (readmodels.GroupState, error) {
	state := readmodels.GroupState{Name: a.groupName(model)}
	info, err := a.store.Info(ctx, state.Name)
	if domain.KindOf(err) == domain.KindNotFound {
		state.Missing = true
		return state, nil
	}
	state.Consumers, state.InFlight, state.Parked = info.Consumers, info.InFlight, info.Parked
	return state, err
}

// following lists the groups that are ours.
func (a *app) following() []httpapi.Follower {
	process := application.FulfilmentGroup()
	list := []httpapi.Follower{{Group: process.Name, Prefixes: process.Prefixes}}
	for _, model := range a.engine.Models() {
		g := a.group(model)
		list = append(list, httpapi.Follower{Group: g.Name, Prefixes: g.Prefixes})
	}
	return list
}

// start launches everything: background work first, the API last.
func (a *app) start() error {
	a.onStop("background work", a.drain)
	a.engine.Start(a.life)
	a.background(a.service.Run)
	a.background(func(ctx context.Context) {
		if err := a.engine.Follow(ctx, a.role.works(), nil); err != nil && ctx.Err() == nil {
			a.fail(fmt.Errorf("the log can't be followed: %w", err))
		}
	})
	if a.role.works() {
		a.startWorkers()
	}
	a.metrics.Observe(a.lags, a.groupStates)
	if err := a.startAdmin(); err != nil {
		return err
	}
	if a.server != nil {
		if err := a.server.Start(a.listener); err != nil {
			return err
		}
		a.background(func(ctx context.Context) {
			select {
			case err := <-a.server.Failed():
				a.fail(fmt.Errorf("the API ended: %w", err))
			case <-ctx.Done():
			}
		})
	}
	if a.data != nil {
		node := ""
		if a.nodeAddr != "" {
			node = "esdb://" + a.nodeAddr + "?tls=false"
		}
		return a.data.publish(addresses{API: a.url, Node: node})
	}
	return nil
}

// batching waits only a moment for company: while a batch is being worked on, the next one gathers by itself.
var batching = application.Batching{Size: 200, Wait: time.Millisecond}

// startWorkers runs a consumer for each read model, and the fulfilment process with its timers.
func (a *app) startWorkers() {
	for _, model := range a.engine.Models() {
		handle := telemetry.Deliveries("project "+model.Name, a.engine.Projector(model.Name).Handle)
		a.background(func(ctx context.Context) {
			err := a.engine.WhileLive(ctx, model.Name, func(ctx context.Context) error {
				return a.store.Consume(ctx, a.group(model), batching, handle)
			})
			a.ended(ctx, model.Name, err)
		})
	}
	var timers *application.Timers
	process := application.NewFulfilment(a.service, application.FulfilmentOptions{
		Limits: fulfilment.Limits{OpenFor: a.config.OrderOpenFor, PrepareWithin: a.config.PrepareWithin},
		Wake:   func(at time.Time) { timers.Wake(at) },
		Step:   a.metrics.Step,
		Late: func(orderID, stream string, err error) {
			a.log.Info("a late reservation or payment was undone", "order_id", orderID, "stream", stream, "error", err)
		},
	})
	timers = application.NewTimers(deadlines{a.engine.Reader()}, process.Advance, machineClock{}, application.TimersOptions{
		Fired: a.timerFired, Overdue: a.metrics.TimersOverdue,
	})
	a.background(func(ctx context.Context) { a.ended(ctx, "timers", timers.Run(ctx)) })
	a.background(func(ctx context.Context) {
		a.ended(ctx, "fulfilment", a.store.Consume(ctx, application.FulfilmentGroup(), batching, telemetry.Deliveries("fulfil", process.Handle)))
	})
}

// timerFired counts an order that was looked at. A store that is away is told of elsewhere, and the order is looked
// at again in any case.
func (a *app) timerFired(deadline application.Deadline, err error) {
	a.metrics.TimerFired(err)
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict:
	default:
		if err != nil && a.life.Err() == nil {
			a.log.Warn("an order whose deadline has come could not be moved on", "order_id", deadline.OrderID, "error", err)
		}
	}
}

// ended ends the process if a worker did, unless it was told to.
func (a *app) ended(ctx context.Context, worker string, err error) {
	if ctx.Err() == nil {
		a.fail(fmt.Errorf("worker %s ended: %w", worker, errors.Join(err, errors.New("a worker must not end"))))
	}
}

// deadlines is the index of deadlines that the order board keeps.
type deadlines struct{ reader *readmodels.Reader }

// Due implements application.Deadlines.
func (d deadlines) Due(ctx context.Context, now time.Time, limit int) ([]application.Deadline, time.Time, error) {
	found, next, err := d.reader.Deadlines(ctx, now, limit)
	if err != nil {
		return nil, time.Time{}, err
	}
	due := make([]application.Deadline, len(found))
	for i, f := range found {
		due[i] = application.Deadline{OrderID: f.OrderID, At: f.At}
	}
	return due, next, nil
}
