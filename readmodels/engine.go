package readmodels

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Options are what the read side of one process needs. Documents, Streams and Clock must be set; zero
// in any other field means its default.
type Options struct {
	Documents Documents
	Streams   Streams
	Log       Log // needed by the follower, rebuild, verify and asOf on lists
	Clock     Clock
	Models    []*Model // default All()
	Hooks     Hooks
	Logger    *slog.Logger // default: silent

	// Group tells how the consumer group of a read model stands, to name the cause of a stall. It may be nil.
	Group func(ctx context.Context, model string) (GroupState, error)

	LowStock      int64         // available pieces below which stock is low; default 10
	OrderOpenFor  time.Duration // default 24 h
	PrepareWithin time.Duration // default 15 min
	Nudge         time.Duration // how long an order under way may stand still before it is looked at; default 30 s

	AsOfEvents  int           // most events that a question about the past of a list may fold; default 200,000
	RegistryAge time.Duration // how old the remembered record of generations may be; default 500 ms
	Grace       time.Duration // how long an event may stay unapplied before the sweep takes it up; default 10 s
	StallAfter  time.Duration // without progress although there is work; default 30 s
	DeadAfter   time.Duration // without a sign of life of its process a job is taken over; default 15 s
}

// ReaderOptions are the options of a process that only reads.
type ReaderOptions = Options

// Hooks tell what happens, for metrics and tests. Any may be nil; they must not block.
type Hooks struct {
	// Batch is called for each batch of deliveries with how it came out: delivered = applied +
	// duplicate + blocked + ignorable + failed, where failed ones are delivered again.
	Batch func(model string, counts Counts, took time.Duration)
	// Document is called for each event applied live with the time from its being stored to its
	// document being written.
	Document func(model string, elapsed time.Duration)
	// Blocked is called when an attempt to apply an event failed for good.
	Blocked func(model string, blocked Blocked)
	// Swept is called when the sweep took up events that no delivery had brought.
	Swept func(model string, streams int)
	// Breaker is called when queries stop asking the document store, as it does not answer, and when they
	// ask it again.
	Breaker func(open bool)
}

// Counts are the outcomes of deliveries.
type Counts struct {
	Delivered, Applied, Duplicate, Blocked, Ignorable, Failed int
}

// Engine is the read side of one process: what its projectors, its reader, its follower and its
// operations share. New makes it, Start launches what runs by itself, Stop ends that and waits.
type Engine struct {
	options  Options
	registry *registry
	blocks   *blocks
	hub      *hub
	lag      *lagBoard
	past     *pastFolds
	skips    func(ctx context.Context, m *Model, stream string, revision int64) (bool, error) // instead of the store's own

	mu      sync.Mutex
	life    context.Context // nil before Start
	cancel  context.CancelFunc
	running sync.WaitGroup
	stopped bool

	reader     *Reader
	operations *Operations
	watching   map[string]bool // collections that a goroutine watches for other processes' writes

	unwatchable bool // the document store can't tell other processes' writes: waiting queries poll
}

// New makes the read side. It does no I/O.
func New(options Options) *Engine {
	options = options.withDefaults()
	options.Streams = heed(options.Streams)
	options.Documents = inTime(options.Documents)
	asked := newGuard(options.Documents, options.Hooks.Breaker)
	e := &Engine{
		options:  options,
		registry: newRegistry(asked, options.RegistryAge),
		blocks:   newBlocks(asked, options.RegistryAge),
		hub:      newHub(),
		watching: map[string]bool{},
		past:     newPastFolds(),
	}
	e.lag = newLagBoard(e)
	e.reader = &Reader{engine: e, documents: asked, now: options.Clock.Now}
	e.operations = newOperations(e)
	return e
}

