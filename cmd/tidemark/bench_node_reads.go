package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// slice is for how long baseline and node are measured at a time, by turns, until each had its time: what
// drifts, such as the disk and the load that others put on the machine, then falls on both.
const slice = 250 * time.Millisecond

// compare measures op on the server that does nothing and on the node, by turns, and prints both and
// how many of the baseline's operations per second the node reaches.
func (b *nodeBench) compare(ctx context.Context, what, of string, callers int, node, nothing *esdb.Store,
	op func(ctx context.Context, store *esdb.Store) (int, error),
) error {
	servers := [2]struct {
		store *esdb.Store
		total measurement
	}{{nothing, measurement{name: "Baseline" + what + "/" + of}}, {node, measurement{name: "Node" + what + "/" + of}}}
	rounds := max(1, int(b.options.duration/slice))
	for round := range rounds {
		for turn := range servers {
			s := &servers[(round+turn)%2] // each goes first every other time
			m, err := measureToRest(ctx, b.options.duration/time.Duration(rounds), callers, func(ctx context.Context) (int, error) { return op(ctx, s.store) })
			if err != nil {
				return err
			}
			s.total.add(m)
		}
	}
	for i := range servers {
		servers[i].total.print(b.p.out)
	}
	rate := func(m measurement) float64 { return float64(len(m.times)) / m.took.Seconds() }
	if base := rate(servers[0].total); base > 0 {
		fmt.Fprintf(b.p.out, "BenchmarkNode%sRatio/%s-%d\t%8d\t%12.3f ratio\n", what, of, runtime.GOMAXPROCS(0), 1, rate(servers[1].total)/base)
	}
	return nil
}

// measureToRest measures op and, within the time, one more of it alone: it is answered when the server has
// done what it put off until after its answers, which would else fall on whoever is measured next.
func measureToRest(ctx context.Context, duration time.Duration, callers int, op func(context.Context) (int, error)) (measurement, error) {
	m, err := measure(ctx, "", duration, callers, func(ctx context.Context, _, _ int) (int, error) { return op(ctx) })
	if err != nil {
		return m, err
	}
	began := time.Now()
	n, err := op(ctx)
	took := time.Since(began)
	m.add(measurement{times: []time.Duration{took}, took: took, units: int64(n)})
	return m, err
}

// add counts another measurement of the same to this one.
func (m *measurement) add(other measurement) {
	m.times = append(m.times, other.times...)
	m.took += other.took
	m.units += other.units
}

// appends are single events, each to a new stream and on disk when it is answered.
func (b *nodeBench) appends(ctx context.Context, node, nothing *esdb.Store) error {
	for _, writers := range []int{1, 8, 32, 128} {
		err := b.compare(ctx, "Append", fmt.Sprintf("writers=%d", writers), writers, node, nothing, func(ctx context.Context, store *esdb.Store) (int, error) {
			_, err := store.AppendRaw(ctx, soloPrefix+"-"+uuid.NewString(), domain.NoStream, benchEvents(1))
			return 1, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *nodeBench) streamReads(ctx context.Context, node, nothing *esdb.Store) error {
	first := b.fill[0]
	return b.compare(ctx, "ReadStream", fmt.Sprintf("events=%d", first.events), 1, node, nothing, func(ctx context.Context, store *esdb.Store) (int, error) {
		n, err := count(store.ReadStreamRaw(ctx, first.name, 0))
		return exactly(first.events, n, err)
	})
}

// wholeLog reads the log from end to end.
func (b *nodeBench) wholeLog(ctx context.Context, node *esdb.Store) error {
	m, err := measure(ctx, fmt.Sprintf("NodeReadAll/events=%d", b.options.events), b.options.duration, 1, func(ctx context.Context, _, _ int) (int, error) {
		n, err := count(node.ReadAllRaw(ctx, domain.From{}, nil))
		return exactly(b.options.events, n, err)
	})
	if err == nil {
		m.print(b.p.out)
	}
	return err
}

// filtered follows $all from the start until it is live. Its events per second are those looked at, of
// which either all or a fifth match and are delivered.
func (b *nodeBench) filtered(ctx context.Context, node *esdb.Store) error {
	for _, c := range []struct{ name, prefix string }{{"all", fillPrefix}, {"fifth", onePrefix}} {
		want := 0
		for _, stream := range b.fill {
			if strings.HasPrefix(stream.name, c.prefix) {
				want += stream.events
			}
		}
		m, err := measure(ctx, fmt.Sprintf("NodeTailFiltered/match=%s/events=%d", c.name, b.options.events), b.options.duration, 1,
			func(ctx context.Context, _, _ int) (int, error) {
				n, err := tailToEnd(ctx, node, c.prefix)
				_, err = exactly(want, n, err)
				return b.options.events, err
			})
		if err != nil {
			return err
		}
		m.print(b.p.out)
	}
	return nil
}

// exactly holds a read to what was written: a figure for a part of it would be worth nothing.
func exactly(want, got int, err error) (int, error) {
	if err == nil && got != want {
		err = fmt.Errorf("%d events were read where %d had been written", got, want)
	}
	return got, err
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
func tailToEnd(ctx context.Context, store *esdb.Store, prefix string) (n int, err error) {
	err = store.Tail(ctx, domain.From{}, []string{prefix}, func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
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
