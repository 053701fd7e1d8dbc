package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/readmodels"
)

type modelRow struct {
	Name            string  `json:"name"`
	Generation      int64   `json:"generation"`
	State           string  `json:"state"`
	LagEvents       int64   `json:"lagEvents"`
	LagSeconds      float64 `json:"lagSeconds"`
	EventsPerSecond float64 `json:"eventsPerSecond"`
	Blocked         int64   `json:"blocked"`
	UpdatedAt       string  `json:"updatedAt"`
	Events          int64   `json:"events"`
	Previous        int64   `json:"previousGeneration"`
	Building        int64   `json:"buildingGeneration"`
	Cause           string  `json:"cause"`
	Command         string  `json:"command"`
}

func readmodelsCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "readmodels", Short: "look after the read models", Args: cobra.NoArgs, RunE: groupUsage}
	one := func(o operation) *cobra.Command {
		o.args, o.complete = cobra.ExactArgs(1), modelNames()
		return o.command(p)
	}
	command.AddCommand(
		operation{use: "list", short: "all read models with lag, rate and blocked streams", args: cobra.NoArgs, method: "GET", list: true,
			path: func([]string) string { return "/v1/ops/readmodels" }, print: printModels}.command(p),
		one(operation{use: "show NAME", short: "one read model", method: "GET", path: modelPath("")}),
		one(operation{use: "blocked NAME", short: "streams that wait behind an event that can't be applied", method: "GET", list: true,
			path: modelPath("/blocked"), print: printBlocked}),
		jobCommand(p, "pause", "stop applying events; queries go on with what is there", "is paused"),
		jobCommand(p, "resume", "apply events again", "applies events again"),
		streamsCommand(p, "retry", "try blocked streams again after a repair", false),
		streamsCommand(p, "skip", "go past the event that blocks; on record", true),
		rebuildCommand(p),
		generationCommand(p, "switch", "serve from the rebuilt generation"),
		generationCommand(p, "rollback", "serve from the generation before"),
		generationCommand(p, "drop", "remove every generation but the live one"),
		verifyCommand(p),
		explainCommand(p),
		operation{use: "jobs", short: "rebuilds, verifications and the like, newest first", args: cobra.NoArgs, method: "GET",
			list: true, path: func([]string) string { return "/v1/ops/jobs" }, print: printJobs}.command(p),
		operation{use: "cancel JOB", short: "end a job; a rebuild that was cancelled can go on later", args: cobra.ExactArgs(1), method: "DELETE",
			path: func(args []string) string { return "/v1/ops/jobs/" + escaped(args[0]) }}.command(p),
	)
	return command
}

// modelNames are the read models of this release, for the shell.
func modelNames() []string {
	var names []string
	for _, m := range readmodels.All() {
		names = append(names, m.Name)
	}
	return names
}

