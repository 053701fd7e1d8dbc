package esnode

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"google.golang.org/protobuf/proto"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// persistentService has the RPCs of consumer groups; the manager and its runners do the work.
type persistentService struct {
	persistent.UnimplementedPersistentSubscriptionsServer
	node *Node
}

// Create implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) Create(_ context.Context, req *persistent.CreateReq) (*persistent.CreateResp, error) {
	c, err := readConfig(req.GetOptions())
	if err != nil {
		return nil, err
	}
	return &persistent.CreateResp{}, s.node.groups.create(c)
}

// Update implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) Update(_ context.Context, req *persistent.UpdateReq) (*persistent.UpdateResp, error) {
	// On the wire the options are those of Create, less a few fields.
	var same persistent.CreateReq_Options
	wire, err := proto.Marshal(req.GetOptions())
	if err == nil {
		err = proto.Unmarshal(wire, &same)
	}
	if err != nil {
		return nil, invalid("malformed options: %v", err)
	}
	c, err := readConfig(&same)
	if err != nil {
		return nil, err
	}
	return &persistent.UpdateResp{}, s.node.groups.update(c)
}

// Delete implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) Delete(_ context.Context, req *persistent.DeleteReq) (*persistent.DeleteResp, error) {
	o := req.GetOptions()
	key, err := readKey(o.GetStreamIdentifier(), o.GetAll(), o.GetGroupName())
	if err != nil {
		return nil, err
	}
	return &persistent.DeleteResp{}, s.node.groups.delete(key)
}

// ReplayParked implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) ReplayParked(ctx context.Context, req *persistent.ReplayParkedReq) (*persistent.ReplayParkedResp, error) {
	o := req.GetOptions()
	key, r, err := s.find(o)
	if err != nil {
		return nil, err
	}
	stopAt := int64(-1)
	if limit, ok := o.GetStopAtOption().(*persistent.ReplayParkedReq_Options_StopAt); ok {
		if stopAt = limit.StopAt; stopAt < 0 {
			return nil, groupFailed(key.stream, key.group, "Cannot stop replaying parked message at a negative version.")
		}
	}
	err = r.startReplay(ctx, stopAt)
	if errors.Is(err, errGroupGone) {
		err = groupMissing(key.stream, key.group)
	}
	return &persistent.ReplayParkedResp{}, err
}

// RestartSubsystem implements persistent.PersistentSubscriptionsServer.
func (s *persistentService) RestartSubsystem(context.Context, *shared.Empty) (*shared.Empty, error) {
	return &shared.Empty{}, s.node.groups.restart()
}

// groupOptions is how requests name a group.
type groupOptions interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetAll() *shared.Empty
	GetGroupName() string
}

// find gives the group that a request names.
func (s *persistentService) find(o groupOptions) (groupKey, *runner, error) {
	key, err := readKey(o.GetStreamIdentifier(), o.GetAll(), o.GetGroupName())
	if err != nil {
		return key, nil, err
	}
	r := s.node.groups.find(key)
	if r == nil {
		return key, nil, groupMissing(key.stream, key.group)
	}
	return key, r, nil
}

// readKey names a group. A stream called $all is the whole log.
func readKey(stream *shared.StreamIdentifier, all *shared.Empty, group string) (groupKey, error) {
	if all != nil {
		return groupKey{allStream, group}, nil
	}
	name, err := readStream(stream)
	return groupKey{name, group}, err
}

func readConfig(o *persistent.CreateReq_Options) (groupConfig, error) {
	c := groupConfig{Group: o.GetGroupName(), Start: startBeginning}
	settings := o.GetSettings()
	if settings == nil {
		return c, invalid("the settings are missing")
	}
	c.apply(settings)
	switch t := o.GetStreamOption().(type) {
	case *persistent.CreateReq_Options_Stream:
		c.Stream = string(t.Stream.GetStreamIdentifier().GetStreamName())
		switch at := t.Stream.GetRevisionOption().(type) {
		case *persistent.CreateReq_StreamOptions_Revision:
			return c.from(at.Revision)
		case *persistent.CreateReq_StreamOptions_Start:
		case *persistent.CreateReq_StreamOptions_End:
			c.Start = startEnd
		default:
			return c, invalid("the revision to start from is missing")
		}
	case *persistent.CreateReq_Options_All:
		return c.fromAll(t.All)
	default: // the form of both Node clients
		c.Stream = string(o.GetStreamIdentifier().GetStreamName()) //nolint:staticcheck // deprecated, in use
		return c.from(settings.GetRevision())                      //nolint:staticcheck // deprecated, in use
	}
	return c.ofStream()
}

