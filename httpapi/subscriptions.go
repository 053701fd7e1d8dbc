package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/tidemark-dev/tidemark/domain"
)

func (s *Server) listSubscriptions(ctx context.Context, params map[string]string) (any, error) {
	all, err := s.options.Groups.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Prefixes = s.prefixes(all[i])
	}
	return paged("subscriptions", all, func(g domain.GroupInfo) string { return g.Group }, params)
}

func (s *Server) getSubscription(ctx context.Context, params map[string]string) (any, error) {
	info, err := s.options.Groups.Info(ctx, params["group"])
	info.Prefixes = s.prefixes(info)
	return info, err
}

// maxParked bounds how many parked events are listed.
const maxParked = 1000

// parked is a parked event as the API shows it.
type parked struct {
	ID       string `json:"id"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	At       string `json:"at,omitempty"`
}

func (s *Server) listParked(ctx context.Context, params map[string]string) (any, error) {
	found, err := s.options.Groups.Parked(ctx, params["group"], maxParked)
	if err != nil {
		return nil, err
	}
	all := make([]parked, len(found))
	for i, p := range found {
		all[i] = parked{p.ID, p.Stream, p.Revision, p.Type, p.Reason, stamp(p.At)}
	}
	return paged("parked "+params["group"], all, func(p parked) string { return p.ID }, params)
}

// from reads "start", "end" or a position.
func from(value any) (domain.From, error) {
	switch v := value.(type) {
	case nil:
		return domain.From{}, nil
	case string:
		return domain.From{End: v == "end"}, nil
	}
	text, ok := value.(interface{ String() string })
	if !ok {
		return domain.From{}, fail("invalid_request", "The position can't be read.")
	}
	n, err := strconv.ParseUint(text.String(), 10, 63)
	return domain.From{Position: n}, err
}

func (s *Server) createSubscription(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[subscriptionBody](in)
	if err != nil {
		return done{}, err
	}
	at, err := from(body.From)
	if err != nil {
		return done{}, err
	}
	group := domain.Group{Name: body.Group, Prefixes: body.Prefixes, Settings: body.Settings}
	err = s.options.Groups.Create(ctx, group, at)
	s.operated(r, "a consumer group was made", err, "group", body.Group)
	if err != nil {
		return done{}, within("/settings", err)
	}
	info, err := s.options.Groups.Info(ctx, body.Group)
	return done{status: http.StatusCreated, body: info, location: "/v1/ops/subscriptions/" + body.Group}, err
}

// updated is a group after a change of its settings, or as it would be.
type updated struct {
	domain.GroupInfo
	Changes  []settingChange `json:"changes"`
	Warnings []string        `json:"warnings"`
}

type settingChange struct {
	Setting string `json:"setting"`
	From    any    `json:"from"`
	To      any    `json:"to"`
}

func (s *Server) updateSubscription(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[updateSubscriptionBody](in)
	if err != nil {
		return done{}, err
	}
	if found := body.fixed(); len(found) > 0 {
		return done{}, invalid(found)
	}
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil {
		return done{}, err
	}
	then := body.Settings.Apply(info.Settings)
	answer := updated{GroupInfo: info, Changes: changesOf(info.Settings, then), Warnings: s.doubts(info, then)}
	answer.Settings = then
	if len(answer.Changes) == 0 {
		return done{body: answer}, nil // nobody is disconnected for nothing
	}
	if err := then.Check(); err != nil {
		return done{}, within("/settings", err)
	}
	if in.dryRun {
		return done{body: answer}, nil
	}
	err = s.options.Groups.Update(ctx, info.Group, body.Settings)
	s.operated(r, "the settings of a consumer group were changed", err, "group", info.Group, "changes", answer.Changes)
	if err != nil {
		return done{}, within("/settings", err)
	}
	answer.GroupInfo, err = s.options.Groups.Info(ctx, info.Group)
	return done{body: answer}, err
}

// fixed are the findings about what a group can't change.
func (b updateSubscriptionBody) fixed() []domain.Field {
	var found []domain.Field
	for _, f := range []struct {
		given   any
		pointer string
		detail  string
	}{
		{b.Group, "/group", "The name of a group can't change; create another and delete this one."},
		{b.Stream, "/stream", "What a group follows can't change; create another and delete this one."},
		{b.Prefixes, "/prefixes", "The filter of a group can't change: the event store keeps the one that it was made with. Delete the group and create it anew."},
		{b.From, "/from", "Settings don't move a group; reset it."},
	} {
		if f.given != nil {
			found = append(found, domain.Field{Pointer: f.pointer, Code: "fixed", Detail: f.detail})
		}
	}
	return found
}

// changesOf lists the settings that differ, by name.
func changesOf(now, then domain.GroupSettings) []settingChange {
	before, after := settingsByName(now), settingsByName(then)
	changes := []settingChange{}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if before[name] != after[name] {
			changes = append(changes, settingChange{name, before[name], after[name]})
		}
	}
	return changes
}

func settingsByName(s domain.GroupSettings) map[string]any {
	byName := map[string]any{}
	if text, err := json.Marshal(s); err == nil { // strings, numbers and booleans always can be
		_ = json.Unmarshal(text, &byName)
	}
	return byName
}

// Bounds below which a change is called into doubt.
const (
	fewRetries   = 1000
	shortTimeout = 5000 // ms
)

// doubts says what a change would do that is probably not wanted.
func (s *Server) doubts(info domain.GroupInfo, then domain.GroupSettings) []string {
	doubts := []string{}
	ours := slices.ContainsFunc(s.options.Following, func(f Follower) bool { return f.Group == info.Group })
	if ours && then.MaxRetryCount < fewRetries && then.MaxRetryCount < info.Settings.MaxRetryCount {
		doubts = append(doubts, fmt.Sprintf("The event store would park an event by itself after %d failures, and a read store that is away for a while is enough for that.", then.MaxRetryCount))
	}
	if ours && then.MessageTimeoutMs < shortTimeout && then.MessageTimeoutMs < info.Settings.MessageTimeoutMs {
		doubts = append(doubts, fmt.Sprintf("Events would come again after %d ms, while consumers may still be at work on them.", then.MessageTimeoutMs))
	}
	if most := then.MaxSubscriberCount; most > 0 && int64(info.Consumers) > most {
		doubts = append(doubts, fmt.Sprintf("%d consumers are connected; only %d of them would get back in.", info.Consumers, most))
	}
	return doubts
}

// within puts the pointers of findings below the place in the body that they are about.
func within(place string, err error) error {
	refusal, ok := errors.AsType[*domain.Error](err)
	if !ok || len(refusal.Fields) == 0 {
		return err
	}
	moved := *refusal
	moved.Fields = slices.Clone(refusal.Fields)
	for i := range moved.Fields {
		moved.Fields[i].Pointer = place + moved.Fields[i].Pointer
	}
	return &moved
}

func (s *Server) deleteSubscription(ctx context.Context, r *request, in input) (done, error) {
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil || in.dryRun {
		return done{body: info}, err
	}
	err = s.options.Groups.Delete(ctx, info.Group)
	s.operated(r, "a consumer group was deleted", err, "group", in.params["group"])
	return done{body: info}, err
}

func (s *Server) resetSubscription(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[resetBody](in)
	if err != nil {
		return done{}, err
	}
	at, err := from(body.To)
	if err != nil {
		return done{}, err
	}
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil {
		return done{}, err
	}
	group := domain.Group{Name: info.Group, Prefixes: s.prefixes(info)}
	if len(group.Prefixes) == 0 {
		return done{}, fail("refused", "The event store does not tell what group %q takes, so it could not be made again; delete and create it instead.", info.Group)
	}
	if in.dryRun {
		return done{body: info}, nil
	}
	err = s.options.Groups.Reset(ctx, group, at)
	s.operated(r, "a consumer group was reset", err, "group", info.Group, "to", body.To)
	if err != nil {
		return done{}, err
	}
	info, err = s.options.Groups.Info(ctx, info.Group)
	return done{body: info}, err
}

// prefixes are those of a group of ours, or what the event store says.
func (s *Server) prefixes(info domain.GroupInfo) []string {
	for _, f := range s.options.Following {
		if f.Group == info.Group {
			return f.Prefixes
		}
	}
	return info.Prefixes
}

func (s *Server) replayParked(ctx context.Context, r *request, in input) (done, error) {
	body, err := decode[replayBody](in)
	if err != nil {
		return done{}, err
	}
	info, err := s.options.Groups.Info(ctx, in.params["group"])
	if err != nil || in.dryRun {
		return done{body: info}, err
	}
	err = s.options.Groups.ReplayParked(ctx, info.Group, int(body.Limit))
	s.operated(r, "parked events are replayed", err, "group", info.Group, "limit", body.Limit)
	if err != nil {
		return done{}, err
	}
	info, err = s.options.Groups.Info(ctx, info.Group)
	return done{body: info}, err
}
