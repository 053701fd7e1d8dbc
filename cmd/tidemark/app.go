package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// role is the part that a process plays.
type role int

const (
	roleAll role = iota
	roleAPI
	roleWorker
	roleOperator // the API on a private port, for one operator command; no workers
)

// serves says whether the role answers requests, works whether it applies events and runs processes.
func (r role) serves() bool { return r != roleWorker }
func (r role) works() bool  { return r == roleAll || r == roleWorker }

const (
	// stopWithin bounds a graceful stop.
	stopWithin = 9 * time.Second
	// drainFor is how long of that the API waits for requests under way. What takes longer, such as a sender who
	// hardly sends, is broken off: the steps behind it need their time.
	drainFor = 5 * time.Second
)

// app is everything that one process runs. newApp opens and wires, start launches, stop drains backwards.
type app struct {
	config  Config
	role    role
	log     *slog.Logger
	metrics *telemetry.Metrics

	store     *esdb.Store // the event store through the official client, in both modes
	events    application.EventStore
	documents readmodels.Documents
	engine    *readmodels.Engine
	service   *application.Service
	private   string        // tells the consumer groups of private documents from those of others; empty if they are shared
	storeWait time.Duration // see application.Options; 0: its default
	drainFor  time.Duration // 0: drainFor
	nodeAddr  string
	url       string // of the API
	adminURL  string
	data      *dataDir
	followed  sync.Map // groups that a consumer of this process has been subscribed to
	server    *httpapi.Server
	listener  net.Listener

	life    context.Context // of what runs in the background; ends when stop begins
	end     context.CancelFunc
	running sync.WaitGroup
	fatal   chan error // what ends the process

	mu    sync.Mutex
	stops []stopper
}

// stopper is one step of stopping; steps run in the opposite order of their registration.
type stopper struct {
	name string
	stop func(context.Context) error
}

// newApp opens everything and starts nothing that serves. What was opened before an error is closed again.
func newApp(ctx context.Context, config Config, role role, log *slog.Logger) (_ *app, err error) {
	a := &app{config: config, role: role, log: log, metrics: telemetry.NewMetrics(), fatal: make(chan error, 1)}
	a.life, a.end = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
			defer cancel()
			err = errors.Join(err, a.stop(stopping))
		}
	}()
	if err := config.fits(role); err != nil {
		return nil, err
	}
	var listener net.Listener
	if role.serves() { // first, so that a taken port is found before anything is touched
		if listener, err = listen(config.HTTPAddr, "TIDEMARK_HTTP_ADDR"); err != nil {
			return nil, err
		}
		a.onStop("listener", func(context.Context) error { return closed(listener.Close()) })
	}
	if err := a.openStores(ctx); err != nil {
		return nil, err
	}
	a.openReadSide()
	a.openWriteSide()
	if role.serves() {
		if err := a.openAPI(listener); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// fits refuses settings that a role can't work with.
func (c Config) fits(role role) error {
	if role != roleAPI && role != roleWorker {
		return nil
	}
	var problems []error
	if c.Eventstore == "embedded" {
		problems = append(problems, errors.New("TIDEMARK_EVENTSTORE=embedded is for one process; api and worker need a store that several can reach"))
	}
	if c.Documents == "embedded" {
		problems = append(problems, errors.New("TIDEMARK_DOCUMENTS=embedded is for one process; api and worker need a store that several can reach"))
	}
	if len(problems) == 0 {
		return nil
	}
	return usageError{errors.Join(problems...)}
}

// onStop registers a step of stopping.
func (a *app) onStop(name string, stop func(context.Context) error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stops = append(a.stops, stopper{name, stop})
}

// drainAPI lets requests end for a while. Breaking off the rest is no failure of the stop.
func (a *app) drainAPI(ctx context.Context) error {
	draining, cancel := context.WithTimeout(ctx, cmp.Or(a.drainFor, drainFor))
	defer cancel()
	err := a.server.Stop(draining)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		a.log.Warn("requests that did not end were broken off", "error", err)
		return nil
	}
	return err
}

// background runs work until the app stops; stopping waits for it.
func (a *app) background(work func(ctx context.Context)) {
	a.running.Go(func() { work(a.life) })
}

// fail ends the process with an error, once.
func (a *app) fail(err error) {
	select {
	case a.fatal <- err:
	default:
	}
}

// stop ends everything backwards, bounded by ctx. Calling it again is harmless.
func (a *app) stop(ctx context.Context) error {
	a.mu.Lock()
	stops := a.stops
	a.stops = nil
	a.mu.Unlock()
	var errs []error
	for i := len(stops) - 1; i >= 0; i-- {
		if err := stops[i].stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", stops[i].name, err))
		}
	}
	a.end()
	return errors.Join(errs...)
}

// drain ends the background work and waits for it.
func (a *app) drain(ctx context.Context) error {
	a.end()
	done := make(chan struct{})
	go func() {
		a.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("background work is still running: %w", ctx.Err())
	}
}

// listen opens a listener; the error is one line that names the setting.
func listen(addr, setting string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	if err == nil {
		return listener, nil
	}
	why := err.Error()
	if strings.Contains(why, "address already in use") {
		why = "is taken by another program"
	} else if op, ok := errors.AsType[*net.OpError](err); ok {
		why = "can't be listened on: " + op.Err.Error()
	}
	return nil, fmt.Errorf("%s=%s %s", setting, addr, why)
}

// closed forgives closing what is closed.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
