package domain

import (
	"fmt"
	"math"
	"slices"
)

// GroupSettings are the settings of a group. All of them may change while it exists; its name, what it
// follows and its filter may not.
type GroupSettings struct {
	ConsumerStrategy   string `json:"consumerStrategy"`   // one of ConsumerStrategies, or what another client chose
	MessageTimeoutMs   int64  `json:"messageTimeoutMs"`   // a delivery that is not answered by then comes again
	MaxRetryCount      int64  `json:"maxRetryCount"`      // failures after which the server parks an event by itself
	CheckpointAfterMs  int64  `json:"checkpointAfterMs"`  // 0: checkpoints go by count only
	MinCheckpointCount int64  `json:"minCheckpointCount"` // events
	MaxCheckpointCount int64  `json:"maxCheckpointCount"` // events
	MaxSubscriberCount int64  `json:"maxSubscriberCount"` // 0: any number
	LiveBufferSize     int64  `json:"liveBufferSize"`     // events
	ReadBatchSize      int64  `json:"readBatchSize"`      // events
	HistoryBufferSize  int64  `json:"historyBufferSize"`  // events
	ResolveLinkTos     bool   `json:"resolveLinkTos"`
	ExtraStatistics    bool   `json:"extraStatistics"`
}

// ConsumerStrategies are how a group may share its events among consumers.
var ConsumerStrategies = []string{"RoundRobin", "DispatchToSingle", "Pinned"}

// GroupChange names settings with their new values; nil leaves one as it is.
type GroupChange struct {
	ConsumerStrategy   *string `json:"consumerStrategy"`
	MessageTimeoutMs   *int64  `json:"messageTimeoutMs"`
	MaxRetryCount      *int64  `json:"maxRetryCount"`
	CheckpointAfterMs  *int64  `json:"checkpointAfterMs"`
	MinCheckpointCount *int64  `json:"minCheckpointCount"`
	MaxCheckpointCount *int64  `json:"maxCheckpointCount"`
	MaxSubscriberCount *int64  `json:"maxSubscriberCount"`
	LiveBufferSize     *int64  `json:"liveBufferSize"`
	ReadBatchSize      *int64  `json:"readBatchSize"`
	HistoryBufferSize  *int64  `json:"historyBufferSize"`
	ResolveLinkTos     *bool   `json:"resolveLinkTos"`
	ExtraStatistics    *bool   `json:"extraStatistics"`
}

// Apply gives the settings after the change.
func (c GroupChange) Apply(s GroupSettings) GroupSettings {
	set(&s.ConsumerStrategy, c.ConsumerStrategy)
	set(&s.MessageTimeoutMs, c.MessageTimeoutMs)
	set(&s.MaxRetryCount, c.MaxRetryCount)
	set(&s.CheckpointAfterMs, c.CheckpointAfterMs)
	set(&s.MinCheckpointCount, c.MinCheckpointCount)
	set(&s.MaxCheckpointCount, c.MaxCheckpointCount)
	set(&s.MaxSubscriberCount, c.MaxSubscriberCount)
	set(&s.LiveBufferSize, c.LiveBufferSize)
	set(&s.ReadBatchSize, c.ReadBatchSize)
	set(&s.HistoryBufferSize, c.HistoryBufferSize)
	set(&s.ResolveLinkTos, c.ResolveLinkTos)
	set(&s.ExtraStatistics, c.ExtraStatistics)
	return s
}

func set[T any](field, value *T) {
	if value != nil {
		*field = *value
	}
}

// Check refuses settings that no group can have (KindInvalid). An event store would accept some of them
// and then never checkpoint, or never deliver.
func (s GroupSettings) Check() error {
	var found []Field
	wrong := func(name, code, format string, args ...any) {
		found = append(found, Field{Pointer: "/" + name, Code: code, Detail: fmt.Sprintf(format, args...)})
	}
	if !slices.Contains(ConsumerStrategies, s.ConsumerStrategy) {
		wrong("consumerStrategy", "unknown", "Must be one of RoundRobin, DispatchToSingle, Pinned.")
	}
	for _, limit := range []struct {
		name         string
		value, least int64
	}{
		{"messageTimeoutMs", s.MessageTimeoutMs, 1}, {"maxRetryCount", s.MaxRetryCount, 0}, {"checkpointAfterMs", s.CheckpointAfterMs, 0},
		{"minCheckpointCount", s.MinCheckpointCount, 1}, {"maxCheckpointCount", s.MaxCheckpointCount, 1}, {"maxSubscriberCount", s.MaxSubscriberCount, 0},
		{"liveBufferSize", s.LiveBufferSize, 1}, {"readBatchSize", s.ReadBatchSize, 1}, {"historyBufferSize", s.HistoryBufferSize, 2},
	} {
		if limit.value < limit.least || limit.value > math.MaxInt32 {
			wrong(limit.name, "out_of_range", "Must be between %d and %d.", limit.least, math.MaxInt32)
		}
	}
	if s.MinCheckpointCount > s.MaxCheckpointCount {
		wrong("minCheckpointCount", "out_of_range", "Must be at most maxCheckpointCount, %d.", s.MaxCheckpointCount)
	}
	if s.ReadBatchSize >= s.HistoryBufferSize {
		wrong("readBatchSize", "out_of_range", "Must be less than historyBufferSize, %d.", s.HistoryBufferSize)
	}
	if len(found) > 0 {
		return Invalid(found...)
	}
	return nil
}
