package main

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// What certainty costs a question. Commands under keys: BenchmarkCommands; snapshots: BenchmarkLoad and
// BenchmarkLoadRatio; hash chains: BenchmarkEncode and BenchmarkCheck of the codec.

// questioned is a read side that shows a log of count orders.
func questioned(b *testing.B, count int) (*readWorld, *readmodels.Engine) {
	w := newReadWorld(b)
	w.trade(count)
	e := w.side(w.documents())
	if err := e.Prepare(b.Context()); err != nil {
		b.Fatal(err)
	}
	for _, m := range readmodels.All() {
		for _, err := range e.Projector(m.Name).Handle(b.Context(), feeding(m, w.everything())) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	return w, e
}

func feeding(m *readmodels.Model, all []domain.Delivery) (mine []domain.Delivery) {
	for _, d := range all {
		if m.Feeds(d.Stream) {
			mine = append(mine, d)
		}
	}
	return mine
}

func screenNamed(b *testing.B, operation string) readmodels.Screen {
	for _, s := range readmodels.Screens() {
		if s.Operation == operation {
			return s
		}
	}
	b.Fatal("no screen answers " + operation)
	return readmodels.Screen{}
}

// BenchmarkQuestions compares plain questions with those that carry a token (of what is there already), look
// into the past, or want an explanation.
func BenchmarkQuestions(b *testing.B) {
	w, e := questioned(b, 300)
	id := domain.StreamID(firstStream(w))
	token := readmodels.Tidemark{{Stream: "order-" + id, Revision: 4}}
	before := w.at.Add(-time.Minute)
	for _, q := range []struct {
		name, operation string
		ask             readmodels.Ask
	}{
		{"order/plain", "getOrder", readmodels.Ask{}},
		{"order/token", "getOrder", readmodels.Ask{After: token, Wait: time.Second}},
		{"order/asOf", "getOrder", readmodels.Ask{AsOf: before}},
		{"order/explain", "getOrder", readmodels.Ask{Explain: true}},
		{"orders/plain", "listOrders", readmodels.Ask{}},
		{"orders/token", "listOrders", readmodels.Ask{After: token, Wait: time.Second}},
		{"orders/explain", "listOrders", readmodels.Ask{Explain: true}},
		{"board/plain", "getBoard", readmodels.Ask{}},
		{"board/explain", "getBoard", readmodels.Ask{Explain: true}},
		{"sales/plain", "listSales", readmodels.Ask{}},
		{"sales/explain", "listSales", readmodels.Ask{Explain: true}},
	} {
		screen := screenNamed(b, q.operation)
		if q.operation == "getOrder" {
			q.ask.Params = map[string]string{"id": id}
		}
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := screen.Answer(b.Context(), e.Reader(), q.ask); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("orders/asOf", func(b *testing.B) { benchPast(b, w, e, "listOrders") })
	b.Run("sales/asOf", func(b *testing.B) { benchPast(b, w, e, "listSales") })
}

// benchPast asks each time about another moment, so that nothing is remembered of the last.
func benchPast(b *testing.B, w *readWorld, e *readmodels.Engine, operation string) {
	screen, n := screenNamed(b, operation), 0
	for b.Loop() {
		n++
		if _, err := screen.Answer(b.Context(), e.Reader(), readmodels.Ask{AsOf: w.at.Add(-time.Duration(n) * time.Microsecond)}); err != nil {
			b.Fatal(err)
		}
	}
	log := len(w.everything())
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(log), "ns/logged-event")
}

func firstStream(w *readWorld) string {
	stream, _ := benchOrder(0)
	return stream
}

// BenchmarkLive is how long a change takes from the projector to so many watches, each of which reads it.
func BenchmarkLive(b *testing.B) {
	for _, listeners := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("listeners=%d", listeners), func(b *testing.B) {
			w, e := questioned(b, 20)
			_, events := benchOrder(1_000_000)
			heard := make(chan error, listeners)
			for range listeners {
				watch, err := e.Reader().Watch(b.Context(), "customer_orders", "", "")
				if err != nil {
					b.Fatal(err)
				}
				defer watch.Close()
				ctx, cancel := context.WithCancel(b.Context())
				defer cancel()
				go func() {
					for {
						_, err := watch.Next(ctx)
						if ctx.Err() != nil {
							return
						}
						heard <- err
					}
				}()
			}
			projector, n := e.Projector("customer_orders"), 1_000_000
			for b.Loop() {
				n++
				stream, _ := benchOrder(n)
				d := domain.Delivery{Recorded: domain.Recorded{Event: events[0], Type: events[0].EventType(), ID: stream, Stream: stream, Meta: domain.Meta{At: w.at}}}
				if err := projector.Handle(b.Context(), []domain.Delivery{d})[0]; err != nil {
					b.Fatal(err)
				}
				for range listeners {
					if err := <-heard; err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
