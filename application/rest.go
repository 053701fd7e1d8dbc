package application

import (
	"context"
	"sync"
	"time"
)

// A stream that comes to rest between two multiples of the distance leaves a tail that each process which
// meets it anew has to fold, and folding events costs more than reading a snapshot. So a stream that has
// snapshots already gets one more when it has grown by restTail events and then no more for restFor. The
// pause bounds what this writes: a stream that never rests gets none, a slow one at most one in restFor.
const (
	restFor   = 5 * time.Second
	restTail  = 10  // events, or a tenth of the distance if that is more
	restNoted = 256 // streams that are watched at once; more are left out
)

// resting are the streams that are watched.
type resting struct {
	mu    sync.Mutex
	noted map[string]noted
}

type noted struct {
	job      snapshotJob
	revision int64
	grew     time.Time // when it was last seen to grow, by the machine's clock
}

// note watches a stream that job would take a snapshot of at revision.
func (r *resting) note(job snapshotJob, revision int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	have, watched := r.noted[job.stream]
	if watched && have.revision >= revision || !watched && len(r.noted) >= restNoted {
		return
	}
	r.noted[job.stream] = noted{job, revision, time.Now()}
}

// forget stops watching a stream of which a snapshot is taken anyway.
func (r *resting) forget(stream string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.noted, stream)
}

// rested takes out the streams that have come to rest.
func (r *resting) rested() []snapshotJob {
	r.mu.Lock()
	defer r.mu.Unlock()
	var jobs []snapshotJob
	for stream, n := range r.noted {
		if time.Since(n.grew) >= restFor {
			jobs = append(jobs, n.job)
			delete(r.noted, stream)
		}
	}
	return jobs
}

// tailed tells that a stream with a snapshot has a tail worth a further one once it rests.
func (s *snapshotter) tailed(revision, snapshot int64) bool {
	return s.every > 0 && snapshot >= 0 && revision-snapshot >= max(restTail, s.every/10)
}

// settle takes the snapshots of streams that have come to rest.
func (s *snapshotter) settle(ctx context.Context) {
	for _, job := range s.resting.rested() {
		s.carryOut(ctx, job)
	}
}

// carryOut takes one snapshot. The state in memory hears of it, so that what follows counts from there.
func (s *snapshotter) carryOut(ctx context.Context, job snapshotJob) {
	err := s.write(ctx, job)
	if err == nil {
		s.e.cache.change(job.stream, job.taken)
	} else if ctx.Err() != nil {
		return // it was stopped, and the next process offers again
	}
	s.e.hooks.SnapshotTaken(job.stream, err)
}
