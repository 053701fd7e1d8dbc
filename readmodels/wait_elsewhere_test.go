package readmodels

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// telling is a document store that tells other processes' writes in one of the ways that stores have.
type telling struct {
	Documents
	watch func(ctx context.Context, changed func([]string)) error

	once  sync.Once
	began chan struct{}
}

// Watch implements Watcher.
func (d *telling) Watch(ctx context.Context, _ string, changed func([]string)) error {
	d.once.Do(func() { close(d.began) })
	return d.watch(ctx, changed)
}

// TestQueryHearsOfAnotherProcess lets one engine wait for what another one writes to the same store. Whether
// the store names the documents, only says that something changed, or can't tell at all: the query is answered.
func TestQueryHearsOfAnotherProcess(t *testing.T) {
	written := make(chan struct{})
	for name, watch := range map[string]func(ctx context.Context, changed func([]string)) error{
		"can't tell": func(context.Context, func([]string)) error { return errors.ErrUnsupported },
		"something changed": func(ctx context.Context, changed func([]string)) error {
			select {
			case <-written:
				changed(nil)
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		},
		"names it": func(ctx context.Context, changed func([]string)) error {
			select {
			case <-written:
				changed([]string{orderID(1)})
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			written = make(chan struct{})
			s := newScript()
			shared := newMemory()
			told := &telling{Documents: shared, watch: watch, began: make(chan struct{})}
			reading, writing := s.side(told), s.side(shared)
			reading.Start(t.Context())
			defer reading.Stop()
			r := s.append("order-"+orderID(1), created())
			answered := make(chan error, 1)
			began := time.Now()
			go func() {
				_, err := answerOrder(t.Context(), reading.Reader(), Ask{Params: map[string]string{"id": orderID(1)}, After: Tidemark{{r.Stream, 0}}, Wait: patience})
				answered <- err
			}()
			<-told.began
			deliver(t, writing, []domain.Delivery{{Recorded: r}})
			close(written)
			if err := <-answered; err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
		})
	}
}