func printJobs(p *program, body []byte) error {
	var list struct {
		Items []struct {
			job
			CreatedAt string `json:"createdAt"`
			Error     string `json:"error"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	for _, j := range list.Items {
		rows = append(rows, []string{j.ID, j.Kind, j.Target, j.State, fmt.Sprintf("%d/%d", j.Progress.Done, j.Progress.Total), j.CreatedAt, j.Error})
	}
	return table(p.out, []string{"job", "kind", "read model", "state", "progress", "begun", "error"}, rows)
}

func modelPath(rest string) func(args []string) string {
	return func(args []string) string { return "/v1/ops/readmodels/" + escaped(args[0]) + rest }
}

func noBody([]string) (any, error) { return map[string]any{}, nil }

func printModels(p *program, body []byte) error {
	var list struct {
		Items []modelRow `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	var notes []string
	for _, m := range list.Items {
		rows = append(rows, []string{m.Name, strconv.FormatInt(m.Generation, 10), m.State, strconv.FormatInt(m.LagEvents, 10), seconds(m.LagSeconds),
			fmt.Sprintf("%.0f/s", m.EventsPerSecond), strconv.FormatInt(m.Blocked, 10), m.UpdatedAt})
		if m.Cause != "" {
			notes = append(notes, fmt.Sprintf("%s: %s. %s", m.Name, m.Cause, m.Command))
		}
	}
	if err := table(p.out, []string{"name", "generation", "state", "lag", "behind", "rate", "blocked", "updated"}, rows); err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintln(p.out, note)
	}
	return nil
}

type blockedRow struct {
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Type     string `json:"type"`
	Reason   string `json:"reason"`
	Attempts int64  `json:"attempts"`
	Since    string `json:"since"`
}

func printBlocked(p *program, body []byte) error {
	var list struct {
		Items []blockedRow `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	rows := make([][]string, 0, len(list.Items))
	for _, b := range list.Items {
		rows = append(rows, []string{b.Stream, strconv.FormatInt(b.Revision, 10), b.Type, strconv.FormatInt(b.Attempts, 10), b.Since, b.Reason})
	}
	return table(p.out, []string{"stream", "revision", "type", "attempts", "since", "reason"}, rows)
}

// streamsCommand retries or skips blocked streams: those named, or all.
func streamsCommand(p *program, name, short string, destroys bool) *cobra.Command {
	var confirmed confirmation
	var all bool
	command := &cobra.Command{Use: name + " NAME [STREAM…]", Short: short, Args: cobra.MinimumNArgs(1), ValidArgsFunction: completing(modelNames())}
	command.Flags().BoolVar(&all, "all", false, "all blocked streams")
	if destroys {
		confirmed.flags(command)
	}
	command.RunE = func(command *cobra.Command, args []string) error {
		if all == (len(args) > 1) {
			return usageError{errors.New("name the streams, or --all")}
		}
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			body := map[string]any{}
			if !all {
				body["streams"] = args[1:]
			}
			if destroys {
				would, err := client.planSkip(ctx, args)
				if err != nil {
					return err
				}
				if ok, err := p.agreed(confirmed, would); err != nil || !ok {
					return err
				}
			}
			got, err := client.call(ctx, "POST", modelPath("/"+name)(args), body, nil)
			if err != nil {
				return err
			}
			return p.answered(got.body, nil)
		})
	}
	return command
}

func rebuildCommand(p *program) *cobra.Command {
	var switchOver bool
	command := &cobra.Command{Use: "rebuild NAME", Short: "build a new generation beside the live one and compare them", Args: cobra.ExactArgs(1), ValidArgsFunction: completing(modelNames())}
	command.Flags().BoolVar(&switchOver, "switch", false, "serve from it once it has caught up")
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			j, err := p.runJob(ctx, client, modelPath("/rebuild")(args), map[string]any{"switch": switchOver})
			if err != nil {
				return err
			}
			return p.printRebuilt(args[0], j.Result, switchOver)
		})
	}
	return command
}

func generationCommand(p *program, name, short string) *cobra.Command {
	var confirmed confirmation
	command := &cobra.Command{Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completing(modelNames())}
	confirmed.flags(command)
	command.RunE = func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			would, err := client.planGeneration(ctx, name, args[0])
			if err != nil {
				return err
			}
			if ok, err := p.agreed(confirmed, would); err != nil || !ok {
				return err
			}
			j, err := p.runJob(ctx, client, modelPath("/"+name)(args), nil)
			if err != nil {
				return err
			}
			return p.say(j.Result, "%s serves from generation %.0f.", args[0], figure(j.Result, "generation"))
		})
	}
	return command
}

// printRebuilt tells what was built, what is other than in the live generation, and what comes next.
func (p *program) printRebuilt(name string, result map[string]any, serves bool) error {
	next := "It serves now; the one before stays for: tidemark readmodels rollback " + name + " --yes"
	if !serves {
		next = "Serve from it with: tidemark readmodels switch " + name + " --yes"
	}
	err := p.say(result, "Generation %.0f of %s is built from %.0f events. Compared with the one that was live: %.0f checked, %.0f differing.\n%s",
		figure(result, "generation"), name, figure(result, "events"), figure(result, "checked"), figure(result, "differing"), next)
	if err == nil && !p.json {
		printDifferences(p, result["differences"])
	}
	return err
}

// figure is a number of a job's result.
func figure(result map[string]any, name string) float64 {
	n, _ := result[name].(float64)
	return n
}

// jobCommand starts a job and waits for its end: then every process has noticed.
func jobCommand(p *program, name, short, done string) *cobra.Command {
	return &cobra.Command{Use: name + " NAME", Short: short, Args: cobra.ExactArgs(1), ValidArgsFunction: completing(modelNames()), RunE: func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error {
			j, err := p.runJob(ctx, client, modelPath("/"+name)(args), nil)
			if err != nil {
				return err
			}
			return p.say(j.Result, "%s %s.", args[0], done)
		})
	}}
}

// verifyCommand compares documents with the log; it ends with exit code 1 where they differ.
func verifyCommand(p *program) *cobra.Command {
	return &cobra.Command{Use: "verify [NAME…]", Short: "compare documents with the log; all read models without a name", ValidArgsFunction: completing(modelNames()), RunE: func(command *cobra.Command, args []string) error {
		ctx := command.Context()
		return p.service(ctx, func(client *apiClient) error { return p.verify(ctx, client, args) })
	}}
}

func (p *program) verify(ctx context.Context, client *apiClient, names []string) error {
	if len(names) == 0 {
		var list struct {
			Items []modelRow `json:"items"`
		}
		if _, err := client.call(ctx, "GET", "/v1/ops/readmodels", nil, &list); err != nil {
			return err
		}
		for _, m := range list.Items {
			names = append(names, m.Name)
		}
	}
	drift := false
	results := map[string]any{}
	for _, name := range names {
		j, err := p.runJob(ctx, client, modelPath("/verify")([]string{name}), nil)
		if err != nil {
			return err
		}
		results[name] = j.Result
		differing := figure(j.Result, "differing")
		drift = drift || differing > 0
		if !p.json {
			fmt.Fprintf(p.out, "%-20s %8.0f checked  %8.0f differing\n", name, figure(j.Result, "checked"), differing)
			printDifferences(p, j.Result["differences"])
		}
	}
	if p.json {
		if err := printJSON(p.out, results); err != nil {
			return err
		}
	}
	if drift {
		return errDrift
	}
	return nil
}

func printDifferences(p *program, differences any) {
	list, _ := differences.([]any)
	for _, d := range list {
		if row, ok := d.(map[string]any); ok {
			fmt.Fprintf(p.out, "  %v %v: live %v, expected %v\n", row["document"], row["field"], row["live"], row["expected"])
		}
	}
}

// explainCommand shows which events made each field of a document.
func explainCommand(p *program) *cobra.Command {
	return &cobra.Command{Use: "explain PATH", Short: "the events that made each field of what a path of the API shows", Args: cobra.ExactArgs(1),
		Example: "  tidemark readmodels explain /v1/orders/0190…", RunE: func(command *cobra.Command, args []string) error {
			target, err := url.Parse(args[0])
			if err != nil || target.Path == "" || target.Path[0] != '/' {
				return usageError{fmt.Errorf("%q is no path of the API", args[0])}
			}
			query := target.Query()
			query.Set("explain", "true")
			ctx := command.Context()
			return p.service(ctx, func(client *apiClient) error {
				got, err := client.call(ctx, "GET", target.Path+"?"+query.Encode(), nil, nil)
				if err != nil {
					return err
				}
				return printRaw(p.out, got.body)
			})
		}}
}
