package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are common to all benchmarks.
type benchOptions struct {
	duration time.Duration
	events   int
	dir      string
}

// benchCommand measures; it prints Go's benchmark format, so that benchstat compares two runs.
func benchCommand(p *program) *cobra.Command {
	options := benchOptions{}
	command := &cobra.Command{Use: "bench", Short: "measure the node or the whole service; prints Go's benchmark format", Args: cobra.NoArgs, RunE: groupUsage}
	command.PersistentFlags().DurationVar(&options.duration, "time", 2*time.Second, "how long each measurement runs")
	command.PersistentFlags().IntVar(&options.events, "events", 10_000, "events in the log before reads are measured")
	command.PersistentFlags().StringVar(&options.dir, "dir", "", "directory for the data; empty: a temporary one, removed afterwards")
	command.AddCommand(
		&cobra.Command{Use: "node", Short: "the embedded node through the official client, beside a server that does nothing", Args: cobra.NoArgs,
			RunE: func(command *cobra.Command, _ []string) error { return p.benchNode(command.Context(), options) }},
		&cobra.Command{Use: "service", Short: "commands, queries and the time from command to screen", Args: cobra.NoArgs,
			RunE: func(command *cobra.Command, _ []string) error { return p.benchService(command.Context(), options) }},
	)
	return command
}

// withDir gives do the directory for the data.
func (o benchOptions) withDir(do func(dir string) error) error {
	if o.dir != "" {
		return do(o.dir)
	}
	dir, err := os.MkdirTemp("", "tidemark-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory that stays is no failure
	return do(filepath.Clean(dir))
}

// measurement is the outcome of one benchmark.
type measurement struct {
	name  string
	times []time.Duration // of each operation
	took  time.Duration
	units int64 // events, if an operation has several
}

// measure runs op from several goroutines for a while and times each call.
func measure(ctx context.Context, name string, duration time.Duration, callers int, op func(ctx context.Context, caller, i int) (units int, err error)) (measurement, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var units atomic.Int64
	times := make([][]time.Duration, callers)
	began := time.Now()
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			for i := 0; time.Since(began) < duration && ctx.Err() == nil; i++ {
				start := time.Now()
				n, err := op(ctx, caller, i)
				if err != nil {
					cancel(err)
					return
				}
				times[caller] = append(times[caller], time.Since(start))
				units.Add(int64(n))
			}
		})
	}
	group.Wait()
	m := measurement{name: name, took: time.Since(began), times: slices.Concat(times...), units: units.Load()}
	return m, context.Cause(ctx)
}

// print writes one line of Go's benchmark format: how many, the mean, what passes per second, and
// the times that half and 99 of 100 operations stayed below.
func (m measurement) print(w io.Writer) {
	n := len(m.times)
	if n == 0 {
		return
	}
	slices.Sort(m.times)
	fmt.Fprintf(w, "Benchmark%s-%d\t%8d\t%12d ns/op\t%10.0f ops/s\t%12d p50-ns\t%12d p99-ns", m.name, runtime.GOMAXPROCS(0), n,
		m.took.Nanoseconds()/int64(n), float64(n)/m.took.Seconds(), m.times[n/2].Nanoseconds(), m.times[n*99/100].Nanoseconds())
	if m.units > 0 && m.units != int64(n) {
		fmt.Fprintf(w, "\t%12.0f events/s", float64(m.units)/m.took.Seconds())
	}
	fmt.Fprintln(w)
}

// memory prints what the process holds after a collection.
func memory(w io.Writer, name string) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Fprintf(w, "Benchmark%s-%d\t%8d\t%12d heap-bytes\t%12d system-bytes\n", name, runtime.GOMAXPROCS(0), 1, stats.HeapAlloc, stats.Sys)
}
