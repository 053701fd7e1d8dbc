package mongodocs

import (
	"context"
	"fmt"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
)

// clock is the newest operation that this process knows the servers to have done.
type clock struct {
	mu        sync.Mutex
	operation *bson.Timestamp
}

func (c *clock) read() *bson.Timestamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.operation
}

func (c *clock) advance(to *bson.Timestamp) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if to != nil && (c.operation == nil || to.After(*c.operation)) {
		c.operation = to
	}
}

// onPrimary runs work on the primary. If secondaries may be asked later, it notes how far the primary was.
func (s *Store) onPrimary(ctx context.Context, work func(context.Context) error) error {
	if !s.options.SecondaryReads {
		return work(ctx)
	}
	return s.inSession(ctx, work)
}

// onAny runs work on a secondary that has everything that this process has seen, if secondaries may be asked.
func (s *Store) onAny(ctx context.Context, collection string, work func(context.Context, *mongo.Collection) error) error {
	if !s.options.SecondaryReads {
		return work(ctx, s.db.Collection(collection))
	}
	c := s.db.Collection(collection, options.Collection().SetReadPreference(readpref.SecondaryPreferred()))
	return s.inSession(ctx, func(ctx context.Context) error { return work(ctx, c) })
}

// inSession runs work causally after everything that the store did in sessions before.
func (s *Store) inSession(ctx context.Context, work func(context.Context) error) error {
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
	err = work(mongo.NewSessionContext(ctx, session))
	s.clock.advance(session.OperationTime())
	return err
}
