package readmodels

import (
	"cmp"
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Operations administers read models. Names may be written with "-" for "_". Errors: KindNotFound for
// an unknown read model or job, KindRefused with code job_running, not_ready, nothing_to_roll_back or
// job_ended.
type Operations struct {
	engine *Engine

	mu      sync.Mutex
	running map[string]*runningJob
	blocked map[string]int64 // streams by read model, as they were last counted
}

func newOperations(e *Engine) *Operations {
	return &Operations{engine: e, running: map[string]*runningJob{}, blocked: map[string]int64{}}
}

func (o *Operations) documents() Documents { return o.engine.options.Documents }

// ReadModel is what operators see of a read model.
type ReadModel struct {
	Name            string  `json:"name"`
	Title           string  `json:"title"`
	Generation      int     `json:"generation"`
	State           string  `json:"state"` // live, paused, rebuilding, stalled
	LagEvents       int64   `json:"lagEvents"`
	LagSeconds      float64 `json:"lagSeconds"`
	EventsPerSecond int64   `json:"eventsPerSecond"`
	ETASeconds      *int64  `json:"etaSeconds,omitempty"`
	Events          int64   `json:"events"`  // of its streams in the log, as far as the log has been read here
	Blocked         int64   `json:"blocked"` // streams
	UpdatedAt       string  `json:"updatedAt"`
	CatchingUp      bool    `json:"catchingUp,omitempty"` // the log has not been read to its end here: the lag is at least this
	FoldVersion     int     `json:"foldVersion"`
	Previous        int     `json:"previousGeneration,omitempty"` // for a rollback
	Building        int     `json:"buildingGeneration,omitempty"`
	Ready           bool    `json:"readyToSwitch,omitempty"`
	Job             *Job    `json:"job,omitempty"`     // at work on it
	Cause           string  `json:"cause,omitempty"`   // what is wrong, as far as it shows from here
	Command         string  `json:"command,omitempty"` // what mends it
}

// The states of a read model.
const (
	StateLive       = "live"
	StatePaused     = "paused"
	StateRebuilding = "rebuilding"
	StateStalled    = "stalled"
)

// List shows all read models.
func (o *Operations) List(ctx context.Context) ([]ReadModel, error) {
	return o.showAll(ctx, o.engine.options.Models)
}

// Show shows one read model.
func (o *Operations) Show(ctx context.Context, name string) (ReadModel, error) {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return ReadModel{}, err
	}
	all, err := o.showAll(ctx, []*Model{m})
	if err != nil {
		return ReadModel{}, err
	}
	return all[0], nil
}

// showWithin bounds how long the read store is asked about one read model. When it doesn't answer is when
// operators look: they see what is remembered, with that as the cause.
const showWithin = time.Second