func (o Options) withDefaults() Options {
	if o.Models == nil {
		o.Models = All()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.LowStock = cmp.Or(o.LowStock, 10)
	o.OrderOpenFor = cmp.Or(o.OrderOpenFor, 24*time.Hour)
	o.PrepareWithin = cmp.Or(o.PrepareWithin, 15*time.Minute)
	o.Nudge = cmp.Or(o.Nudge, 30*time.Second)
	o.AsOfEvents = cmp.Or(o.AsOfEvents, 200_000)
	o.RegistryAge = cmp.Or(o.RegistryAge, 500*time.Millisecond)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	o.StallAfter = cmp.Or(o.StallAfter, 30*time.Second)
	o.DeadAfter = cmp.Or(o.DeadAfter, 15*time.Second)
	return o
}

// Reader answers queries.
func (e *Engine) Reader() *Reader { return e.reader }

// Operations administers the read models.
func (e *Engine) Operations() *Operations { return e.operations }

// Models are the read models of this engine.
func (e *Engine) Models() []*Model { return e.options.Models }

// Prepare makes collections and records that are missing. Everything else does so by itself when it
// needs them; a start that wants to fail early calls it.
func (e *Engine) Prepare(ctx context.Context) error {
	for _, m := range e.options.Models {
		record, err := e.registry.fresh(ctx, m)
		if err != nil {
			return err
		}
		for _, g := range record.written(m) {
			if err := g.ensure(ctx, e.options.Documents); err != nil {
				return err
			}
		}
	}
	return nil
}

// Start gives the engine's goroutines their life; they end with ctx or Stop.
func (e *Engine) Start(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life == nil && !e.stopped {
		e.life, e.cancel = context.WithCancel(ctx)
	}
}

// Stop ends everything that the engine runs and waits for it. It may be called more than once.
func (e *Engine) Stop() {
	e.mu.Lock()
	e.stopped = true
	cancel := e.cancel
	e.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	e.running.Wait()
	e.hub.close()
}

// spawn runs work until the engine stops; false if it doesn't run.
func (e *Engine) spawn(work func(ctx context.Context)) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.life == nil || e.stopped {
		return false
	}
	life := e.life
	e.running.Go(func() { work(life) })
	return true
}

// WhileLive runs consume, which feeds a model's projector until its context ends, whenever the model
// is not paused and this release has something to write: a pause ends it, a resumption starts it again. It returns when ctx ends.
func (e *Engine) WhileLive(ctx context.Context, model string, consume func(ctx context.Context) error) error {
	m, err := lookup(e.options.Models, model)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if record, err := e.registry.of(ctx, m); err != nil || record.idle(m) {
			rest(ctx, e.options.RegistryAge)
			continue
		}
		running, cancel := context.WithCancel(ctx)
		ended := make(chan error, 1)
		go func() { ended <- consume(running) }()
		err := e.untilPaused(ctx, m, ended)
		cancel()
		if err == nil { // paused: the consumer still has to end
			err = <-ended
		}
		if err != nil && !errors.Is(err, context.Canceled) && ctx.Err() == nil {
			e.options.Logger.Warn("a consumer ended and is started again", "readmodel", m.Name, "error", err)
			rest(ctx, time.Second)
		}
	}
	return ctx.Err()
}

// Paused lists the models that an operator has paused, as far as is remembered where the records can't be read.
func (e *Engine) Paused(ctx context.Context) (models []string) {
	for _, m := range e.options.Models {
		record, err := e.registry.of(ctx, m)
		if err != nil {
			record, _ = e.registry.remembered(m)
		}
		if record.Paused {
			models = append(models, m.Name)
		}
	}
	return models
}

// untilPaused returns nil when the model was paused, else why the consumer ended.
func (e *Engine) untilPaused(ctx context.Context, m *Model, ended chan error) error {
	tick := time.NewTicker(e.options.RegistryAge)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err == nil {
				err = context.Canceled
			}
			return err
		case <-tick.C:
			if record, err := e.registry.of(ctx, m); err == nil && record.idle(m) {
				return nil
			}
		}
	}
}

// rest waits, but not beyond ctx.
func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// transient says whether an error may be gone the next time.
func transient(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict, domain.KindStale:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
