package esdb

import (
	"context"
	"math"
	"slices"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/domain"
)

// settings of new groups. The server must not park by itself, because what it counts is also counted
// while a read store is down; retries are paced and parking is decided in Consume. A checkpoint may
// cover a single event, so that the last few of a quiet day don't come again after a restart. Pinned
// keeps the events of one stream with one consumer as long as it is there.
func (s *Store) settings() domain.GroupSettings {
	defaults := client.SubscriptionSettingsDefault()
	return domain.GroupSettings{
		ConsumerStrategy: string(client.ConsumerStrategyPinned),
		MessageTimeoutMs: min(s.options.Timeout.Milliseconds(), math.MaxInt32), MaxRetryCount: math.MaxInt32 / 2,
		CheckpointAfterMs: time.Second.Milliseconds(), MinCheckpointCount: 1, MaxCheckpointCount: int64(defaults.CheckpointUpperBound),
		MaxSubscriberCount: int64(defaults.MaxSubscriberCount),
		LiveBufferSize:     2000, ReadBatchSize: 200, HistoryBufferSize: 2000,
	}
}

// settingsOf reads what the server says about a group.
func settingsOf(s *client.PersistentSubscriptionSettings) domain.GroupSettings {
	if s == nil {
		return domain.GroupSettings{}
	}
	return domain.GroupSettings{
		ConsumerStrategy: string(s.ConsumerStrategyName),
		MessageTimeoutMs: int64(s.MessageTimeout), MaxRetryCount: int64(s.MaxRetryCount),
		CheckpointAfterMs: int64(s.CheckpointAfter), MinCheckpointCount: int64(s.CheckpointLowerBound), MaxCheckpointCount: int64(s.CheckpointUpperBound),
		MaxSubscriberCount: int64(s.MaxSubscriberCount),
		LiveBufferSize:     int64(s.LiveBufferSize), ReadBatchSize: int64(s.ReadBatchSize), HistoryBufferSize: int64(s.HistoryBufferSize),
		ResolveLinkTos: s.ResolveLinkTos, ExtraStatistics: s.ExtraStatistics,
	}
}

// changed gives a group's settings after a change, in the client's words. The client panics over a
// strategy that it has no word for, such as PinnedByCorrelation, which another client may have chosen.
func changed(group string, now domain.GroupSettings, change domain.GroupChange) (*client.PersistentSubscriptionSettings, error) {
	if change.ConsumerStrategy == nil && !slices.Contains(domain.ConsumerStrategies, now.ConsumerStrategy) {
		return nil, domain.Refuse("strategy_unsupported",
			"Group %q shares its events by %s, which can be neither kept nor made from here; name another consumerStrategy with the change.", group, now.ConsumerStrategy)
	}
	then := change.Apply(now)
	if err := then.Check(); err != nil {
		return nil, err
	}
	return &client.PersistentSubscriptionSettings{
		ConsumerStrategyName: client.ConsumerStrategy(then.ConsumerStrategy),
		MessageTimeout:       int32(then.MessageTimeoutMs), MaxRetryCount: int32(then.MaxRetryCount),
		CheckpointAfter: int32(then.CheckpointAfterMs), CheckpointLowerBound: int32(then.MinCheckpointCount), CheckpointUpperBound: int32(then.MaxCheckpointCount),
		MaxSubscriberCount: int32(then.MaxSubscriberCount),
		LiveBufferSize:     int32(then.LiveBufferSize), ReadBatchSize: int32(then.ReadBatchSize), HistoryBufferSize: int32(then.HistoryBufferSize),
		ResolveLinkTos: then.ResolveLinkTos, ExtraStatistics: then.ExtraStatistics,
	}, nil
}

// Update implements application.Groups. The server takes all settings at once, so those that stay are
// read first, and with them where the group starts as long as it has no checkpoint.
func (s *Store) Update(ctx context.Context, group string, change domain.GroupChange) error {
	info, err := s.info(ctx, group)
	if err != nil {
		return err
	}
	settings, err := changed(group, settingsOf(info.Settings), change)
	if err != nil {
		return err
	}
	from, err := s.startOf(ctx, info)
	if err != nil {
		return err
	}
	options := client.PersistentAllSubscriptionOptions{Settings: settings, StartFrom: from}
	_, err = call(ctx, s, "update_group", func(ctx context.Context, c *client.Client) (struct{}, error) {
		return struct{}{}, c.UpdatePersistentSubscriptionToAll(ctx, group, options)
	})
	return groupFailure(group, "update group", err)
}

// startOf is where a group starts without a checkpoint. The client writes "start" for a group that
// starts at the end, which would send all of history to one that has taken nothing yet; so such a group
// is told the newest position there is instead.
func (s *Store) startOf(ctx context.Context, info *client.PersistentSubscriptionInfo) (client.AllPosition, error) {
	switch from := info.Settings.StartFrom.(type) {
	case client.Position:
		return from, nil
	case *client.Position:
		return *from, nil
	case client.End:
		if info.Stats != nil && info.Stats.LastCheckpointedPosition != nil {
			return *info.Stats.LastCheckpointedPosition, nil
		}
		end, err := s.endOfLog(ctx)
		if err != nil || end == 0 {
			return client.Start{}, err
		}
		return client.Position{Commit: end, Prepare: end}, nil
	}
	return client.Start{}, nil
}
