package readmodels

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// script is a log in memory: what the tests append is what streams and tails show.
type script struct {
	mu      sync.Mutex
	all     []domain.Recorded
	bad     map[Mark]bool // events that can't be decoded
	down    error         // what reads fail with
	changed chan struct{}
	clock   time.Time
	reads   int
}

var scriptStart = time.Date(2026, 3, 1, 22, 0, 0, 0, time.UTC)

func newScript() *script {
	return &script{bad: map[Mark]bool{}, changed: make(chan struct{}), clock: scriptStart}
}

// Now is the time of the last event, so that ages are small whatever the real time is.
func (s *script) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.clock
}

// append adds an event a minute after the last one and gives its record.
func (s *script) append(stream string, event domain.Event) domain.Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clock = s.clock.Add(time.Minute)
	revision := int64(0)
	for _, r := range s.all {
		if r.Stream == stream {
			revision++
		}
	}
	r := domain.Recorded{Event: event, Type: event.EventType(), ID: fmt.Sprintf("event-%d", len(s.all)), Stream: stream, Revision: revision,
		Position: uint64(10 * (len(s.all) + 1)), Stored: s.clock,
		Meta: domain.Meta{SchemaVersion: 2, CorrelationID: "correlation-" + stream, CausationID: "cause", CommandID: fmt.Sprintf("command-%d", len(s.all)), Actor: "tester", At: s.clock}}
	s.all = append(s.all, r)
	close(s.changed)
	s.changed = make(chan struct{})
	return r
}

func (s *script) events() []domain.Recorded {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// poison makes an event undecodable, or whole again.
func (s *script) poison(stream string, revision int64, bad bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[Mark{stream, revision}] = bad
}

func (s *script) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = err
}

func (s *script) decoded(r domain.Recorded) (domain.Recorded, error) {
	if !s.bad[Mark{r.Stream, r.Revision}] {
		return r, nil
	}
	r.Event = nil
	return r, &domain.Error{Kind: domain.KindUndecodable, Code: "undecodable_event", Message: "It is poison."}
}

func (s *script) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	return func(yield func(domain.Recorded, error) bool) {
		s.mu.Lock()
		s.reads++
		down := s.down
		var found []domain.Recorded
		var errs []error
		for _, r := range s.all {
			if r.Stream == stream && r.Revision >= from {
				r, err := s.decoded(r)
				r.Position = 0 // single streams don't tell it
				found, errs = append(found, r), append(errs, err)
			}
		}
		s.mu.Unlock()
		if down != nil || ctx.Err() != nil {
			yield(domain.Recorded{}, &domain.Error{Kind: domain.KindUnavailable, Code: "event_store_unavailable", Message: "It is down."})
			return
		}
		for i, r := range found {
			if !yield(r, errs[i]) {
				return
			}
		}
	}
}

func (s *script) ReadLast(ctx context.Context, stream string) (last domain.Recorded, ok bool, err error) {
	for r, err := range s.ReadStream(ctx, stream, 0) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			return last, false, err
		}
		last, ok = r, true
	}
	return last, ok, nil
}

const scriptBatch = 7

func (s *script) Tail(ctx context.Context, from domain.From, prefixes []string, handle func(ctx context.Context, batch []domain.Delivery, checkpoint uint64, live bool) error) error {
	position, told := from.Position, false
	for {
		s.mu.Lock()
		changed := s.changed
		var batch []domain.Delivery
		checkpoint := position
		for _, r := range s.all {
			if r.Position <= position || len(batch) == scriptBatch {
				continue
			}
			checkpoint = r.Position
			if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(r.Stream, p) }) {
				r, err := s.decoded(r)
				batch = append(batch, domain.Delivery{Recorded: r, Err: err})
			}
		}
		live := len(s.all) == 0 || checkpoint >= s.all[len(s.all)-1].Position
		s.mu.Unlock()
		if len(batch) > 0 || checkpoint > position || live && !told {
			told = live
			position = checkpoint
			if err := handle(ctx, batch, checkpoint, live); err != nil {
				return err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// deliveries are all events as a consumer group would hand them out in order.
func (s *script) deliveries() []domain.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]domain.Delivery, len(s.all))
	for i, r := range s.all {
		all[i].Recorded, all[i].Err = s.decoded(r)
	}
	return all
}

// side builds a read side over the script and a store.
func (s *script) side(documents Documents, change ...func(*Options)) *Engine {
	options := Options{Documents: documents, Streams: s, Log: s, Clock: s, RegistryAge: time.Millisecond, Grace: 30 * time.Millisecond, StallAfter: 50 * time.Millisecond}
	for _, c := range change {
		c(&options)
	}
	return New(options)
}

// deliver hands events to every model's projector and wants all of them settled.
func deliver(t interface {
	Helper()
	Fatalf(string, ...any)
	Context() context.Context
}, e *Engine, batch []domain.Delivery) {
	t.Helper()
	for _, m := range e.Models() {
		for i, err := range e.Projector(m.Name).Handle(t.Context(), batch) {
			if err != nil {
				t.Fatalf("%s: event %d of %s: %v", m.Name, batch[i].Revision, batch[i].Stream, err)
			}
		}
	}
}

// patience bounds every wait of a test. Only a test that fails needs it, so it is generous.
const patience = time.Minute

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("it never came true that %s", what)
		}
		rest(t.Context(), 2*time.Millisecond)
	}
}

// dump is every document of a model's generation with its rows: id → all of it.
func dump(t interface {
	Helper()
	Fatalf(string, ...any)
	Context() context.Context
}, documents Documents, g generation) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, collection := range []string{g.documents(), g.rows()} {
		w := &walk{documents: documents, collection: collection}
		for {
			d, err := w.peek(t.Context())
			if err != nil {
				t.Fatalf("dump %s: %v", collection, err)
			}
			if d == nil {
				break
			}
			d = w.next()
			all[strings.TrimPrefix(collection, g.documents())+"/"+d.ID] = fmt.Sprintf("version %d sources %v hidden %t %s", d.Version, d.Sources, d.Hidden, d.Body)
		}
	}
	return all
}
