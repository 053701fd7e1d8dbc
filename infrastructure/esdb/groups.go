package esdb

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"

	"github.com/tidemark-dev/tidemark/domain"
)

// List implements application.Groups: the groups on the whole log, in the server's order. A group's
// Prefixes are not known to the server's list and stay empty.
func (s *Store) List(ctx context.Context) ([]domain.GroupInfo, error) {
	infos, err := call(ctx, s, "list_groups", func(ctx context.Context, c *client.Client) ([]client.PersistentSubscriptionInfo, error) {
		return c.ListPersistentSubscriptionsToAll(ctx, client.ListPersistentSubscriptionsOptions{})
	})
	if codeOf(err) == client.ErrorCodeResourceNotFound {
		return []domain.GroupInfo{}, nil // there never was one
	}
	if err != nil {
		return nil, failure("list groups", err)
	}
	groups := make([]domain.GroupInfo, len(infos))
	for i := range infos {
		groups[i] = groupInfo(&infos[i])
	}
	return groups, nil
}

// Info implements application.Groups.
func (s *Store) Info(ctx context.Context, group string) (domain.GroupInfo, error) {
	info, err := s.info(ctx, group)
	if err != nil {
		return domain.GroupInfo{}, err
	}
	return groupInfo(info), nil
}

func (s *Store) info(ctx context.Context, group string) (*client.PersistentSubscriptionInfo, error) {
	info, err := call(ctx, s, "group_info", func(ctx context.Context, c *client.Client) (*client.PersistentSubscriptionInfo, error) {
		return c.GetPersistentSubscriptionInfoToAll(ctx, group, client.GetPersistentSubscriptionOptions{})
	})
	return info, groupFailure(group, "group info", err)
}

// groupInfo gives positions as one decimal number, the form that Reset takes.
func groupInfo(info *client.PersistentSubscriptionInfo) domain.GroupInfo {
	result := domain.GroupInfo{
		Group: info.GroupName, Stream: info.EventSource, Status: info.Status, Consumers: len(info.Connections),
		Settings: settingsOf(info.Settings),
	}
	if stats := info.Stats; stats != nil {
		result.InFlight, result.Parked = stats.TotalInFlightMessages, stats.ParkedMessagesCount
		if position := stats.LastCheckpointedPosition; position != nil {
			result.Position = strconv.FormatUint(position.Commit, 10)
		}
		if position := stats.LastKnownPosition; position != nil {
			result.LastKnown = strconv.FormatUint(position.Commit, 10)
		}
	}
	return result
}

// Create implements application.Groups. From.Position is the first position considered. A group that
// exists is refused with code group_exists.
func (s *Store) Create(ctx context.Context, group domain.Group, from domain.From) error {
	if group.Name == "" || len(group.Prefixes) == 0 {
		return defect("group %q with prefixes %q", group.Name, group.Prefixes)
	}
	settings, err := changed(group.Name, s.settings(), group.Settings)
	if err != nil {
		return err
	}
	return s.create(ctx, group, settings, from)
}

func (s *Store) create(ctx context.Context, group domain.Group, settings *client.PersistentSubscriptionSettings, from domain.From) error {
	options := client.PersistentAllSubscriptionOptions{
		Settings:  settings,
		StartFrom: client.Start{},
		Filter:    &client.SubscriptionFilter{Type: client.StreamFilterType, Prefixes: group.Prefixes},
	}
	switch {
	case from.End:
		options.StartFrom = client.End{}
	case from.Position > 0:
		options.StartFrom = client.Position{Commit: from.Position, Prepare: from.Position}
	}
	_, err := call(ctx, s, "create_group", func(ctx context.Context, c *client.Client) (struct{}, error) {
		return struct{}{}, c.CreatePersistentSubscriptionToAll(ctx, group.Name, options)
	})
	if codeOf(err) == client.ErrorCodeResourceAlreadyExists {
		return domain.Refuse("group_exists", "There is a group %q already.", group.Name)
	}
	if code := grpcCode(err); from.Position > 0 && (code == codes.Internal || code == codes.InvalidArgument) {
		return beyondTheLog()
	}
	return groupFailure(group.Name, "create group", err)
}

// Delete implements application.Groups. What was parked for the group goes with it.
func (s *Store) Delete(ctx context.Context, group string) error {
	_, err := call(ctx, s, "delete_group", func(ctx context.Context, c *client.Client) (struct{}, error) {
		return struct{}{}, c.DeletePersistentSubscriptionToAll(ctx, group, client.DeletePersistentSubscriptionOptions{})
	})
	return groupFailure(group, "delete group", err)
}

// Reset implements application.Groups.
func (s *Store) Reset(ctx context.Context, group domain.Group, from domain.From) error {
	info, err := s.info(ctx, group.Name)
	if err != nil {
		return err
	}
	settings, err := changed(group.Name, settingsOf(info.Settings), group.Settings)
	if err != nil {
		return err
	}
	if from.Position > 0 { // to find out only once the group is deleted would be too late
		end, err := s.endOfLog(ctx)
		if err != nil {
			return err
		}
		if from.Position > end {
			return beyondTheLog()
		}
	}
	pause := backoff{shortest: 10 * time.Millisecond, longest: 200 * time.Millisecond}
	for attempt := 1; ; attempt++ {
		if err := s.Delete(ctx, group.Name); err != nil && domain.KindOf(err) != domain.KindNotFound {
			return err
		}
		err := s.create(ctx, group, settings, from)
		// A consumer that found the group missing may have made it anew, from the start. And a group that is
		// deleted has to be there again before anything but the context ends this.
		again := domain.CodeOf(err) == "group_exists" && attempt < 5 || domain.KindOf(err) == domain.KindUnavailable
		if !again || !pause.wait(ctx) {
			return unmade(group.Name, err)
		}
	}
}

