package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Models administers read models: *readmodels.Operations.
type Models interface {
	List(ctx context.Context) ([]readmodels.ReadModel, error)
	Show(ctx context.Context, name string) (readmodels.ReadModel, error)
	Blocked(ctx context.Context, name string, limit int) ([]readmodels.Blocked, error)
	Retry(ctx context.Context, name string, streams []string) (readmodels.Retried, error)
	Skip(ctx context.Context, name string, streams []string, actor string) (readmodels.Retried, error)

	Rebuild(ctx context.Context, name, actor string, autoSwitch bool) (readmodels.Job, error)
	Switch(ctx context.Context, name, actor string) (readmodels.Job, error)
	Rollback(ctx context.Context, name, actor string) (readmodels.Job, error)
	Verify(ctx context.Context, name, actor string) (readmodels.Job, error)
	Pause(ctx context.Context, name, actor string) (readmodels.Job, error)
	Resume(ctx context.Context, name, actor string) (readmodels.Job, error)
	Drop(ctx context.Context, name, actor string) (readmodels.Job, error)

	Job(ctx context.Context, id string) (readmodels.Job, error)
	Jobs(ctx context.Context, limit int) ([]readmodels.Job, error)
	CancelJob(ctx context.Context, id string) (readmodels.Job, error)
}

// Bounds of what is listed.
const (
	maxBlocked = 10_000
	maxJobs    = 1000
)

// jobView is a job without what processes tell each other in it.
type jobView struct {
	readmodels.Job
	Beat      *int64 `json:"beat,omitempty"`
	Cancelled *bool  `json:"cancel,omitempty"`
}

func viewJob(j readmodels.Job) jobView { return jobView{Job: j} }

// stamp writes a time as answers have it.
func stamp(t time.Time) string { return readmodels.Stamp(t) }

func (s *Server) modelHandlers() map[string]handler {
	m := s.options.Models
	return map[string]handler{
		"listReadModels": s.look(func(ctx context.Context, params map[string]string) (any, error) {
			all, err := m.List(ctx)
			if err != nil {
				return nil, err
			}
			return paged("readmodels", all, func(r readmodels.ReadModel) string { return r.Name }, params)
		}),
		"getReadModel": s.look(func(ctx context.Context, params map[string]string) (any, error) {
			one, err := m.Show(ctx, params["name"])
			return one, err
		}),
		"listBlocked": s.look(func(ctx context.Context, params map[string]string) (any, error) {
			all, err := m.Blocked(ctx, params["name"], maxBlocked)
			if err != nil {
				return nil, err
			}
			return paged("blocked "+params["name"], all, func(b readmodels.Blocked) string { return b.Stream }, params)
		}),
		"listJobs": s.look(func(ctx context.Context, params map[string]string) (any, error) {
			all, err := m.Jobs(ctx, maxJobs)
			if err != nil {
				return nil, err
			}
			views := make([]jobView, len(all))
			for i, j := range all {
				views[i] = viewJob(j)
			}
			return paged("jobs", views, func(j jobView) string { return j.ID }, params)
		}),
		"getJob": s.look(func(ctx context.Context, params map[string]string) (any, error) {
			job, err := m.Job(ctx, params["id"])
			return viewJob(job), err
		}),
		"cancelJob": s.operate(func(ctx context.Context, r *request, in input) (done, error) {
			job, err := m.CancelJob(ctx, in.params["id"])
			s.operated(r, "a job is cancelled", err, "job", in.params["id"])
			return done{body: viewJob(job)}, err
		}),
		"retryBlocked":      s.operate(s.retryBlocked),
		"skipBlocked":       s.operate(s.skipBlocked),
		"rebuildReadModel":  s.operate(s.rebuild),
		"switchReadModel":   s.startJob(m.Switch),
		"rollbackReadModel": s.startJob(m.Rollback),
		"verifyReadModel":   s.startJob(m.Verify),
		"pauseReadModel":    s.startJob(m.Pause),
		"resumeReadModel":   s.startJob(m.Resume),
		"dropReadModel":     s.startJob(m.Drop),
	}
}

// startJob is the handler of an operation that starts a job.
func (s *Server) startJob(start func(ctx context.Context, name, actor string) (readmodels.Job, error)) handler {
	return s.operate(func(ctx context.Context, r *request, in input) (done, error) {
		job, err := start(ctx, in.params["name"], r.who.subject)
		return s.started(r, in, job, err)
	})
}

func (s *Server) rebuild(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[rebuildBody](in)
	if err != nil {
		return done{}, err
	}
	job, err := s.options.Models.Rebuild(ctx, in.params["name"], r.who.subject, body.Switch)
	return s.started(r, in, job, err)
}

// started answers 202 with the job and where to look for it.
func (s *Server) started(r *request, in input, job readmodels.Job, err error) (done, error) {
	s.operated(r, "a job was started", err, "readmodel", in.params["name"], "job", job.ID)
	return done{status: http.StatusAccepted, body: viewJob(job), location: "/v1/ops/jobs/" + job.ID, retry: 1}, err
}

func (s *Server) retryBlocked(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[streamsBody](in)
	if err != nil {
		return done{}, err
	}
	retried, err := s.options.Models.Retry(ctx, in.params["name"], body.Streams)
	s.operated(r, "blocked streams were tried again", err, "readmodel", in.params["name"], "streams", body.Streams)
	return done{body: retried}, err
}

func (s *Server) skipBlocked(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[streamsBody](in)
	if err != nil {
		return done{}, err
	}
	skipped, err := s.options.Models.Skip(ctx, in.params["name"], body.Streams, r.who.subject)
	s.operated(r, "blocking events were skipped", err, "readmodel", in.params["name"], "streams", body.Streams)
	return done{body: skipped}, err
}
