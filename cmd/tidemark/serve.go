package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/httpapi"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// serve runs a role until it is told to stop.
func (p *program) serve(role role) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, _ []string) error {
		began := time.Now()
		ctx := command.Context()
		log, err := p.logger()
		if err != nil {
			return err
		}
		stopTracing, err := telemetry.StartTracing(ctx, "tidemark", log)
		if err != nil {
			return err
		}
		defer flush(ctx, stopTracing, log) // last: stopping makes spans as well
		app, err := newApp(ctx, p.config, role, log)
		if err != nil {
			return err
		}
		if err := app.start(); err != nil {
			return errors.Join(err, stopApp(ctx, app))
		}
		app.settle(ctx)
		p.welcome(app, time.Since(began))
		err = app.wait(ctx)
		log.Info("stopping")
		return errors.Join(err, stopApp(ctx, app))
	}
}

// flushWithin bounds how long an end waits for spans to be sent.
const flushWithin = 2 * time.Second

// flush sends the last spans. A collector that is away is no reason to call an orderly stop a failure.
func flush(ctx context.Context, stopTracing func(context.Context) error, log *slog.Logger) {
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	if err := stopTracing(flushing); err != nil {
		log.Warn("the last spans were not sent", "error", err)
	}
}

// stopApp stops within the bound, whatever ended the context before.
func stopApp(ctx context.Context, app *app) error {
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return app.stop(stopping)
}

// wait returns nil when the process is asked to stop, else what ended it.
func (a *app) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-a.fatal:
		return err
	}
}

// logger is the program's, on standard error: text for people, JSON for machines unless told otherwise.
func (p *program) logger() (*slog.Logger, error) {
	format := p.config.LogFormat
	if format == "" {
		format = "json"
		if isTerminal(p.errs) {
			format = "text"
		}
	}
	log, err := telemetry.NewLogger(p.errs, p.config.LogLevel, format)
	if err != nil {
		return nil, err
	}
	if names := noSettings(os.Environ()); len(names) > 0 {
		log.Warn("variables that look like settings are none", "names", names)
	}
	return log, nil
}

// noSettings are the variables that begin like settings and are none: misspelt ones would else pass unnoticed. What
// Kubernetes sets for a service of that name, our tests and our scripts are left out.
func noSettings(environ []string) []string {
	var names []string
	for _, pair := range environ {
		name, _, _ := strings.Cut(pair, "=")
		rest, ours := strings.CutPrefix(name, envPrefix+"_")
		if !ours || slices.ContainsFunc(settings(), func(s setting) bool { return s.env == name }) {
			continue
		}
		if !strings.Contains("_"+rest+"_", "_SERVICE_") && !strings.Contains("_"+rest+"_", "_PORT_") && !strings.HasPrefix(rest, "TEST_") && rest != "BIN" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// welcome tells a person where everything is.
func (p *program) welcome(a *app, took time.Duration) {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "  %-10s %s\n", name, value) }
	fmt.Fprintf(&b, "Tidemark is ready after %s.\n\n", took.Round(time.Millisecond))
	if a.role.serves() {
		line("API", a.url+"/v1")
		line("docs", a.url+"/docs")
		line("console", a.url+"/console")
	}
	if a.adminURL != "" {
		line("metrics", a.adminURL+"/metrics"+openTo(p.config.AdminAddr))
	} else if a.role.serves() && !p.config.authOn() {
		line("metrics", a.url+"/metrics")
	}
	switch {
	case a.nodeAddr != "":
		line("node", "esdb://"+a.nodeAddr+"?tls=false"+openTo(p.config.NodeAddr))
	case p.config.Eventstore == "embedded":
		line("node", "in this process only")
	default:
		line("events", redact(p.config.Eventstore))
	}
	if p.config.Documents != "embedded" {
		line("documents", redact(p.config.Documents))
	}
	if a.data != nil {
		line("data", a.data.path)
	}
	if a.role.serves() {
		if p.config.authOn() {
			line("callers", "show a bearer token")
		} else {
			line("callers", "aren't asked who they are: everybody on this machine is operator; set TIDEMARK_AUTH_JWKS to change that")
		}
		fmt.Fprintf(&b, "\nTry it:  curl -s %s/v1/board\nFill it: tidemark demo   (or: go run ./cmd/tidemark demo)\n", a.url)
	}
	if _, err := io.WriteString(p.out, b.String()); err != nil {
		a.log.Warn("nobody reads standard output", "error", err)
	}
}

// openTo warns of a listener without keys that other machines reach.
func openTo(addr string) string {
	if httpapi.IsLoopback(addr) {
		return ""
	}
	return "  (open to other machines; it asks nobody who they are)"
}

// openForOperator opens the stores for one operator command: the API on a private port, no workers.
func (p *program) openForOperator(ctx context.Context) (*app, error) {
	config := p.config
	config.HTTPAddr, config.NodeAddr, config.AdminAddr, config.RateLimit = "127.0.0.1:0", "off", "", "off"
	config.AuthJwks, config.AuthHs256SecretFile, config.AuthIssuer, config.AuthAudience = "", "", "", ""
	config.TLSCertFile, config.TLSKeyFile = "", ""
	log, err := telemetry.NewLogger(p.errs, "error", "text")
	if err != nil {
		return nil, err
	}
	if config.Eventstore == "embedded" {
		if _, err := os.Stat(p.logPath()); errors.Is(err, os.ErrNotExist) { // a mistyped directory would look like an empty shop
			fmt.Fprintf(p.errs, "tidemark: there was no event log in %s; it is made now, empty\n", config.DataDir)
		}
	}
	app, err := newApp(ctx, config, roleOperator, log)
	if err != nil {
		return nil, err
	}
	if err := app.start(); err != nil {
		return nil, errors.Join(err, stopApp(ctx, app))
	}
	return app, nil
}