// ofStream refuses what no stream is called.
func (c groupConfig) ofStream() (groupConfig, error) {
	if c.all() {
		return c, groupFailed(c.Stream, c.Group, "Persistent subscriptions to $all are created by their own options.")
	}
	return c, nil
}

func (c groupConfig) from(revision uint64) (groupConfig, error) {
	at, err := number(revision)
	if err != nil {
		return c, err
	}
	switch {
	case at < 0:
		c.Start = startEnd
	case at > 0:
		c.Start, c.StartAt = startAt, at
	}
	return c.ofStream()
}

func (c groupConfig) fromAll(all *persistent.CreateReq_AllOptions) (groupConfig, error) {
	c.Stream = allStream
	switch at := all.GetAllOption().(type) {
	case *persistent.CreateReq_AllOptions_Position:
		commit, prepare := at.Position.GetCommitPosition(), at.Position.GetPreparePosition()
		if prepare > commit {
			return c, groupFailed(c.Stream, c.Group, "The commit position must be greater than or equal to the prepare position.")
		}
		p, err := number(commit)
		if err != nil {
			return c, err
		}
		if c.Start, c.StartAt = startAt, p; p < 0 {
			c.Start, c.StartAt = startEnd, 0
		}
	case *persistent.CreateReq_AllOptions_Start:
	case *persistent.CreateReq_AllOptions_End:
		c.Start = startEnd
	default:
		return c, invalid("the position to start from is missing")
	}
	f, ok := all.GetFilterOption().(*persistent.CreateReq_AllOptions_Filter)
	if !ok {
		return c, nil
	}
	c.Filter = &filterSpec{}
	switch by := f.Filter.GetFilter().(type) {
	case *persistent.CreateReq_AllOptions_FilterOptions_StreamIdentifier:
		c.Filter.Regex, c.Filter.Prefixes = by.StreamIdentifier.GetRegex(), by.StreamIdentifier.GetPrefix()
	case *persistent.CreateReq_AllOptions_FilterOptions_EventType:
		c.Filter.ByType = true
		c.Filter.Regex, c.Filter.Prefixes = by.EventType.GetRegex(), by.EventType.GetPrefix()
	default:
		return c, invalid("the filter names neither stream nor event type")
	}
	_, err := c.Filter.compile()
	return c, err
}

// milliseconds are what ticks of 100 ns make, at most what a group's info can tell: some 24 days.
func milliseconds(ticks int64) int64 {
	const tick = 100 * time.Nanosecond
	return min(ticks/int64(time.Millisecond/tick), math.MaxInt32)
}

// apply takes the settings literally; the clients fill in the defaults.
func (c *groupConfig) apply(s *persistent.CreateReq_Settings) {
	c.ResolveLinks, c.ExtraStatistics = s.GetResolveLinks(), s.GetExtraStatistics()
	c.MaxRetryCount = s.GetMaxRetryCount()
	c.MinCheckpointCount, c.MaxCheckpointCount = s.GetMinCheckpointCount(), s.GetMaxCheckpointCount()
	c.MaxSubscriberCount = s.GetMaxSubscriberCount()
	c.LiveBufferSize, c.ReadBatchSize, c.HistoryBufferSize = s.GetLiveBufferSize(), s.GetReadBatchSize(), s.GetHistoryBufferSize()
	c.MessageTimeoutMs = int64(s.GetMessageTimeoutMs())
	if t, ok := s.GetMessageTimeout().(*persistent.CreateReq_Settings_MessageTimeoutTicks); ok {
		c.MessageTimeoutMs = milliseconds(t.MessageTimeoutTicks)
	}
	c.CheckpointAfterMs = int64(s.GetCheckpointAfterMs())
	if t, ok := s.GetCheckpointAfter().(*persistent.CreateReq_Settings_CheckpointAfterTicks); ok {
		c.CheckpointAfterMs = milliseconds(t.CheckpointAfterTicks)
	}
	if c.Strategy = s.GetConsumerStrategy(); c.Strategy != "" {
		return
	}
	switch s.GetNamedConsumerStrategy() { //nolint:staticcheck // deprecated, in use
	case persistent.CreateReq_DispatchToSingle:
		c.Strategy = string(groups.DispatchToSingle)
	case persistent.CreateReq_RoundRobin:
		c.Strategy = string(groups.RoundRobin)
	case persistent.CreateReq_Pinned:
		c.Strategy = string(groups.Pinned)
	}
}
