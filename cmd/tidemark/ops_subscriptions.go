package main

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/application"
)

type groupRow struct {
	Group     string `json:"group"`
	Stream    string `json:"stream"`
	Status    string `json:"status"`
	Position  string `json:"position"`
	LastKnown string `json:"lastKnown"`
	InFlight  int64  `json:"inFlight"`
	Parked    int64  `json:"parked"`
	Consumers int64  `json:"consumers"`
}

func subscriptionsCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "subscriptions", Short: "look after the persistent subscription groups", Args: cobra.NoArgs, RunE: groupUsage}
	group := func(args []string) string { return groupPath(args[0]) }
	command.AddCommand(
		operation{use: "list", short: "all groups with position, lag and parked events", args: cobra.NoArgs, method: "GET", list: true,
			path: func([]string) string { return "/v1/ops/subscriptions" }, print: printGroups}.command(p),
		operation{use: "show GROUP", short: "one group with its settings", args: cobra.ExactArgs(1), method: "GET", path: group, complete: groupNames()}.command(p),
		operation{use: "parked GROUP", short: "parked events with their reasons", args: cobra.ExactArgs(1), method: "GET", list: true,
			path: func(args []string) string { return group(args) + "/parked" }, print: printParked, complete: groupNames()}.command(p),
		resetCommand(p), replayCommand(p), createGroupCommand(p), updateGroupCommand(p), deleteGroupCommand(p),
	)
	return command
}

// groupNames are the groups that workers make, for the shell.
func groupNames() []string { return append(modelNames(), application.FulfilmentGroup().Name) }

// groupUsage is what a command with subcommands answers without one.
func groupUsage(command *cobra.Command, _ []string) error {
	return usageError{fmt.Errorf("%s needs a subcommand; see %s -h", command.Name(), command.CommandPath())}
}

func printGroups(p *program, body []byte) error {
	var list struct {
		Items []groupRow `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	for _, g := range list.Items {
		rows = append(rows, []string{g.Group, g.Stream, g.Status, g.Position, g.LastKnown, strconv.FormatInt(g.InFlight, 10), strconv.FormatInt(g.Parked, 10), strconv.FormatInt(g.Consumers, 10)})
	}
	return table(p.out, []string{"group", "stream", "status", "position", "newest", "in flight", "parked", "consumers"}, rows)
}

func printParked(p *program, body []byte) error {
	var list struct {
		Items []struct {
			ID, Stream, Type, Reason, At string
			Revision                     int64
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	for _, e := range list.Items {
		rows = append(rows, []string{e.At, e.Stream, strconv.FormatInt(e.Revision, 10), e.Type, e.Reason})
	}
	return table(p.out, []string{"at", "stream", "revision", "type", "reason"}, rows)
}

func resetCommand(p *program) *cobra.Command {
	var to string
	var confirmed confirmation
	command := &cobra.Command{Use: "reset GROUP", Short: "move a group to the start, the end or a position", Args: cobra.ExactArgs(1), ValidArgsFunction: completing(groupNames())}
	command.Flags().StringVar(&to, "to", "start", "start, end or a position in the log")
	confirmed.flags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		if err := checkPlace("to", to); err != nil {
			return err
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			would, err := client.planReset(ctx, args[0], to)
			if err != nil {
				return err
			}
			if ok, err := p.agreed(confirmed, would); err != nil || !ok {
				return err
			}
			got, err := client.call(ctx, "POST", groupPath(args[0])+"/reset", map[string]any{"to": placeOf(to)}, nil)
			return p.told(got, err, "Group %s starts again from %s.\n", args[0], to)
		})
	}
	return command
}

// told prints what was done: the answer as JSON, or a sentence.
func (p *program) told(got answer, err error, format string, args ...any) error {
	if err != nil {
		return err
	}
	if p.json && len(got.body) == 0 {
		return printJSON(p.out, map[string]bool{"done": true})
	}
	if p.json {
		return printRaw(p.out, got.body)
	}
	fmt.Fprintf(p.out, format, args...)
	return nil
}

func replayCommand(p *program) *cobra.Command {
	var limit int
	command := &cobra.Command{Use: "replay-parked GROUP", Short: "deliver parked events again, oldest first", Args: cobra.ExactArgs(1), ValidArgsFunction: completing(groupNames())}
	command.Flags().IntVar(&limit, "limit", 0, "at most this many; 0: all")
	command.RunE = func(command *cobra.Command, args []string) error {
		if limit < 0 {
			return usageError{fmt.Errorf("--limit %d is below 0", limit)}
		}
		body := map[string]any{}
		if limit > 0 {
			body["limit"] = limit
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			got, err := client.call(ctx, "POST", groupPath(args[0])+"/replay-parked", body, nil)
			return p.told(got, err, "Parked events of %s are being delivered again.\n", args[0])
		})
	}
	return command
}

func createGroupCommand(p *program) *cobra.Command {
	var from string
	var prefixes []string
	command := &cobra.Command{Use: "create GROUP", Short: "create a group on the whole log, filtered by stream prefix", Args: cobra.ExactArgs(1), ValidArgsFunction: completing(nil)}
	command.Flags().StringSliceVar(&prefixes, "prefix", nil, "stream prefixes, such as order-")
	command.Flags().StringVar(&from, "from", "start", "start, end or a position in the log")
	settings := newSettingFlags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(prefixes) == 0 {
			return usageError{fmt.Errorf("--prefix is missing")}
		}
		if err := checkPlace("from", from); err != nil {
			return err
		}
		given, err := settings.given()
		if err != nil {
			return err
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			body := map[string]any{"group": args[0], "prefixes": prefixes, "from": placeOf(from), "settings": given}
			got, err := client.call(ctx, "POST", "/v1/ops/subscriptions", body, nil)
			return p.told(got, err, "Group %s exists.\n", args[0])
		})
	}
	return command
}

func deleteGroupCommand(p *program) *cobra.Command {
	var confirmed confirmation
	command := &cobra.Command{Use: "delete GROUP", Short: "delete a group with its checkpoint and parked events", Args: cobra.ExactArgs(1), ValidArgsFunction: completing(groupNames())}
	confirmed.flags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			would, err := client.planDelete(ctx, args[0])
			if err != nil {
				return err
			}
			if ok, err := p.agreed(confirmed, would); err != nil || !ok {
				return err
			}
			got, err := client.call(ctx, "DELETE", groupPath(args[0]), nil, nil)
			return p.told(got, err, "Group %s is gone.\n", args[0])
		})
	}
	return command
}