// unmade says that a group was deleted and may not be there again: that is not "nothing was done".
func unmade(group string, err error) error {
	if kind := domain.KindOf(err); kind != domain.KindUnavailable && kind != domain.KindUnknown {
		return err
	}
	half := unknown(err)
	half.Message = fmt.Sprintf("Group %q was deleted and may not have been made again. Its consumers make it anew from the start of the log; reset it once more to have it elsewhere.", group)
	return half
}

func beyondTheLog() error {
	return domain.Invalid(domain.Field{Pointer: "/to", Code: "out_of_range", Detail: "The log has no such position."})
}

// Parked implements application.Groups.
func (s *Store) Parked(ctx context.Context, group string, limit int) ([]domain.Parked, error) {
	events, err := s.readParked(ctx, group, limit)
	if err != nil {
		return nil, err
	}
	parked := make([]domain.Parked, 0, len(events))
	for _, event := range events {
		parked = append(parked, parkedOf(event))
	}
	return parked, nil
}

// readParked reads the oldest limit entries of the stream where the server keeps what it parked.
func (s *Store) readParked(ctx context.Context, group string, limit int) ([]*client.ResolvedEvent, error) {
	if limit < 1 {
		return nil, defect("list %d parked events", limit)
	}
	stream := "$persistentsubscription-$all::" + group + "-parked"
	events, err := call(ctx, s, "read_parked", func(ctx context.Context, c *client.Client) ([]*client.ResolvedEvent, error) {
		read, err := c.ReadStream(ctx, stream, client.ReadStreamOptions{ResolveLinkTos: true}, uint64(limit))
		if err != nil {
			return nil, err
		}
		defer read.Close()
		var events []*client.ResolvedEvent
		for {
			event, err := read.Recv()
			if endOfRead(err) {
				return events, nil
			}
			if err != nil {
				return nil, err
			}
			events = append(events, event)
		}
	})
	if codeOf(err) == client.ErrorCodeResourceNotFound {
		_, err = s.Info(ctx, group) // nothing parked, or no group?
		return nil, err
	}
	return events, groupFailure(group, "read parked events", err)
}

// parkedOf reads one entry: a link with the reason in its metadata, resolved if its target is left.
func parkedOf(event *client.ResolvedEvent) domain.Parked {
	entry := event.OriginalEvent()
	var note struct {
		Added  string `json:"added"`
		Reason string `json:"reason"`
	}
	_ = json.Unmarshal(entry.UserMetadata, &note) // another server's format leaves only the reason unknown
	parked := domain.Parked{ID: entry.EventID.String(), Type: entry.EventType, Reason: note.Reason, At: entry.CreatedDate.UTC()}
	if added, err := time.Parse(time.RFC3339Nano, note.Added); err == nil {
		parked.At = added.UTC()
	}
	if target := event.Event; event.Link != nil && target != nil {
		raw := rawOf(target)
		parked.ID, parked.Stream, parked.Revision, parked.Type = raw.ID, raw.Stream, raw.Revision, raw.Type
		return parked
	}
	revision, stream, _ := strings.Cut(string(entry.Data), "@")
	parked.Stream = stream
	if number, err := strconv.ParseInt(revision, 10, 64); err == nil {
		parked.Revision = number
	}
	return parked
}

// ReplayParked implements application.Groups. The server takes no number but the revision in its
// stream of parked events to stop before, so the oldest limit entries are looked up first.
func (s *Store) ReplayParked(ctx context.Context, group string, limit int) error {
	if limit < 0 {
		return defect("replay %d parked events", limit)
	}
	options := client.ReplayParkedMessagesOptions{}
	if limit > 0 {
		oldest, err := s.readParked(ctx, group, limit)
		if err != nil || len(oldest) == 0 {
			return err
		}
		options.StopAt = int(oldest[len(oldest)-1].OriginalEvent().EventNumber) + 1
	}
	_, err := call(ctx, s, "replay_parked", func(ctx context.Context, c *client.Client) (struct{}, error) {
		return struct{}{}, c.ReplayParkedMessagesToAll(ctx, group, options)
	})
	if grpcCode(err) == codes.Internal {
		return &domain.Error{Kind: domain.KindRefused, Code: "replay_refused", Message: "The event store does not replay now; a replay may be running already.", Err: err}
	}
	return groupFailure(group, "replay parked events", err)
}

func groupFailure(group, operation string, err error) error {
	switch code := codeOf(err); {
	case code == client.ErrorCodeResourceNotFound && domain.KindOf(err) != domain.KindNotFound:
		missing := domain.NotFound("group", group)
		missing.Err = err
		return missing
	case code == client.ErrorCodeAccessDenied:
		return &domain.Error{Kind: domain.KindForbidden, Code: "forbidden", Err: fmt.Errorf("%s: %w", operation, err),
			Message: "The event store does not let the user that Tidemark connects as do this with groups; see scripts/bootstrap-eventstore."}
	}
	return failure(operation, err)
}
