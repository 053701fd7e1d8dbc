package readmodels

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
)

// Job is long work on a read model. It is on record in the read store, so that every process can show
// it, cancel it, and take it over when the one at work has died.
type Job struct {
	ID         string          `json:"id"`
	Kind       string          `json:"kind"`   // rebuild, switch, rollback, verify, pause, resume, drop
	Target     string          `json:"target"` // read model
	State      string          `json:"state"`  // running, done, failed, cancelled
	Phase      string          `json:"phase,omitempty"`
	Progress   Progress        `json:"progress"`
	ETASeconds *int64          `json:"etaSeconds,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Error      string          `json:"error,omitempty"`
	Code       string          `json:"code,omitempty"` // of Error
	Actor      string          `json:"actor,omitempty"`
	Switch     bool            `json:"switch,omitempty"` // a rebuild switches by itself
	CreatedAt  string          `json:"createdAt"`
	EndedAt    string          `json:"endedAt,omitempty"`
	Beat       int64           `json:"beat"`             // sign of life of the process at work, Unix milliseconds
	Cancelled  bool            `json:"cancel,omitempty"` // somebody wants it to end
}

// Progress is in events, or in documents while they are compared. Total is 0 while it isn't known.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// The states of a job.
const (
	JobRunning   = "running"
	JobDone      = "done"
	JobFailed    = "failed"
	JobCancelled = "cancelled"
)

const beatEvery = time.Second

// dead says that the job's process has given no sign of life for a while.
func (j Job) dead(now time.Time, after time.Duration) bool {
	return now.Sub(time.UnixMilli(j.Beat)) > after
}

// runningJob is a job at work in this process.
type runningJob struct {
	job    Job
	cancel context.CancelFunc
	began  time.Time
	first  int64 // progress at the beginning

	mu sync.Mutex
}

// report is how the work tells its progress.
func (j *runningJob) report(phase string, done, total int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.job.Phase != phase {
		j.job.Phase, j.began, j.first = phase, time.Now(), done
	}
	j.job.Progress = Progress{Done: done, Total: max(done, total)}
	j.job.ETASeconds = nil
	if total > done && done > j.first {
		perEvent := time.Since(j.began) / time.Duration(done-j.first)
		eta := int64((perEvent*time.Duration(total-done) + time.Second - 1) / time.Second)
		j.job.ETASeconds = &eta
	}
}

func (j *runningJob) snapshot() Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.job
	job.Beat = time.Now().UnixMilli()
	return job
}

// begin puts a job on record, one at a time for a model, and starts it.
func (o *Operations) begin(ctx context.Context, kind, name, actor string, autoSwitch bool) (Job, error) {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return Job{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return Job{}, err
	}
	now := time.Now()
	job := Job{ID: id.String(), Kind: kind, Target: m.Name, State: JobRunning, Actor: actor, Switch: autoSwitch,
		CreatedAt: Stamp(o.engine.options.Clock.Now()), Beat: now.UnixMilli()}
	if err := o.engine.registry.prepare(ctx); err != nil {
		return Job{}, err
	}
	if _, err := changeNote(ctx, o.documents(), jobNotes, job.ID, func(stored *Job, _ bool) error { *stored = job; return nil }); err != nil {
		return Job{}, err
	}
	if err := o.occupy(ctx, m, job); err != nil {
		_ = o.documents().Delete(ctx, jobNotes, []string{job.ID})
		return Job{}, err
	}
	if !o.launch(m, job) {
		_, _ = o.finish(ctx, m, job, errors.New("this process is stopping"))
		return Job{}, &domain.Error{Kind: domain.KindUnavailable, Code: "stopping", Message: "This process is stopping; ask another one."}
	}
	return job, nil
}

// occupy makes the job the one at work on its model.
func (o *Operations) occupy(ctx context.Context, m *Model, job Job) error {
	if _, err := o.engine.registry.fresh(ctx, m); err != nil {
		return err
	}
	_, err := o.engine.registry.change(ctx, m, func(g *generations) error {
		if g.Job != "" && g.Job != job.ID {
			other, _, ok, err := readNote[Job](ctx, o.documents(), jobNotes, g.Job)
			if err != nil {
				return err
			}
			if ok && other.State == JobRunning && !o.abandoned(ctx, other) {
				return domain.Refuse("job_running", "Job %s (%s) is at work on %s; wait for it or cancel it.", other.ID, other.Kind, m.Name)
			}
		}
		g.Job = job.ID
		return nil
	})
	return err
}

// abandoned ends a job whose process has died, for one that an operator wants now: where no worker runs,
// nobody would take it over. Whoever writes first has it, this or adoptJob.
func (o *Operations) abandoned(ctx context.Context, job Job) bool {
	ended := false
	_, err := changeNote(ctx, o.documents(), jobNotes, job.ID, func(stored *Job, exists bool) error {
		if ended = exists && stored.State == JobRunning && stored.dead(time.Now(), o.engine.options.DeadAfter); !ended {
			return errUnchanged
		}
		stored.State, stored.EndedAt, stored.ETASeconds = JobFailed, Stamp(o.now()), nil
		stored.Code, stored.Error = "abandoned", "its process ended, and another job was begun in its place"
		return nil
	})
	return err == nil && ended
}

// launch runs the job in this process.
func (o *Operations) launch(m *Model, job Job) bool {
	return o.engine.spawn(func(life context.Context) {
		ctx, cancel := context.WithCancel(life)
		defer cancel()
		running := &runningJob{job: job, cancel: cancel, began: time.Now()}
		o.mu.Lock()
		o.running[job.ID] = running
		o.mu.Unlock()
		defer func() {
			o.mu.Lock()
			delete(o.running, job.ID)
			o.mu.Unlock()
		}()
		beating := make(chan struct{})
		stop := make(chan struct{})
		go func() { defer close(beating); o.beat(ctx, running, stop) }()
		result, err := o.work(ctx, m, running)
		close(stop)
		<-beating
		final := running.snapshot()
		if err == nil {
			final.Result, err = json.Marshal(result)
		} else if ctx.Err() != nil && life.Err() == nil { // whatever it failed with then
			err = context.Canceled
		}
		after, done := context.WithTimeout(context.WithoutCancel(life), 5*time.Second)
		defer done()
		if life.Err() != nil && err != nil { // the process stops: another takes the job over at once
			final.Beat = 0
			_, _ = o.store(after, final)
			return
		}
		if _, err := o.finish(after, m, final, err); err != nil {
			o.engine.options.Logger.Error("the end of a job could not be recorded", "job", job.ID, "error", err)
		}
	})
}

// beat stores the job's progress and hears of a cancellation in another process, or that the job was given
// up there while this process gave no sign of life.
func (o *Operations) beat(ctx context.Context, j *runningJob, stop chan struct{}) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stored, err := o.store(ctx, j.snapshot())
		if err == nil && (stored.Cancelled || stored.State != JobRunning) {
			j.cancel()
		}
	}
}

// store writes a job's state without losing a cancellation, unless the job has ended: then it stays as it is.
func (o *Operations) store(ctx context.Context, job Job) (Job, error) {
	return changeNote(ctx, o.documents(), jobNotes, job.ID, func(stored *Job, exists bool) error {
		if exists && stored.State != JobRunning {
			return errUnchanged
		}
		cancelled := stored.Cancelled || job.Cancelled
		*stored = job
		stored.Cancelled = cancelled
		return nil
	})
}

// finish records how the job ended and frees its model.
func (o *Operations) finish(ctx context.Context, m *Model, job Job, cause error) (Job, error) {
	job.EndedAt, job.ETASeconds = Stamp(o.engine.options.Clock.Now()), nil
	switch {
	case cause == nil:
		job.State = JobDone
	case errors.Is(cause, context.Canceled):
		job.State = JobCancelled
	default:
		job.State, job.Code, job.Error = JobFailed, domain.CodeOf(cause), cause.Error()
	}
	job, err := o.store(ctx, job)
	if err != nil {
		return job, err
	}
	_, err = o.engine.registry.change(ctx, m, func(g *generations) error {
		if g.Job != job.ID {
			return errUnchanged
		}
		g.Job = ""
		return nil
	})
	o.engine.options.Logger.Info("a job ended", "job", job.ID, "kind", job.Kind, "readmodel", job.Target, "state", job.State, "error", job.Error)
	return job, err
}

// adopt takes over jobs whose process has died, and starts the rebuild of models whose fold has changed.
func (o *Operations) adopt(ctx context.Context) {
	for _, m := range o.engine.options.Models {
		record, err := o.engine.registry.fresh(ctx, m)
		if err != nil {
			return
		}
		o.bury(ctx, m, record)
		if record.Job != "" {
			o.adoptJob(ctx, m, record.Job)
			continue
		}
		if record.fold(record.Live) < m.Version && !record.Paused && !record.Held {
			if _, err := o.Rebuild(ctx, m.Name, "process:upgrade", true); err != nil {
				o.engine.options.Logger.Warn("the rebuild for a changed fold could not start", "readmodel", m.Name, "error", err)
			}
		}
		o.drop(ctx, m, record)
	}
}

// bury ends jobs on record whose process died before they came to be at work.
func (o *Operations) bury(ctx context.Context, m *Model, record generations) {
	running, err := findNotes[Job](ctx, o.documents(), jobNotes, Find{Where: []Condition{
		{Path: "target", Op: Equal, Value: m.Name}, {Path: "state", Op: Equal, Value: JobRunning}}}, 100)
	if err != nil {
		return
	}
	for _, job := range running {
		if job.ID != record.Job && job.dead(time.Now(), o.engine.options.DeadAfter) {
			_, _ = o.finish(ctx, m, job, errors.New("its process ended before it began"))
		}
	}
}

func (o *Operations) adoptJob(ctx context.Context, m *Model, id string) {
	o.mu.Lock()
	_, here := o.running[id]
	o.mu.Unlock()
	if here {
		return
	}
	mine := false
	job, err := changeNote(ctx, o.documents(), jobNotes, id, func(stored *Job, exists bool) error {
		mine = false
		if !exists || stored.State != JobRunning || !stored.dead(time.Now(), o.engine.options.DeadAfter) {
			return errUnchanged
		}
		mine = true
		stored.Beat = time.Now().UnixMilli()
		return nil
	})
	switch {
	case err != nil:
	case mine:
		o.engine.options.Logger.Info("a job of a process that ended is taken over", "job", id, "kind", job.Kind, "readmodel", m.Name)
		o.launch(m, job)
	case job.State != JobRunning: // its process died between ending it and freeing the model
		_, _ = o.engine.registry.change(ctx, m, func(g *generations) error {
			if g.Job != id {
				return errUnchanged
			}
			g.Job = ""
			return nil
		})
	}
}
