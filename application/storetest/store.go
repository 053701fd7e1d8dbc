package storetest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tidemark-dev/tidemark/domain"
)

func appendedIsRead(w *world) {
	stream, first, second := w.stream(), events(3, 0), events(1, 3)
	before := time.Now().Add(-time.Minute)
	one := w.write(stream, nothing, first)
	two := w.write(stream, tip(one), second)
	if one.Revision != 2 || two.Revision != 3 || one.Position == 0 || two.Position <= one.Position {
		w.Errorf("appended %+v, then %+v", one, two)
	}
	recorded := w.read(stream, 0)
	if len(recorded) != 4 {
		w.Fatalf("%d events, want 4", len(recorded))
	}
	prev := domain.Recorded{}
	for i, proposed := range slices.Concat(first, second) {
		r := recorded[i]
		want := domain.Recorded{Event: proposed.Event, Type: proposed.Event.EventType(), ID: proposed.ID, Stream: stream, Revision: int64(i), Meta: proposed.Meta}
		want.Meta.PrevHash = prev.Meta.Hash
		ignored := cmpopts.IgnoreFields(domain.Recorded{}, "Position", "Stored", "Meta.SchemaVersion", "Meta.Hash")
		if diff := cmp.Diff(want, r, ignored); diff != "" {
			w.Errorf("event %d (-proposed +recorded):\n%s", i, diff)
		}
		if r.Position <= prev.Position || r.Meta.Hash == "" || r.Meta.SchemaVersion < 1 || r.Stored.Before(before) || r.Stored.Location() != time.UTC {
			w.Errorf("event %d behind position %d: %+v", i, prev.Position, r)
		}
		prev = r
	}
	if last := recorded[3]; last.Position != two.Position || last.Meta.Hash != two.Hash || recorded[2].Meta.Hash != one.Hash {
		w.Errorf("the last event is %+v, the append said %+v", last, two)
	}
	newest, ok, err := w.Store.ReadLast(w.ctx, stream)
	if diff := cmp.Diff(recorded[3], newest); err != nil || !ok || diff != "" {
		w.Errorf("newest: %v, %v\n%s", ok, err, diff)
	}
}

func exactRevision(w *world) {
	stream := w.stream()
	written := w.write(stream, nothing, events(2, 0))
	for name, test := range map[string]struct {
		stream  string
		after   int64
		current int64
	}{
		"there should be none":           {stream, domain.NoStream, 1},
		"it should end earlier":          {stream, 0, 1},
		"it should end later":            {stream, 5, 1},
		"there is none but should be":    {w.stream(), 0, domain.NoStream},
		"there is none and should be 10": {w.stream(), 9, domain.NoStream},
	} {
		_, err := w.Store.Append(w.ctx, test.stream, domain.Tip{Revision: test.after, Hash: "x"}, events(3, 10))
		refusal, ok := err.(*domain.Error) //nolint:errorlint // the contract is the type itself
		if !ok || refusal.Kind != domain.KindConflict || refusal.Revision == nil || *refusal.Revision != test.current {
			w.Errorf("%s: %v, want a conflict at %d", name, err, test.current)
		}
	}
	w.write(stream, tip(written), events(1, 2))
	if diff := cmp.Diff(numbers(0, 3), operations(w.read(stream, 0))); diff != "" {
		w.Errorf("a refused append left something:\n%s", diff)
	}
}

func repeatedAppend(w *world) {
	stream, first := w.stream(), events(2, 0)
	one := w.write(stream, nothing, first)
	again := w.write(stream, nothing, first)
	second := events(3, 2)
	two := w.write(stream, tip(one), second)
	w.write(stream, tip(two), events(1, 5))
	for name, repeat := range map[string]struct{ want, got domain.Appended }{
		"first, at once":     {one, again},
		"first, later":       {one, w.write(stream, nothing, first)},
		"second, in between": {two, w.write(stream, tip(one), second)},
	} {
		if diff := cmp.Diff(repeat.want, repeat.got); diff != "" {
			w.Errorf("%s (-first +again):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(numbers(0, 6), operations(w.read(stream, 0))); diff != "" {
		w.Errorf("a repeat was written:\n%s", diff)
	}
	_, err := w.Store.Append(w.ctx, stream, nothing, slices.Concat(first, events(1, 9)))
	w.kind(err, domain.KindConflict)
}

func racingWriters(w *world) {
	stream := w.stream()
	after := w.write(stream, nothing, events(1, 0))
	const writers = 8
	results := make([]error, writers)
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() { _, results[i] = w.Store.Append(w.ctx, stream, tip(after), events(2, 100*(i+1))) })
	}
	group.Wait()
	won := 0
	for _, err := range results {
		if err == nil {
			won++
			continue
		}
		w.kind(err, domain.KindConflict)
	}
	if recorded := w.read(stream, 0); won != 1 || len(recorded) != 3 {
		w.Errorf("%d of %d writers won, the stream has %d events", won, writers, len(recorded))
	}
}

