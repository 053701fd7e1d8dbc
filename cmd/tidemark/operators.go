package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// runningService is the service that a command talks to when it can't do without one.
func (p *program) runningService() (*apiClient, error) {
	if p.config.API != "" {
		return newAPIClient(p.config.API, p.config.APIToken), nil
	}
	if a, err := publishedAddresses(p.config.DataDir); err == nil && a.API != "" {
		return newAPIClient(a.API, p.config.APIToken), nil
	}
	if strings.HasSuffix(p.config.HTTPAddr, ":0") {
		return nil, errors.New("no running service found; name one with --api or TIDEMARK_API")
	}
	scheme := "http://"
	if p.config.TLSCertFile != "" {
		scheme = "https://"
	}
	return newAPIClient(scheme+p.config.HTTPAddr, p.config.APIToken), nil
}

// service runs do against the service that --api names; without one it opens the stores itself, or,
// where another process holds the embedded files, asks that process.
func (p *program) service(ctx context.Context, do func(*apiClient) error) error {
	if p.config.API != "" {
		return do(newAPIClient(p.config.API, p.config.APIToken))
	}
	app, err := p.openForOperator(ctx)
	if errors.Is(err, errLocked) {
		a, readErr := publishedAddresses(p.config.DataDir)
		if readErr != nil || a.API == "" {
			return fmt.Errorf("%w; name its API with --api", err)
		}
		return do(newAPIClient(a.API, p.config.APIToken))
	}
	if err != nil {
		return err
	}
	own := newAPIClient(app.url, "")
	own.own = true
	workErr := do(own)
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(workErr, app.stop(stopping))
}

// operation is a command that makes one call and prints its answer.
type operation struct {
	use, short string
	args       cobra.PositionalArgs
	method     string
	path       func(args []string) string
	body       func(args []string) (any, error)
	list       bool                                // read to its end, page by page
	print      func(p *program, body []byte) error // nil: a field a line
	complete   []string                            // what the first argument may be
}

func (o operation) command(p *program) *cobra.Command {
	return &cobra.Command{Use: o.use, Short: o.short, Args: o.args, ValidArgsFunction: completing(o.complete), RunE: func(command *cobra.Command, args []string) error {
		return p.service(command.Context(), func(client *apiClient) error { return p.perform(command.Context(), client, o, args) })
	}}
}

func (p *program) perform(ctx context.Context, client *apiClient, o operation, args []string) error {
	var body any
	if o.body != nil {
		var err error
		if body, err = o.body(args); err != nil {
			return err
		}
	}
	if o.list {
		whole, err := client.all(ctx, o.path(args))
		if err != nil {
			return err
		}
		return p.answered(whole, o.print)
	}
	got, err := client.call(ctx, o.method, o.path(args), body, nil)
	if err != nil {
		return err
	}
	return p.answered(got.body, o.print)
}

// answered prints an answer of the service: as JSON, in its own way, or a field a line.
func (p *program) answered(body []byte, print func(*program, []byte) error) error {
	switch {
	case p.json:
		return printRaw(p.out, body)
	case print != nil:
		return print(p, body)
	}
	return printFields(p, body)
}

// completing offers names to the shell for a command's first argument; file names never fit.
func completing(names []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func escaped(segment string) string { return url.PathEscape(segment) }

// job is a long operation of the service.
type job struct {
	ID       string `json:"id"`
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	State    string `json:"state"`
	Progress struct {
		Done  int64 `json:"done"`
		Total int64 `json:"total"`
	} `json:"progress"`
	Result map[string]any `json:"result"`
}

// leave is what an interruption does with a job: it goes on in a service, and is cancelled where the
// service is this very process, since nobody else would bring it to an end.
func (p *program) leave(ctx context.Context, client *apiClient, j job) error {
	if !client.own {
		return fmt.Errorf("job %s goes on in the service; tidemark readmodels cancel %s ends it: %w", j.ID, j.ID, context.Cause(ctx))
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	path := "/v1/ops/jobs/" + escaped(j.ID)
	_, err := client.call(ending, "DELETE", path, nil, nil)
	for err == nil && j.State == "running" {
		select {
		case <-time.After(50 * time.Millisecond):
			_, err = client.call(ending, "GET", path, nil, &j)
		case <-ending.Done():
			err = ending.Err()
		}
	}
	return errors.Join(fmt.Errorf("%s of %s was cancelled: %w", j.Kind, j.Target, context.Cause(ctx)), err)
}

// runJob starts a job and follows it to its end with a progress bar. Interrupting stops the following,
// not the job, unless the job runs in this very process.
func (p *program) runJob(ctx context.Context, client *apiClient, path string, body any) (job, error) {
	var j job
	if body == nil {
		body = map[string]any{}
	}
	if _, err := client.call(ctx, "POST", path, body, &j); err != nil {
		return j, err
	}
	shown := newBars(p.errs)
	line := shown.add(j.Kind+" "+j.Target, max(j.Progress.Total, 1))
	defer func() { line.finish(); shown.wait() }()
	for j.State == "running" {
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return j, p.leave(ctx, client, j)
		}
		if _, err := client.call(ctx, "GET", "/v1/ops/jobs/"+escaped(j.ID), nil, &j); ctx.Err() != nil {
			return j, p.leave(ctx, client, j)
		} else if err != nil {
			return j, err
		}
		line.set(j.Progress.Done, j.Progress.Total)
	}
	if j.State != "done" {
		return j, fmt.Errorf("%s of %s %s: %v", j.Kind, j.Target, j.State, j.Result["error"])
	}
	return j, nil
}

// needsYes guards what destroys: without --yes it says what would happen and stops there.
func (p *program) needsYes(yes bool, plan string) bool {
	if yes {
		return true
	}
	_ = p.say(map[string]any{"plan": plan, "done": false}, "%s\nNothing was done; repeat with --yes to do it.", plan) // as with any output
	return false
}
