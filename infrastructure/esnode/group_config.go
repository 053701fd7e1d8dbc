package esnode

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// Where a group without a checkpoint starts.
const (
	startBeginning = "start"
	startEnd       = "end"
	startAt        = "at" // inclusive, unlike catch-up subscriptions
)

type (
	// groupKey names a group; the stream is "$all" for the whole log.
	groupKey struct{ stream, group string }

	// groupConfig is a group as stored.
	groupConfig struct {
		Stream             string      `json:"stream"`
		Group              string      `json:"groupName"`
		Start              string      `json:"startFrom"`
		StartAt            int64       `json:"startAt,omitempty"`
		Filter             *filterSpec `json:"filter,omitempty"`
		ResolveLinks       bool        `json:"resolveLinkTos,omitempty"`
		ExtraStatistics    bool        `json:"extraStatistics,omitempty"`
		MessageTimeoutMs   int64       `json:"messageTimeout"`
		MaxRetryCount      int32       `json:"maxRetryCount"`
		CheckpointAfterMs  int64       `json:"checkPointAfter"`
		MinCheckpointCount int32       `json:"minCheckPointCount"`
		MaxCheckpointCount int32       `json:"maxCheckPointCount"`
		MaxSubscriberCount int32       `json:"maxSubscriberCount"`
		LiveBufferSize     int32       `json:"liveBufferSize"`
		ReadBatchSize      int32       `json:"readBatchSize"`
		HistoryBufferSize  int32       `json:"historyBufferSize"`
		Strategy           string      `json:"namedConsumerStrategy"`
	}

	// groupConfigs is the data of an event in the stream of configurations: all groups there are.
	groupConfigs struct {
		Version string        `json:"version"`
		Updated time.Time     `json:"updated"`
		Groups  []groupConfig `json:"entries"`
	}
)

func (c *groupConfig) key() groupKey { return groupKey{c.Stream, c.Group} }

func (c *groupConfig) all() bool { return c.Stream == allStream }

func (k groupKey) subscription() string { return k.stream + "::" + k.group }

func (k groupKey) checkpointStream() string {
	return "$persistentsubscription-" + k.subscription() + "-checkpoint"
}

func (k groupKey) parkedStream() string {
	return "$persistentsubscription-" + k.subscription() + "-parked"
}

// check returns what the original refuses a group for.
func (c *groupConfig) check(head int64) error {
	refuse := func(format string, args ...any) error {
		return groupFailed(c.Stream, c.Group, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Stream == "" || c.Stream == "$$":
		return refuse("Bad stream name.")
	case c.Group == "":
		return refuse("Bad group name.")
	case !groups.Strategy(c.Strategy).Known():
		return refuse("Consumer strategy %s does not exist.", c.Strategy)
	case c.LiveBufferSize < 0 || c.ReadBatchSize < 0 || c.MinCheckpointCount < 0 || c.MaxCheckpointCount < 0 ||
		c.MaxSubscriberCount < 0 || c.MessageTimeoutMs < 0 || c.CheckpointAfterMs < 0:
		return refuse("Settings must not be negative.")
	case c.ReadBatchSize >= c.HistoryBufferSize:
		return refuse("read_batch_size may not be greater than or equal to history_buffer_size")
	case c.all() && c.Start == startAt && c.StartAt > head:
		return refuse("The start position %d is beyond the end of the log.", c.StartAt)
	}
	return nil
}

func (c *groupConfig) settings() groups.Settings {
	return groups.Settings{
		MessageTimeout:     time.Duration(c.MessageTimeoutMs) * time.Millisecond,
		MaxRetryCount:      int(c.MaxRetryCount),
		CheckpointAfter:    time.Duration(c.CheckpointAfterMs) * time.Millisecond,
		MinCheckpointCount: int(c.MinCheckpointCount),
		MaxCheckpointCount: int(c.MaxCheckpointCount),
		MaxSubscriberCount: int(c.MaxSubscriberCount),
		HistoryBufferSize:  int(c.HistoryBufferSize),
		ExtraStatistics:    c.ExtraStatistics,
		Strategy:           groups.Strategy(c.Strategy),
	}
}

// place writes a revision, or a position in the log, as clients parse it.
func (c *groupConfig) place(at int64) string {
	if c.all() {
		return fmt.Sprintf("C:%d/P:%d", at, at)
	}
	return strconv.FormatInt(at, 10)
}

func (c *groupConfig) startFrom() string {
	switch c.Start {
	case startBeginning:
		return c.place(0)
	case startEnd:
		return c.place(-1)
	default:
		return c.place(c.StartAt)
	}
}

// readPlace reads what place writes.
func readPlace(text string) (int64, bool) {
	if commit, _, all := strings.Cut(strings.TrimPrefix(text, "C:"), "/P:"); all {
		text = commit
	}
	at, err := strconv.ParseInt(text, 10, 64)
	return at, err == nil
}
