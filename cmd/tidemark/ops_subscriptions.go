package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
)

type groupRow struct {
	Group     string `json:"group"`
	Stream    string `json:"stream"`
	Status    string `json:"status"`
	Position  string `json:"position"`
	InFlight  int64  `json:"inFlight"`
	Parked    int64  `json:"parked"`
	Consumers int    `json:"consumers"`
}

func subscriptionsCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "subscriptions", Short: "look after the persistent subscription groups", Args: cobra.NoArgs, RunE: groupUsage}
	command.PersistentFlags().BoolVar(&p.json, "json", false, "print JSON")
	group := func(args []string) string { return "/v1/ops/subscriptions/" + escaped(args[0]) }
	command.AddCommand(
		operation{use: "list", short: "all groups with position, lag and parked events", args: cobra.NoArgs, method: "GET",
			path: func([]string) string { return "/v1/ops/subscriptions" }, print: printGroups}.command(p),
		operation{use: "show GROUP", short: "one group", args: cobra.ExactArgs(1), method: "GET", path: group}.command(p),
		operation{use: "parked GROUP", short: "parked events with their reasons", args: cobra.ExactArgs(1), method: "GET",
			path: func(args []string) string { return group(args) + "/parked" }, print: printParked}.command(p),
		resetCommand(p), replayCommand(p), createGroupCommand(p), deleteGroupCommand(p),
	)
	return command
}

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
		rows = append(rows, []string{g.Group, g.Stream, g.Status, g.Position, strconv.FormatInt(g.InFlight, 10), strconv.FormatInt(g.Parked, 10), strconv.Itoa(g.Consumers)})
	}
	return table(p.out, []string{"group", "stream", "status", "position", "in flight", "parked", "consumers"}, rows)
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

// planGroup says what touching a group would mean.
func (p *program) planGroup(ctx context.Context, client *apiClient, name, what string) (string, error) {
	var g groupRow
	if _, err := client.call(ctx, "GET", "/v1/ops/subscriptions/"+escaped(name), nil, &g); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s group %s on %s: now at %s, %d consumers, %d in flight, %d parked.",
		what, g.Group, g.Stream, orNone(g.Position), g.Consumers, g.InFlight, g.Parked), nil
}

func orNone(s string) string {
	if s == "" {
		return "its start"
	}
	return s
}

func resetCommand(p *program) *cobra.Command {
	var to string
	var yes bool
	command := &cobra.Command{Use: "reset GROUP", Short: "move a group to the start, the end or a position", Args: cobra.ExactArgs(1)}
	command.Flags().StringVar(&to, "to", "start", "start, end or a position in the log")
	command.Flags().BoolVar(&yes, "yes", false, "do it")
	command.RunE = func(command *cobra.Command, args []string) error {
		target := any(to)
		if to != "start" && to != "end" {
			n, err := strconv.ParseUint(to, 10, 63)
			if err != nil {
				return usageError{fmt.Errorf("--to %q is neither start, end nor a position", to)}
			}
			target = n
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			plan, err := p.planGroup(ctx, client, args[0], "Reset to "+to+":")
			if err != nil || !p.needsYes(yes, plan) {
				return err
			}
			if _, err := client.call(ctx, "POST", "/v1/ops/subscriptions/"+escaped(args[0])+"/reset", map[string]any{"to": target}, nil); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "Group %s starts again from %s.\n", args[0], to)
			return nil
		})
	}
	return command
}

func replayCommand(p *program) *cobra.Command {
	var limit int
	command := &cobra.Command{Use: "replay-parked GROUP", Short: "deliver parked events again, oldest first", Args: cobra.ExactArgs(1)}
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
			got, err := client.call(ctx, "POST", "/v1/ops/subscriptions/"+escaped(args[0])+"/replay-parked", body, nil)
			if err != nil {
				return err
			}
			if p.json {
				return printRaw(p.out, got.body)
			}
			fmt.Fprintf(p.out, "Parked events of %s are being delivered again.\n", args[0])
			return nil
		})
	}
	return command
}

func createGroupCommand(p *program) *cobra.Command {
	var from string
	var prefixes []string
	command := &cobra.Command{Use: "create GROUP", Short: "create a group on the whole log, filtered by stream prefix", Args: cobra.ExactArgs(1)}
	command.Flags().StringSliceVar(&prefixes, "prefix", nil, "stream prefixes, such as order-")
	command.Flags().StringVar(&from, "from", "start", "start, end or a position in the log")
	command.RunE = func(command *cobra.Command, args []string) error {
		if len(prefixes) == 0 {
			return usageError{fmt.Errorf("--prefix is missing")}
		}
		target := any(from)
		if n, err := strconv.ParseUint(from, 10, 63); err == nil {
			target = n
		} else if from != "start" && from != "end" {
			return usageError{fmt.Errorf("--from %q is neither start, end nor a position", from)}
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			body := map[string]any{"group": args[0], "prefixes": prefixes, "from": target}
			if _, err := client.call(ctx, "POST", "/v1/ops/subscriptions", body, nil); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "Group %s exists.\n", args[0])
			return nil
		})
	}
	return command
}

func deleteGroupCommand(p *program) *cobra.Command {
	var yes bool
	command := &cobra.Command{Use: "delete GROUP", Short: "delete a group with its checkpoint and parked events", Args: cobra.ExactArgs(1)}
	command.Flags().BoolVar(&yes, "yes", false, "do it")
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			plan, err := p.planGroup(ctx, client, args[0], "Delete")
			if err != nil || !p.needsYes(yes, plan) {
				return err
			}
			if _, err := client.call(ctx, "DELETE", "/v1/ops/subscriptions/"+escaped(args[0]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "Group %s is gone.\n", args[0])
			return nil
		})
	}
	return command
}
