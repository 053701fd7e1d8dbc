package mongodocs

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tidemark-dev/tidemark/domain"
)

// attempts bounds how often something is tried; the driver's own repetition is inside each.
const attempts = 5

func newBackoff() *backoff.ExponentialBackOff {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 20*time.Millisecond, time.Second
	return wait
}

// again repeats what may be done twice while the store is unavailable: an election or a lost connection passes.
func again(ctx context.Context, do func() error) error {
	wait := newBackoff()
	for attempt := 1; ; attempt++ {
		err := do()
		if err == nil || attempt == attempts || domain.KindOf(err) != domain.KindUnavailable {
			return err
		}
		if pauseErr := pause(ctx, wait.NextBackOff()); pauseErr != nil {
			return errors.Join(err, pauseErr)
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
