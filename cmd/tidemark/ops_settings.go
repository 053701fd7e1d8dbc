package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/domain"
)

// settingFlags are the settings of a group as flags: those that were given go into the API's body.
type settingFlags struct {
	command *cobra.Command
	names   map[string]string // flag → setting
}

func newSettingFlags(command *cobra.Command) *settingFlags {
	f := &settingFlags{command: command, names: map[string]string{}}
	flags := command.Flags()
	number := func(flag, setting, usage string) {
		flags.Int64(flag, 0, usage)
		f.names[flag] = setting
	}
	duration := func(flag, setting, usage string) {
		flags.Duration(flag, 0, usage)
		f.names[flag] = setting
	}
	yesOrNo := func(flag, setting, usage string) {
		flags.Bool(flag, false, usage)
		f.names[flag] = setting
	}
	flags.String("consumer-strategy", "", "how events are shared among consumers: RoundRobin, DispatchToSingle or Pinned")
	f.names["consumer-strategy"] = "consumerStrategy"
	_ = command.RegisterFlagCompletionFunc("consumer-strategy", cobra.FixedCompletions(domain.ConsumerStrategies, cobra.ShellCompDirectiveNoFileComp)) // it fails for unknown flags only
	duration("message-timeout", "messageTimeoutMs", "after which an event without an answer comes again")
	number("max-retry-count", "maxRetryCount", "failures after which the event store parks an event by itself")
	duration("checkpoint-after", "checkpointAfterMs", "between checkpoints; 0: by count only")
	number("min-checkpoint-count", "minCheckpointCount", "events before a checkpoint by time")
	number("max-checkpoint-count", "maxCheckpointCount", "events that force a checkpoint")
	number("max-subscriber-count", "maxSubscriberCount", "consumers; 0: any number")
	number("live-buffer-size", "liveBufferSize", "events held as they come")
	number("read-batch-size", "readBatchSize", "events read at a time while catching up; less than the history buffer")
	number("history-buffer-size", "historyBufferSize", "events held while catching up")
	yesOrNo("resolve-link-tos", "resolveLinkTos", "deliver what links lead to")
	yesOrNo("extra-statistics", "extraStatistics", "measure latencies")
	return f
}

// given are the settings that the caller named.
func (f *settingFlags) given() (map[string]any, error) {
	settings := map[string]any{}
	flags := f.command.Flags()
	for flag, setting := range f.names {
		if !flags.Changed(flag) {
			continue
		}
		var value any
		var err error
		switch flags.Lookup(flag).Value.Type() {
		case "duration":
			d, readErr := flags.GetDuration(flag)
			value, err = d.Milliseconds(), readErr
		case "int64":
			value, err = flags.GetInt64(flag)
		case "bool":
			value, err = flags.GetBool(flag)
		default:
			value, err = flags.GetString(flag)
		}
		if err != nil {
			return nil, usageError{err}
		}
		settings[setting] = value
	}
	return settings, nil
}

// updatedRow is the answer to a change of settings, or to the question what it would do.
type updatedRow struct {
	groupRow
	Changes []struct {
		Setting string `json:"setting"`
		From    any    `json:"from"`
		To      any    `json:"to"`
	} `json:"changes"`
	Warnings []string `json:"warnings"`
}

func (u updatedRow) rows() [][]string {
	rows := make([][]string, 0, len(u.Changes))
	for _, c := range u.Changes {
		rows = append(rows, []string{c.Setting, settingText(c.From), settingText(c.To)})
	}
	return rows
}

// settingText writes numbers as they are: JSON made floats of them.
func settingText(value any) string {
	if n, ok := value.(float64); ok {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return fmt.Sprint(value)
}

func updateGroupCommand(p *program) *cobra.Command {
	var confirmed confirmation
	var prefixes []string
	command := &cobra.Command{Use: "update GROUP", Short: "change settings of a group; its consumers come back by themselves", Args: cobra.ExactArgs(1),
		ValidArgsFunction: completing(groupNames())}
	confirmed.flags(command)
	settings := newSettingFlags(command)
	command.Flags().StringSliceVar(&prefixes, "prefix", nil, "")
	_ = command.Flags().MarkHidden("prefix") // it is there to be refused in plain words
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(prefixes) > 0 {
			return usageError{errors.New("the filter of a group can't change; delete the group and create it anew with --prefix")}
		}
		given, err := settings.given()
		if err != nil {
			return err
		}
		if len(given) == 0 {
			return usageError{errors.New("name at least one setting to change; see tidemark subscriptions update -h")}
		}
		ctx, body := command.Context(), map[string]any{"settings": given}
		return p.service(ctx, func(client *apiClient) error {
			var would updatedRow
			if _, err := client.call(ctx, "PATCH", groupPath(args[0])+"?dryRun=true", body, &would); err != nil {
				return err
			}
			if len(would.Changes) == 0 {
				return p.unchanged(would)
			}
			if ok, err := p.agreed(confirmed, would.plan()); err != nil || !ok {
				return err
			}
			got, err := client.call(ctx, "PATCH", groupPath(args[0]), body, &would)
			if err != nil {
				return err
			}
			if p.json {
				return printRaw(p.out, got.body)
			}
			return table(p.out, []string{"setting", "was", "is"}, would.rows())
		})
	}
	return command
}

// plan is what the change would touch.
func (u updatedRow) plan() plan {
	would := plan{Action: "update settings of", Target: u.Group, Touches: map[string]int64{"consumers that reconnect": u.Consumers, "in flight, delivered again": u.InFlight}}
	for _, row := range u.rows() {
		would.Notes = append(would.Notes, fmt.Sprintf("%s: %s → %s", row[0], row[1], row[2]))
	}
	for _, warning := range u.Warnings {
		would.Notes = append(would.Notes, "Careful: "+warning)
	}
	return would.sealed(u.Changes)
}

func (p *program) unchanged(u updatedRow) error {
	if !p.json {
		fmt.Fprintf(p.out, "Group %s has these settings already; nothing was done.\n", u.Group)
		return nil
	}
	text, err := json.Marshal(u)
	if err != nil {
		return err
	}
	return printRaw(p.out, text)
}
