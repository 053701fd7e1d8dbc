package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/baseline"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// benchNode measures the node through the official client, as everything here uses it, and a server
// that does nothing beside it. The log is filled first, so that everything is measured at its size.
func (p *program) benchNode(ctx context.Context, options benchOptions) error {
	if options.events < 1 {
		return usageError{errors.New("--events must be at least 1")}
	}
	return options.withDir(func(dir string) error {
		path := filepath.Join(dir, logFile)
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s is there already: the benchmark begins with an empty log", path), err)
		}
		b := &nodeBench{p: p, options: options, fill: fillStreams(options.events)}
		if err := b.onNode(ctx, path, "NodeStart/events=0", b.fillLog); err != nil {
			return err
		}
		return b.onNode(ctx, path, fmt.Sprintf("NodeStart/events=%d", options.events), func(ctx context.Context, node *esdb.Store) error {
			memory(p.out, "NodeMemory/idle") // the client is in this process too
			return b.onBaseline(ctx, filepath.Join(dir, "baseline.bin"), func(ctx context.Context, nothing *esdb.Store) error {
				return b.all(ctx, node, nothing)
			})
		})
	})
}

// nodeBench is one run.
type nodeBench struct {
	p       *program
	options benchOptions
	fill    []fillStream
}

// all measures reads first, while the log has exactly the events that it was filled with.
func (b *nodeBench) all(ctx context.Context, node, nothing *esdb.Store) error {
	for _, step := range []func() error{
		func() error { return b.streamReads(ctx, node, nothing) },
		func() error { return b.wholeLog(ctx, node) },
		func() error { return b.filtered(ctx, node) },
		func() error { return b.groups(ctx, node) },
		func() error { return b.fanOut(ctx, node) },
		func() error { return b.appends(ctx, node, nothing) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	memory(b.p.out, "NodeMemory")
	return nil
}

// onNode runs do against a node over the log at path and prints how long it took from opening the log
// until a client had its first answer.
func (b *nodeBench) onNode(ctx context.Context, path, name string, do func(context.Context, *esdb.Store) error) (err error) {
	began := time.Now()
	log, err := eventlog.Open(path, eventlog.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	node, err := esnode.New(log, esnode.Options{})
	if err != nil {
		return err
	}
	if err := node.Start("127.0.0.1:0"); err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, node.Stop(stopping))
	}()
	return onStore(ctx, node.Addr().String(), func(ctx context.Context, store *esdb.Store) error {
		fmt.Fprintf(b.p.out, "Benchmark%s-%d\t%8d\t%12d ns/op\n", name, runtime.GOMAXPROCS(0), 1, time.Since(began).Nanoseconds())
		return do(ctx, store)
	})
}

// onBaseline runs do against the server that does nothing.
func (b *nodeBench) onBaseline(ctx context.Context, path string, do func(context.Context, *esdb.Store) error) (err error) {
	first := b.fill[0]
	like := benchEvents(1)[0]
	server, err := baseline.Start(path, first.events, baseline.Event{Stream: first.name, Type: like.Type, Data: like.Data, Metadata: like.Metadata})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close(), os.Remove(path)) }()
	return onStore(ctx, server.Addr().String(), do)
}

// onStore connects, waits for the first answer and runs do.
func onStore(ctx context.Context, address string, do func(context.Context, *esdb.Store) error) (err error) {
	store, err := esdb.Open("esdb://"+address+"?tls=false", esdb.Options{})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		err = errors.Join(err, store.Close(closing))
	}()
	if _, err := count(store.ReadStreamRaw(ctx, "nothing-1", 0)); err != nil {
		return err
	}
	return do(ctx, store)
}

// benchPayload is an event of a common size.
var benchPayload = []byte(`{"sku":"BENCH-000001","name":"A thing of common length","quantity":3,"unitPrice":12345,"note":"` +
	`some more text, so that an event has the size that events of a shop usually have, which is about three hundred bytes in all"}`)

func benchEvents(n int) []codec.Raw {
	events := make([]codec.Raw, n)
	for i := range events {
		events[i] = codec.Raw{ID: uuid.NewString(), Type: "ItemAdded", Data: benchPayload, Metadata: []byte(`{"schemaVersion":2,"actor":"bench"}`)}
	}
	return events
}

// The log is filled with streams of a thousand events, in turn of one of five kinds.
const (
	fillKinds  = 5
	fillLength = 1000
	fillBatch  = 100
	fillPrefix = "kind"       // of all
	onePrefix  = "kind0-"     // of a fifth
	livePrefix = "live-"      // of what is appended for subscribers
	soloPrefix = "bench-solo" // of what is appended for its own sake
)

type fillStream struct {
	name   string
	events int
}

func fillStreams(events int) []fillStream {
	var all []fillStream
	for i := 0; events > 0; i++ {
		n := min(events, fillLength)
		all = append(all, fillStream{fmt.Sprintf("%s%d-%d", fillPrefix, i%fillKinds, i), n})
		events -= n
	}
	return all
}

func (b *nodeBench) fillLog(ctx context.Context, store *esdb.Store) error {
	return forEach(ctx, len(b.fill), 4, func(ctx context.Context, i int) error {
		for done := 0; done < b.fill[i].events; {
			n := min(fillBatch, b.fill[i].events-done)
			if _, err := store.AppendRaw(ctx, b.fill[i].name, int64(done)-1, benchEvents(n)); err != nil {
				return err
			}
			done += n
		}
		return nil
	})
}
