package readmodels

import (
	"context"
	"fmt"
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
}

func newOperations(e *Engine) *Operations {
	return &Operations{engine: e, running: map[string]*runningJob{}}
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
	all := make([]ReadModel, 0, len(o.engine.options.Models))
	for _, m := range o.engine.options.Models {
		one, err := o.show(ctx, m)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// Show shows one read model.
func (o *Operations) Show(ctx context.Context, name string) (ReadModel, error) {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return ReadModel{}, err
	}
	return o.show(ctx, m)
}

func (o *Operations) show(ctx context.Context, m *Model) (ReadModel, error) {
	record, err := o.engine.registry.of(ctx, m)
	if err != nil {
		return ReadModel{}, err
	}
	lag := o.engine.lag.now(m.Name)
	shown := ReadModel{Name: m.Name, Title: m.Title, Generation: record.Live, State: StateLive, LagEvents: lag.Events, Events: lag.Counted,
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
	if shown.Blocked, err = o.countBlocked(ctx, generation{m, record.Live}); err != nil {
		return ReadModel{}, err
	}
	if record.Job != "" {
		job, _, ok, err := readNote[Job](ctx, o.documents(), jobNotes, record.Job)
		if err != nil {
			return ReadModel{}, err
		}
		if ok && job.State == JobRunning {
			shown.Job = &job
		}
	}
	o.judge(ctx, m, record, lag, &shown)
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

// judge says how the model is, and when something is wrong what it looks like and what mends it. A
// stall is seen by the lack of progress although there is work, whatever the connections look like.
func (o *Operations) judge(ctx context.Context, m *Model, record generations, lag lagNow, shown *ReadModel) {
	if shown.Blocked > 0 {
		shown.Cause = fmt.Sprintf("%d streams are blocked: an event of each can't be applied", shown.Blocked)
		if shown.Blocked == 1 {
			shown.Cause = "1 stream is blocked: an event of it can't be applied"
		}
		shown.Command = "tidemark readmodels blocked " + m.Name
	}
	stuck := o.engine.options.StallAfter
	idle := lag.Events > 0 && time.Since(lag.Progress) > stuck
	switch {
	case record.Paused:
		shown.State, shown.Cause, shown.Command = StatePaused, "an operator paused it", "tidemark readmodels resume "+m.Name
	case shown.Job != nil && shown.Job.Kind == "rebuild":
		shown.State = StateRebuilding
	case lag.Known && lag.Silent > max(stuck, 3*probeEvery):
		shown.State, shown.Cause = StateStalled, fmt.Sprintf("the event store has not answered for %s", lag.Silent.Round(time.Second))
		shown.Command = "start the event store that TIDEMARK_EVENTSTORE names"
	case idle && !record.ours(m):
		shown.State, shown.Cause = StateStalled, "its documents were made by the fold of another release, which runs nowhere"
		shown.Command = "tidemark readmodels rebuild " + m.Name + " --switch"
	case idle:
		shown.State = StateStalled
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := o.documents().Ping(short); err != nil {
			shown.Cause, shown.Command = "the read store does not answer", "start the document store that TIDEMARK_DOCUMENTS names"
			return
		}
		shown.Cause = fmt.Sprintf("%d events wait and nothing was applied for %s: no worker takes them, or its consumer group is stuck", lag.Events, time.Since(lag.Progress).Round(time.Second))
		shown.Command = "tidemark worker, or tidemark subscriptions show " + m.Name
	}
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
	return o.engine.blocks.list(ctx, generation{m, record.Live}, orDefault(limit, 1000))
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
	return findNotes[Job](ctx, o.documents(), jobNotes, Find{Sort: []Sort{{Path: "createdAt", Desc: true}}}, orDefault(limit, 100))
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
