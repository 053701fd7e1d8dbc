package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// benchNode measures the node through the official client, as everything here uses it.
func (p *program) benchNode(ctx context.Context, options benchOptions) error {
	return options.withDir(func(dir string) (err error) {
		began := time.Now()
		log, err := eventlog.Open(filepath.Join(dir, logFile), eventlog.Options{})
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, log.Close()) }()
		node, err := esnode.New(log, esnode.Options{})
		if err != nil {
			return err
		}
		listener, err := listen("127.0.0.1:0", "the benchmark's port")
		if err != nil {
			return err
		}
		go func() { _ = node.Serve(listener) }() // ends with Stop below
		defer func() {
			stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
			defer cancel()
			err = errors.Join(err, node.Stop(stopping))
		}()
		fmt.Fprintf(p.out, "BenchmarkNodeStart-1\t1\t%d ns/op\n", time.Since(began).Nanoseconds())
		store, err := esdb.Open("esdb://"+reachable(listener.Addr())+"?tls=false", esdb.Options{})
		if err != nil {
			return err
		}
		defer func() {
			closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
			defer cancel()
			err = errors.Join(err, store.Close(closing))
		}()
		return p.benchLog(ctx, store, options)
	})
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

func (p *program) benchLog(ctx context.Context, store *esdb.Store, options benchOptions) error {
	for _, writers := range []int{1, 8, 32, 128} {
		m, err := measure(ctx, fmt.Sprintf("NodeAppend/writers=%d", writers), options.duration, writers, func(ctx context.Context, _, _ int) (int, error) {
			_, err := store.AppendRaw(ctx, "bench-"+uuid.NewString(), domain.NoStream, benchEvents(1))
			return 1, err
		})
		if err != nil {
			return err
		}
		m.print(p.out)
	}
	if err := fill(ctx, store, options.events); err != nil {
		return err
	}
	m, err := measure(ctx, "NodeReadStream/events=1000", options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		return count(store.ReadStreamRaw(ctx, "filler-0", 0))
	})
	if err != nil {
		return err
	}
	m.print(p.out)
	if m, err = measure(ctx, "NodeReadAll", options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		return count(store.ReadAllRaw(ctx, domain.From{}, nil)) // all that it reads, the appends of before too
	}); err != nil {
		return err
	}
	m.print(p.out)
	if m, err = measure(ctx, "NodeTailFiltered", options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		return tailToEnd(ctx, store)
	}); err != nil {
		return err
	}
	m.print(p.out)
	memory(p.out, "NodeMemory")
	return nil
}

// fill writes streams of a thousand events until there are enough.
func fill(ctx context.Context, store *esdb.Store, events int) error {
	return forEach(ctx, (events+999)/1000, 4, func(ctx context.Context, i int) error {
		for revision := int64(-1); revision < 999; revision += 100 {
			if _, err := store.AppendRaw(ctx, fmt.Sprintf("filler-%d", i), revision, benchEvents(100)); err != nil {
				return err
			}
		}
		return nil
	})
}

func count(events func(yield func(codec.Raw, error) bool)) (n int, err error) {
	for _, err := range events {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

var errAtEnd = errors.New("at the end")

// tailToEnd follows the log from its start until it is live.
func tailToEnd(ctx context.Context, store *esdb.Store) (n int, err error) {
	err = store.Tail(ctx, domain.From{}, []string{"filler-"}, func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
		n += len(batch)
		if live {
			return errAtEnd
		}
		return nil
	})
	if errors.Is(err, errAtEnd) {
		err = nil
	}
	return n, err
}