func (o *Operations) showAll(ctx context.Context, models []*Model) ([]ReadModel, error) {
	all := make([]ReadModel, 0, len(models))
	away := false
	for _, m := range models {
		record, blocked, err := o.standing(ctx, m, away)
		if away = away || domain.KindOf(err) == domain.KindUnavailable; away {
			known, ok := o.engine.registry.remembered(m)
			if !ok {
				return nil, err
			}
			record, err = known, nil
		}
		if err != nil {
			return nil, err
		}
		one, err := o.show(ctx, m, record, o.countedLast(m, blocked, away), away)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// errNotAsked is the read store that has not answered a moment ago.
var errNotAsked = readStoreSilent(errors.New("not asked: it did not answer a moment ago"))

// standing is what the read store says about a read model: its generations and how many streams are blocked.
func (o *Operations) standing(ctx context.Context, m *Model, away bool) (record generations, blocked int64, err error) {
	if away {
		return record, 0, errNotAsked
	}
	bounded, cancel := context.WithTimeout(ctx, showWithin)
	defer cancel()
	if record, err = o.engine.registry.of(bounded, m); err == nil {
		blocked, err = o.countBlocked(bounded, generation{m, record.Live})
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = readStoreSilent(err)
	}
	return record, blocked, err
}

// countedLast remembers how many streams are blocked, or, while nobody can count, says how many were.
func (o *Operations) countedLast(m *Model, blocked int64, away bool) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !away {
		o.blocked[m.Name] = blocked
	}
	return o.blocked[m.Name]
}

func (o *Operations) show(ctx context.Context, m *Model, record generations, blocked int64, away bool) (ReadModel, error) {
	lag := o.engine.lag.now(m.Name)
	shown := ReadModel{Name: m.Name, Title: m.Title, Generation: record.Live, State: StateLive, LagEvents: lag.Events, Events: lag.Counted, Blocked: blocked,
		LagSeconds: math.Round(lag.Age.Seconds()*1000) / 1000, EventsPerSecond: lag.Rate, CatchingUp: !lag.Live,
		FoldVersion: record.fold(record.Live), Previous: record.Previous, Building: record.Building, Ready: record.Ready,
		UpdatedAt: Stamp(o.engine.options.Clock.Now())}
	if !lag.Progress.IsZero() {
		shown.UpdatedAt = Stamp(lag.Progress)
	}
	if lag.Events > 0 && lag.Rate > 0 {
		eta := (lag.Events + lag.Rate - 1) / lag.Rate
		shown.ETASeconds = &eta
	}
	if record.Job != "" && !away {
		job, _, ok, err := readNote[Job](ctx, o.documents(), jobNotes, record.Job)
		if err != nil {
			return ReadModel{}, err
		}
		if ok && job.State == JobRunning {
			shown.Job = &job
		}
	}
	o.judge(ctx, m, record, lag, away, &shown)
	return shown, nil
}

func (o *Operations) countBlocked(ctx context.Context, g generation) (int64, error) {
	totals, err := o.documents().Group(ctx, blockedNotes, Grouping{Where: []Condition{
		{Path: "model", Op: Equal, Value: g.model.Name}, {Path: "generation", Op: Equal, Value: int64(g.number)}}})
	if err != nil || len(totals) == 0 {
		return 0, err
	}
	return totals[0].Count, nil
}

// Blocked lists the blocked streams of a read model, at most limit (0: 1000).
func (o *Operations) Blocked(ctx context.Context, name string, limit int) ([]Blocked, error) {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return nil, err
	}
	record, err := o.engine.registry.of(ctx, m)
	if err != nil {
		return nil, err
	}
	return o.engine.blocks.list(ctx, generation{m, record.Live}, cmp.Or(limit, 1000))
}

// Retried is what a retry or a skip did.
type Retried struct {
	Tried   int       `json:"tried"`   // streams
	Healed  int       `json:"healed"`  // of them, blocked no more
	Blocked []Blocked `json:"blocked"` // those still blocked, or blocked anew at a later event
}

// Retry tries blocked streams again, in order from the event that failed; all of them if none is named.
func (o *Operations) Retry(ctx context.Context, name string, streams []string) (Retried, error) {
	return o.again(ctx, name, streams, nil)
}

// Skip goes over the event at which each stream is blocked, on record with who decided it, and then on.
// It takes all blocked streams if none is named.
func (o *Operations) Skip(ctx context.Context, name string, streams []string, actor string) (Retried, error) {
	return o.again(ctx, name, streams, func(m *Model, b Blocked) error {
		skip := Skip{Model: m.Name, Stream: b.Stream, Revision: b.Revision, EventID: b.EventID, Type: b.Type, Reason: b.Reason,
			Actor: actor, At: Stamp(o.engine.options.Clock.Now())}
		_, err := changeNote(ctx, o.documents(), skipNotes, skipID(m, b.Stream, b.Revision), func(stored *Skip, exists bool) error {
			if exists {
				return errUnchanged
			}
			*stored = skip
			return nil
		})
		if err == nil {
			o.engine.options.Logger.Warn("an operator skips an event", "readmodel", m.Name, "stream", b.Stream, "revision", b.Revision, "event_id", b.EventID, "actor", actor)
		}
		return err
	})
}

