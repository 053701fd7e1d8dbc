package mongodocs

import (
	"context"
	"errors"
)

// FerretDB 1 stands in for MongoDB where there is none, in tests above all. It speaks the protocol with three
// gaps that matter here: the hundredth update of a command hangs, a stage of $group computes its first
// accumulator only, and an update looks and writes in two steps, so that two updates on one
// condition can both take hold, even if the caller of one has long gone.

var errUnderWay = errors.New("the write is still under way")

// alone runs a write while no other write of this store is under way, to its end even if ctx ends before. Without
// FerretDB the server does that, document by document.
func (s *Store) alone(ctx context.Context, write func(context.Context) error) error {
	if s.turn == nil {
		return write(ctx)
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	ended := make(chan error, 1)
	s.writes.Go(func() {
		defer func() { <-s.turn }()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout)
		defer cancel()
		ended <- write(bounded)
	})
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return errors.Join(errUnderWay, ctx.Err())
	}
}
