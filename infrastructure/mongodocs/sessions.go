package mongodocs

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// staleFor bounds how old an answer of a secondary may be: it has everything that the primary had done when this
// process last heard from it, and that was no longer ago.
const staleFor = time.Second

// secondaryWithin bounds the wait for a secondary that is behind; then the primary is asked instead.
const secondaryWithin = time.Second

// clock is the newest operation that this process knows the servers to have done.
type clock struct {
	mu        sync.Mutex
	operation *bson.Timestamp
	heard     time.Time // the primary had done it then
	stale     time.Duration
}

func (c *clock) read() *bson.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operation
}

// recent says whether the operation is one of the last moments.
func (c *clock) recent(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operation != nil && now.Sub(c.heard) < c.stale
}

// advance notes what a server had done at a time.
func (c *clock) advance(to *bson.Timestamp, at time.Time, primary bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to == nil {
		return
	}
	if c.operation == nil || to.After(*c.operation) {
		c.operation = to
	}
	if primary && at.After(c.heard) {
		c.heard = at
	}
}

// onPrimary runs work on the primary. If secondaries may be asked later, it notes how far the primary was.
func (s *Store) onPrimary(ctx context.Context, work func(context.Context) error) error {
	if !s.options.SecondaryReads {
		return work(ctx)
	}
	return s.inSession(ctx, true, work)
}

// onAny runs work on a secondary if it is for a relaxed read and this process has heard from the primary just
// now: then the secondary is told to have that much before it answers. Otherwise, and when the secondary
// fails or does not get there soon, the primary does it.
func (s *Store) onAny(ctx context.Context, collection string, work func(context.Context, *mongo.Collection) error) error {
	if s.options.SecondaryReads && readmodels.IsRelaxed(ctx) && s.clock.recent(time.Now()) {
		soon, cancel := context.WithTimeout(ctx, s.patience)
		defer cancel()
		c := s.db.Collection(collection, options.Collection().SetReadPreference(readpref.SecondaryPreferred()))
		err := s.inSession(soon, false, func(ctx context.Context) error { return work(ctx, c) })
		if err == nil || ctx.Err() != nil || isDefect(err) {
			return err
		}
	}
	return s.onPrimary(ctx, func(ctx context.Context) error { return work(ctx, s.db.Collection(collection)) })
}

// inSession runs work causally after everything that the store did in sessions before.
func (s *Store) inSession(ctx context.Context, primary bool, work func(context.Context) error) error {
	session, err := s.client.StartSession(options.Session().SetCausalConsistency(true))
	if err != nil {
		return fmt.Errorf("start session: %w", err)
	}
	defer session.EndSession(ctx)
	if seen := s.clock.read(); seen != nil {
		if err := session.AdvanceOperationTime(seen); err != nil {
			return fmt.Errorf("advance session: %w", err)
		}
	}
	began := time.Now()
	err = work(mongo.NewSessionContext(ctx, session))
	s.clock.advance(session.OperationTime(), began, primary && err == nil)
	return err
}
