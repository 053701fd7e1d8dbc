package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
)

// BenchmarkCommands is commands a second, each writer on a stream of its own or all on one, without a key
// and with one. ns/op is the time between two commands, not how long one takes.
func BenchmarkCommands(b *testing.B) {
	for _, keys := range []bool{false, true} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("keyed=%v/own/writers=%d", keys, writers), func(b *testing.B) { benchmarkCommands(b, writers, writers, 1, keys) })
		}
		b.Run(fmt.Sprintf("keyed=%v/hot/writers=64", keys), func(b *testing.B) { benchmarkCommands(b, 64, 1, 1, keys) })
		b.Run(fmt.Sprintf("keyed=%v/hot/writers=64/replicas=2", keys), func(b *testing.B) { benchmarkCommands(b, 64, 1, 2, keys) })
	}
}

// BenchmarkReservations is how many reservations of one SKU a second 64 buyers get, with command ids that
// derive from a process and its step as the fulfilment's do.
func BenchmarkReservations(b *testing.B) {
	for _, replicas := range []int{1, 2} {
		b.Run(fmt.Sprintf("buyers=64/replicas=%d", replicas), func(b *testing.B) {
			node := startCommandNode(b)
			services := make([]*application.Service, replicas)
			for i := range services {
				services[i] = replica(b, node.connect(b), application.Options{})
			}
			for range b.N/1_000_000 + 1 {
				if _, err := services[0].ReceiveStock(b.Context(), application.Command{}, "HOT", 1_000_000, ""); err != nil {
					b.Fatal(err)
				}
			}
			bench(b, 64, func(ctx context.Context, writer, n int) error {
				orderID := uuid.NewString()
				command := application.Command{ID: application.CommandID("process:bench", orderID), Operation: "reserve", Actor: "process:bench"}
				_, err := services[writer%replicas].ReserveStock(ctx, command, "HOT", orderID, 1)
				return err
			})
		})
	}
}

func benchmarkCommands(b *testing.B, writers, streams, replicas int, keys bool) {
	node := startCommandNode(b)
	var conflicts atomic.Int64
	options := application.Options{Hooks: application.Hooks{Conflict: func(string, string, int) { conflicts.Add(1) }}}
	services := make([]*application.Service, replicas)
	for i := range services {
		services[i] = replica(b, node.connect(b), options)
	}
	ids := make([]string, streams)
	for i := range ids {
		made, err := services[0].OpenAccount(b.Context(), application.Command{}, application.OpenAccount{CustomerID: "c1", Currency: "EUR"})
		if err != nil {
			b.Fatal(err)
		}
		ids[i] = made.ID
	}
	bench(b, writers, func(ctx context.Context, writer, n int) error {
		command := application.Command{Operation: "deposit", RequestHash: "x", Actor: "bench"}
		if keys {
			command.ID, command.Keyed = application.CommandID("bench", fmt.Sprint(n)), true
		}
		_, err := services[writer%replicas].Deposit(ctx, command, ids[writer%streams], 1, "EUR", "")
		return err
	})
	b.ReportMetric(float64(conflicts.Load())/float64(b.N), "conflicts/op")
}

// bench has writers send b.N commands, numbered from 1, and reports their rate and the slowest.
func bench(b *testing.B, writers int, send func(ctx context.Context, writer, n int) error) {
	var next, slowest atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				begun := time.Now()
				if err := send(context.Background(), w, int(n)); err != nil {
					b.Error(err)
					return
				}
				took := int64(time.Since(begun))
				for was := slowest.Load(); took > was && !slowest.CompareAndSwap(was, took); was = slowest.Load() {
				}
			}
		})
	}
	all.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	b.ReportMetric(float64(slowest.Load())/1e6, "slowest-ms")
}

// BenchmarkLoad is how long it takes to load a stream of so many events: from its snapshot, from the
// first event, and in a process that has it in memory.
func BenchmarkLoad(b *testing.B) {
	node := startCommandNode(b)
	for _, length := range []int{10, 100_000, 100_050} { // at a snapshot, and half way to the next
		id := longAccount(b, node, length)
		for _, way := range []struct {
			name    string
			options application.Options
		}{
			{"snapshot", application.Options{CacheBytes: -1}},
			{"cache", application.Options{}},
			{"first", application.Options{CacheBytes: -1, SnapshotEvery: -1}},
		} {
			b.Run(fmt.Sprintf("events=%d/%s", length, way.name), func(b *testing.B) {
				service := application.NewService(node.connect(b), way.options)
				for b.Loop() {
					loaded, err := application.Load(b.Context(), service.Executor, application.Accounts, id)
					if err != nil || loaded.Revision != int64(length-1) {
						b.Fatal(loaded.Revision, err)
					}
				}
			})
		}
	}
}

// longAccount makes an account of so many events, with the snapshots of the multiples only; the newest
// events come of single commands.
func longAccount(b *testing.B, node *commandNode, length int) string {
	b.Helper()
	taken := make(chan error, 10_000)
	service := application.NewService(node.connect(b), application.Options{Hooks: application.Hooks{
		SnapshotTaken: func(_ string, err error) { taken <- err },
	}})
	ctx, stop := context.WithCancel(b.Context())
	var running sync.WaitGroup
	running.Go(func() { service.Run(ctx) })
	defer func() {
		stop()
		running.Wait()
	}()
	made, err := service.OpenAccount(b.Context(), application.Command{}, application.OpenAccount{CustomerID: "c1", Currency: "EUR"})
	if err != nil {
		b.Fatal(err)
	}
	for at := 1; at < length; {
		batch := make([]domain.Event, max(1, min(500, length-at-application.CommandsRemembered)))
		for i := range batch {
			batch[i] = account.Deposited{Amount: 1, Currency: "EUR"}
		}
		result, err := application.Execute(b.Context(), service.Executor, application.Command{}, application.Task[account.Account]{
			Aggregate: application.Accounts, ID: made.ID,
			Decide: func(context.Context, application.Loaded[account.Account]) ([]domain.Event, error) { return batch, nil },
		})
		if err != nil {
			b.Fatal(err)
		}
		at = int(result.Revision) + 1
		if at/100 > (at-len(batch))/100 {
			if err := <-taken; err != nil {
				b.Fatal(err)
			}
		}
	}
	return made.ID
}