func readFrom(w *world) {
	stream := w.stream()
	w.write(stream, nothing, events(10, 0))
	for from, want := range map[int64][]string{0: numbers(0, 10), 7: numbers(7, 3), 9: numbers(9, 1), 10: {}, 99: {}} {
		if diff := cmp.Diff(want, operations(w.read(stream, from))); diff != "" {
			w.Errorf("from %d:\n%s", from, diff)
		}
	}
	for r, err := range w.Store.ReadStream(w.ctx, stream, 0) {
		if err != nil {
			w.Fatal(err)
		}
		if r.Revision == 4 {
			break // leaving early must be possible
		}
	}
}

func longStream(w *world) {
	stream, after := w.stream(), nothing
	const batches, size = 12, 100
	for i := range batches {
		after = tip(w.write(stream, after, events(size, i*size)))
	}
	if diff := cmp.Diff(numbers(0, batches*size), operations(w.read(stream, 0))); diff != "" {
		w.Error(diff)
	}
}

func missingStream(w *world) {
	stream := w.stream()
	if recorded := w.read(stream, 0); len(recorded) != 0 {
		w.Errorf("%d events", len(recorded))
	}
	if _, ok, err := w.Store.ReadLast(w.ctx, stream); ok || err != nil {
		w.Errorf("newest of a missing stream: %v, %v", ok, err)
	}
}

func keepNewest(w *world) {
	stream := w.stream()
	after := w.write(stream, nothing, events(5, 0))
	for _, keep := range []int{2, 2, 3} {
		if err := w.Store.KeepNewest(w.ctx, stream, keep); err != nil {
			w.Fatal(err)
		}
		if diff := cmp.Diff(numbers(5-keep, keep), operations(w.read(stream, 0))); diff != "" {
			w.Errorf("keeping %d:\n%s", keep, diff)
		}
	}
	if next := w.write(stream, tip(after), events(1, 5)); next.Revision != 5 {
		w.Errorf("revisions begin anew: %+v", next)
	}
	if diff := cmp.Diff(numbers(3, 3), operations(w.read(stream, 0))); diff != "" {
		w.Error(diff)
	}
	// A stream may be bounded before its first event.
	early := w.stream()
	if err := w.Store.KeepNewest(w.ctx, early, 1); err != nil {
		w.Fatal(err)
	}
	w.write(early, nothing, events(3, 0))
	if diff := cmp.Diff(numbers(2, 1), operations(w.read(early, 0))); diff != "" {
		w.Error(diff)
	}
}

func undecodable(w *world) {
	stream := w.stream()
	after := w.write(stream, nothing, events(1, 0))
	if err := w.Foreign(w.ctx, stream, after.Revision, "NeverHeardOf", `{"a":1}`); err != nil {
		w.Fatal(err)
	}
	if err := w.Foreign(w.ctx, stream, after.Revision+1, "OrderShipped", `{"carrier":5}`); err != nil {
		w.Fatal(err)
	}
	w.write(stream, domain.Tip{Revision: 3 - 1, Hash: "x"}, events(1, 3))
	var codes []string
	revision := int64(0)
	for r, err := range w.Store.ReadStream(w.ctx, stream, 0) {
		if r.Stream != stream || r.Revision != revision || r.Type == "" || r.ID == "" || r.Position == 0 {
			w.Errorf("place lost: %+v", r)
		}
		revision++
		if err != nil {
			w.kind(err, domain.KindUndecodable)
			codes = append(codes, domain.CodeOf(err))
		}
	}
	if diff := cmp.Diff([]string{"unknown_event_type", "unreadable_event"}, codes); diff != "" || revision != 4 {
		w.Errorf("%d events:\n%s", revision, diff)
	}
	w.delivered([]string{"", "unknown_event_type", "unreadable_event", ""})
}

// delivered checks what a tail and a group make of the case's only stream; codes are those of the
// deliveries' errors.
func (w *world) delivered(codes []string) {
	w.Helper()
	t, c := w.tail(domain.From{}, w.prefix()), w.consume(w.group(), nil)
	for name, given := range map[string]func() []domain.Delivery{"tail": t.deliveries, "group": c.deliveries} {
		w.eventually("the "+name+" has everything", func() bool { return len(given()) >= len(codes) })
		for _, delivery := range given() {
			code := ""
			if delivery.Err != nil {
				w.kind(delivery.Err, domain.KindUndecodable)
				code = domain.CodeOf(delivery.Err)
			}
			if code != codes[delivery.Revision] || delivery.ID == "" || delivery.Type == "" {
				w.Errorf("%s: delivery %+v", name, delivery)
			}
		}
	}
}

func endedContext(w *world) {
	stream := w.stream()
	ended, cancel := context.WithCancel(w.ctx)
	cancel()
	_, err := w.Store.Append(ended, stream, nothing, events(1, 0))
	w.kind(err, domain.KindUnavailable)
	_, _, err = w.Store.ReadLast(ended, stream)
	w.kind(err, domain.KindUnavailable)
	w.kind(w.Store.KeepNewest(ended, stream, 1), domain.KindUnavailable)
	calls := 0
	for _, err := range w.Store.ReadStream(ended, stream, 0) {
		calls++
		w.kind(err, domain.KindUnavailable)
	}
	if calls != 1 {
		w.Errorf("a read that can't begin yields %d times", calls)
	}
	if recorded := w.read(stream, 0); len(recorded) != 0 {
		w.Errorf("%d events were written", len(recorded))
	}
}