func (o *Operations) again(ctx context.Context, name string, streams []string, first func(*Model, Blocked) error) (Retried, error) {
	retried := Retried{Blocked: []Blocked{}}
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return retried, err
	}
	record, err := o.engine.registry.fresh(ctx, m)
	if err != nil {
		return retried, err
	}
	wanted := map[string]bool{}
	for _, s := range streams {
		wanted[s] = true
	}
	for _, g := range record.written(m) {
		all, err := o.engine.blocks.list(ctx, g, math.MaxInt32)
		if err != nil {
			return retried, err
		}
		var chosen []Blocked
		for _, b := range all {
			if len(wanted) == 0 || wanted[b.Stream] {
				chosen = append(chosen, b)
			}
		}
		left, err := o.tryAgain(ctx, g, chosen, first)
		if err != nil {
			return retried, err
		}
		if g.number == record.Live {
			retried = Retried{Tried: len(chosen), Healed: len(chosen) - len(left), Blocked: left}
		}
	}
	return retried, nil
}

// tryAgain takes the streams of one generation up again and gives those that are blocked afterwards.
func (o *Operations) tryAgain(ctx context.Context, g generation, chosen []Blocked, first func(*Model, Blocked) error) ([]Blocked, error) {
	left := []Blocked{}
	var streams []string
	tried := map[string]bool{}
	for _, b := range chosen {
		if first != nil {
			if err := first(g.model, b); err != nil {
				return nil, err
			}
		}
		streams, tried[b.Stream] = append(streams, b.Stream), true
	}
	if len(streams) == 0 {
		return left, nil
	}
	if failed, err := o.engine.sweep(ctx, g, streams, true); failed > 0 {
		return nil, err
	}
	all, err := o.engine.blocks.list(ctx, g, math.MaxInt32)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if tried[b.Stream] {
			left = append(left, b)
		}
	}
	return left, nil
}

// Skips lists the events that operators have decided to go over.
func (o *Operations) Skips(ctx context.Context, name string) ([]Skip, error) {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return nil, err
	}
	return findNotes[Skip](ctx, o.documents(), skipNotes, Find{Where: []Condition{{Path: "model", Op: Equal, Value: m.Name}}}, 1000)
}

// Job gives a job.
func (o *Operations) Job(ctx context.Context, id string) (Job, error) {
	o.mu.Lock()
	running := o.running[id]
	o.mu.Unlock()
	if running != nil {
		return running.snapshot(), nil
	}
	job, _, ok, err := readNote[Job](ctx, o.documents(), jobNotes, id)
	if err == nil && !ok {
		err = domain.NotFound("job", id)
	}
	return job, err
}

// Jobs lists jobs, newest first, at most limit (0: 100).
func (o *Operations) Jobs(ctx context.Context, limit int) ([]Job, error) {
	return findNotes[Job](ctx, o.documents(), jobNotes, Find{Sort: []Sort{{Path: "createdAt", Desc: true}}}, cmp.Or(limit, 100))
}

// CancelJob asks a job to end; it does so within seconds, wherever it runs.
func (o *Operations) CancelJob(ctx context.Context, id string) (Job, error) {
	job, err := changeNote(ctx, o.documents(), jobNotes, id, func(stored *Job, exists bool) error {
		switch {
		case !exists:
			return domain.NotFound("job", id)
		case stored.State != JobRunning:
			return domain.Refuse("job_ended", "The job has ended already.")
		}
		stored.Cancelled = true
		return nil
	})
	if err != nil {
		return Job{}, err
	}
	o.mu.Lock()
	running := o.running[id]
	o.mu.Unlock()
	if running != nil {
		running.cancel()
	}
	return job, nil
}
