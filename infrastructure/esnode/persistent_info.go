package esnode

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// GetInfo implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) GetInfo(ctx context.Context, req *persistent.GetInfoReq) (*persistent.GetInfoResp, error) {
	o := req.GetOptions()
	key, r, err := s.find(o)
	if err != nil {
		return nil, err
	}
	info, err := r.info(ctx)
	if errors.Is(err, errGroupGone) {
		return nil, groupMissing(key.stream, key.group)
	}
	return &persistent.GetInfoResp{SubscriptionInfo: info}, err
}

// List implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) List(ctx context.Context, req *persistent.ListReq) (*persistent.ListResp, error) {
	var found []*runner
	switch o := req.GetOptions().GetListOption().(type) {
	case *persistent.ListReq_Options_ListAllSubscriptions:
		found = s.node.groups.list()
	case *persistent.ListReq_Options_ListForStream:
		key, err := readKey(o.ListForStream.GetStream(), o.ListForStream.GetAll(), "")
		if err != nil {
			return nil, err
		}
		var ever bool
		if found, ever = s.node.groups.listOf(key.stream); !ever {
			return nil, groupMissing(key.stream, "")
		}
	default:
		return nil, invalid("it is missing what to list")
	}
	answer := &persistent.ListResp{}
	for _, r := range found {
		info, err := r.info(ctx)
		if errors.Is(err, errGroupGone) {
			continue
		} else if err != nil {
			return nil, err
		}
		answer.Subscriptions = append(answer.Subscriptions, info)
	}
	return answer, nil
}

// info tells how a group stands, for operators.
func (r *runner) info(ctx context.Context) (*persistent.SubscriptionInfo, error) {
	first, last, err := r.parked(ctx)
	if err != nil {
		return nil, err
	}
	c := r.config
	info := &persistent.SubscriptionInfo{
		EventSource: c.Stream, GroupName: c.Group, ResolveLinkTos: c.ResolveLinks, StartFrom: c.startFrom(),
		MessageTimeoutMilliseconds: int32(c.MessageTimeoutMs), ExtraStatistics: c.ExtraStatistics, MaxRetryCount: c.MaxRetryCount,
		LiveBufferSize: c.LiveBufferSize, BufferSize: c.HistoryBufferSize, ReadBatchSize: c.ReadBatchSize,
		CheckPointAfterMilliseconds: int32(c.CheckpointAfterMs), MinCheckPointCount: c.MinCheckpointCount, MaxCheckPointCount: c.MaxCheckpointCount,
		NamedConsumerStrategy: c.Strategy, MaxSubscriberCount: c.MaxSubscriberCount,
	}
	err = r.ask(ctx, func(now time.Time) {
		stats := r.machine.Stats(now)
		info.Status = r.status()
		if saved, has := r.machine.Saved(); has {
			info.LastCheckpointedEventPosition = c.place(saved)
		}
		if r.lastKnown >= 0 {
			info.LastKnownEventPosition = c.place(r.lastKnown)
		}
		if last >= 0 {
			info.ParkedMessageCount = max(last-max(first, r.replay.loaded)+1, 0)
		}
		info.AveragePerSecond, info.TotalItems, info.CountSinceLastMeasurement = stats.AveragePerSecond, stats.Total, stats.SinceLast
		info.ReadBufferCount, info.RetryBufferCount = int32(stats.Buffered), int32(stats.Retrying)
		info.LiveBufferCount = r.liveCount()
		info.TotalInFlightMessages, info.OutstandingMessagesCount = int32(stats.InFlight), int32(stats.Outstanding)
		for _, s := range stats.Consumers {
			info.Connections = append(info.Connections, r.connection(s))
		}
	})
	return info, err
}

func (r *runner) connection(s groups.ConsumerStats) *persistent.SubscriptionInfo_ConnectionInfo {
	answer := &persistent.SubscriptionInfo_ConnectionInfo{
		Username: "anonymous", AverageItemsPerSecond: s.AveragePerSecond, TotalItems: s.Total, CountSinceLastMeasurement: s.SinceLast,
		AvailableSlots: int32(s.Free), InFlightMessages: int32(s.InFlight), ConnectionName: "<unknown>",
	}
	if c := r.consumers[s.ID]; c != nil {
		answer.ConnectionName = c.name
	}
	for _, m := range s.Measurements {
		answer.ObservedMeasurements = append(answer.ObservedMeasurements, &persistent.SubscriptionInfo_Measurement{Key: m.Key, Value: m.Value})
	}
	return answer
}

// liveCount is how many events near the head wait for the group's buffer, at most as many as its
// settings allow for.
func (r *runner) liveCount() int64 {
	if !r.source.live {
		return 0
	}
	waiting, _, _, ok := r.node.feed.after(r.source.position)
	if !ok {
		return int64(r.config.LiveBufferSize)
	}
	return min(int64(len(waiting)), int64(r.config.LiveBufferSize))
}

// status prints the flags of the original.
func (r *runner) status() string {
	var flags []string
	if !r.source.live || r.failure != nil {
		flags = append(flags, "Behind")
	}
	if r.replay.running {
		flags = append(flags, "ReplayingParkedMessages")
	}
	if r.source.live && r.failure == nil {
		flags = append(flags, "Live")
	}
	return strings.Join(flags, ", ")
}
