// Command tidemark is the one program: it serves the API, runs the workers and the embedded node, and
// does what operators need. This package wires everything and is imported by nobody.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1 // it did not work, or a verification found drift
	exitUsage  = 2 // the command line or a setting is wrong
)

func main() {
	// What is written here is the shop's, in whatever directory: nobody beside the program's user and group reads it.
	syscall.Umask(syscall.Umask(0) | 0o007)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// program is what all commands share.
type program struct {
	config Config
	out    io.Writer
	errs   io.Writer
	json   bool
}

// usageError is the caller's mistake on the command line.
type usageError struct{ error }

// Unwrap gives the cause.
func (e usageError) Unwrap() error { return e.error }

// errDrift is a verification that found differences; it has been reported already.
var errDrift = errors.New("drift found")

// run is main without the process around it.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	program := &program{out: out, errs: errs}
	root := program.rootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if !errors.Is(err, errDrift) {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			fmt.Fprintln(errs, "tidemark: "+spelt(line, "\t"))
		}
	}
	if _, usage := errors.AsType[usageError](err); usage || isCobraUsage(err) {
		return exitUsage
	}
	return exitFailed
}

// isCobraUsage recognises what cobra itself refuses; it has no type of its own for that.
func isCobraUsage(err error) bool {
	for _, start := range []string{"unknown command", "unknown flag", "unknown shorthand", "accepts ", "requires ", "invalid argument", "flag needs", "required flag"} {
		if strings.HasPrefix(err.Error(), start) {
			return true
		}
	}
	return false
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "tidemark",
		Short: "event-sourced order management on EventStoreDB and MongoDB",
		Long: `Tidemark is an event-sourced order management service. Without a command it serves everything in one
process: API, workers and the embedded node, with its data under ./data.

Every setting is a variable and a flag of the same name; the flag wins.`,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: p.configure,
		RunE:              p.serve(roleAll),
	}
	bindFlags(root.PersistentFlags())
	root.PersistentFlags().BoolVar(&p.json, "json", false, "print JSON instead of tables and sentences")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(
		&cobra.Command{Use: "serve", Short: "run API, workers and, unless told otherwise, the embedded node", Args: cobra.NoArgs, RunE: p.serve(roleAll)},
		&cobra.Command{Use: "api", Short: "run the API only", Args: cobra.NoArgs, RunE: p.serve(roleAPI)},
		&cobra.Command{Use: "worker", Short: "run the workers only", Args: cobra.NoArgs, RunE: p.serve(roleWorker)},
		nodeCommand(p), demoCommand(p), subscriptionsCommand(p), readmodelsCommand(p), eventsCommand(p), importCommand(p), fulfilmentsCommand(p), benchCommand(p),
	)
	teachUsage(root)
	return root
}

// teachUsage makes wrong words behind cobra's own commands the mistakes that they are.
func teachUsage(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "completion":
			command.Args, command.RunE = cobra.NoArgs, groupUsage
		case "help":
			command.Run, command.RunE = nil, func(_ *cobra.Command, args []string) error {
				about, rest, err := root.Find(args)
				if err != nil || len(rest) > 0 {
					return usageError{fmt.Errorf("unknown help topic %q", strings.Join(args, " "))}
				}
				return about.Help()
			}
		}
	}
}

// configure loads the settings before any command but help and completion.
func (p *program) configure(command *cobra.Command, _ []string) error {
	for c := command; c != nil; c = c.Parent() {
		if c.Name() == "help" || c.Name() == "completion" || strings.HasPrefix(c.Name(), "__complete") {
			return nil
		}
	}
	config, err := loadConfig(command.Root().PersistentFlags())
	if err != nil {
		return usageError{err}
	}
	p.config = config
	if !p.json {
		p.out = plainOut{p.out}
	}
	return nil
}
