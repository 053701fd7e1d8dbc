package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application"
)

// BenchmarkLoadRatio is how much longer a load of a long stream takes than one of ten events, by a process
// that has neither in memory: while the stream has the snapshots of the multiples only, and once it has
// rested. The loads take turns, so that whatever else the machine does meets all of them alike, and
// their medians are compared. ns/op is one load of each.
func BenchmarkLoadRatio(b *testing.B) {
	node := startCommandNode(b)
	lengths := []int{10, 100_000, 100_050, 100_099} // short; at a snapshot; half way to the next; just before it
	ids := make([]string, len(lengths))
	for i, length := range lengths {
		ids[i] = longAccount(b, node, length)
	}
	b.Run("busy", func(b *testing.B) { loadInTurn(b, node, lengths, ids) })
	comeToRest(b, node, ids[2:])
	b.Run("rested", func(b *testing.B) { loadInTurn(b, node, lengths, ids) })
}

// comeToRest has a process meet the streams and waits until it has taken their snapshots.
func comeToRest(b *testing.B, node *commandNode, ids []string) {
	b.Helper()
	taken := make(chan error, len(ids))
	service := replica(b, node.connect(b), application.Options{Hooks: application.Hooks{
		SnapshotTaken: func(_ string, err error) { taken <- err },
	}})
	for _, id := range ids {
		if _, err := application.Load(b.Context(), service.Executor, application.Accounts, id); err != nil {
			b.Fatal(err)
		}
	}
	for range ids {
		if err := <-taken; err != nil {
			b.Fatal(err)
		}
	}
}

func loadInTurn(b *testing.B, node *commandNode, lengths []int, ids []string) {
	service := application.NewService(node.connect(b), application.Options{CacheBytes: -1})
	took := make([][]time.Duration, len(lengths))
	for b.Loop() {
		for i, length := range lengths {
			begun := time.Now()
			loaded, err := application.Load(b.Context(), service.Executor, application.Accounts, ids[i])
			took[i] = append(took[i], time.Since(begun))
			if err != nil || loaded.Revision != int64(length-1) {
				b.Fatal(loaded.Revision, err)
			}
		}
	}
	var short float64
	for i := range took {
		slices.Sort(took[i])
		median := float64(took[i][len(took[i])/2])
		b.ReportMetric(median, fmt.Sprintf("ns/%d-events", lengths[i]))
		if i == 0 {
			short = median
		} else {
			b.ReportMetric(median/short, fmt.Sprintf("x/%d-events", lengths[i]))
		}
	}
}
