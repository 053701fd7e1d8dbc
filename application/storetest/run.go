// Package storetest is the contract that every event store must pass, in full and unchanged: Run for
// the ports EventStore, Subscriptions and Groups of package application. It also has Faulty, a wrapper
// that injects faults and delays at those ports, for tests of everything above them.
//
// The suite names its streams and groups anew in every run, so that it may run against a server that
// holds other things, and many times against the same one.
package storetest

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// Subject is what the suite tests: the ports of one store, and a way around them to put an event into
// the log that no release of ours has written.
type Subject struct {
	Store         application.EventStore
	Subscriptions application.Subscriptions
	Groups        application.Groups
	Foreign       func(ctx context.Context, stream string, after int64, eventType, data string) error
}

// patience bounds what must end by itself. Only a test that fails needs it, so it is generous.
const patience = time.Minute

// Run holds a store to its contract. open is called once for each case and may give the same store.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	cases := []struct {
		name string
		test func(*world)
	}{
		{"what is appended is read back", appendedIsRead},
		{"an append is all or nothing and exactly there", exactRevision},
		{"a repeated append succeeds with the first answer", repeatedAppend},
		{"of two writers one wins", racingWriters},
		{"a stream is read from any revision", readFrom},
		{"a long stream is read whole", longStream},
		{"a missing stream is empty", missingStream},
		{"a stream can be bounded to its newest events", keepNewest},
		{"an event that can't be read is handed over with an error", undecodable},
		{"a context that has ended ends calls with nothing done", endedContext},
		{"a tail gives history, then what comes", tailHistory},
		{"a tail goes on from its checkpoint without gap or repeat", tailResumes},
		{"a tail from the end sees only what comes", tailFromEnd},
		{"a tail ends with its handler's error", tailHandlerError},
		{"a group delivers everything at least once", consumeAll},
		{"consumers of a group share its work", consumersShare},
		{"an outcome decides what becomes of a delivery", outcomes},
		{"a panic of the handler is a retry of its event", handlerPanics},
		{"parked events are listed and replayed", parkedReplay},
		{"a group is administered", administered},
		{"a group is reset under its consumers", resetConsumed},
		{"a group is made with settings, and they are changed", settingsChanged},
		{"settings that no group can have are refused", settingsRefused},
		{"a group that starts at the end is not sent back by a change", changedAtTheEnd},
		{"a group is changed under its consumers", changedConsumed},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			t.Cleanup(cancel)
			c.test(&world{T: t, ctx: ctx, Subject: open(t), category: "t" + uuid.NewString()[:8]})
		})
	}
}

// world is one case's own corner of a store.
type world struct {
	*testing.T
	Subject
	ctx      context.Context
	category string
}

func (w *world) prefix() string { return w.category + "-" }

func (w *world) stream() string { return domain.Stream(w.category, uuid.NewString()) }

// events makes n events of one command; they differ in Operation.
func events(n int, from int) []domain.Proposed {
	command := uuid.NewString()
	proposed := make([]domain.Proposed, n)
	for i := range proposed {
		proposed[i] = domain.Proposed{
			ID:    uuid.NewString(),
			Event: domain.KeyClaimed{Operation: fmt.Sprint(from + i), Stream: "s", RequestHash: "h"},
			Meta: domain.Meta{CorrelationID: "corr", CausationID: "cause", CommandID: command, Actor: "ann", BatchIndex: i, BatchSize: n,
				At: time.Date(2026, 3, 1, 12, 0, 0, i*1000, time.UTC), TraceParent: "00-a-b-01"},
		}
	}
	return proposed
}

var nothing = domain.Tip{Revision: domain.NoStream}

func tip(appended domain.Appended) domain.Tip {
	return domain.Tip{Revision: appended.Revision, Hash: appended.Hash}
}

// write appends and must succeed.
func (w *world) write(stream string, after domain.Tip, proposed []domain.Proposed) domain.Appended {
	w.Helper()
	appended, err := w.Store.Append(w.ctx, stream, after, proposed)
	if err != nil {
		w.Fatalf("append to %s: %v", stream, err)
	}
	return appended
}

// read gives a stream's events from a revision on and must succeed.
func (w *world) read(stream string, from int64) []domain.Recorded {
	w.Helper()
	return w.all(w.Store.ReadStream(w.ctx, stream, from))
}

func (w *world) all(sequence iter.Seq2[domain.Recorded, error]) []domain.Recorded {
	w.Helper()
	var recorded []domain.Recorded
	for r, err := range sequence {
		if err != nil {
			w.Fatalf("read: %v", err)
		}
		recorded = append(recorded, r)
	}
	return recorded
}

// operations are what tells events apart.
func operations(recorded []domain.Recorded) []string {
	names := make([]string, len(recorded))
	for i, r := range recorded {
		names[i] = operation(r)
	}
	return names
}

func operation(r domain.Recorded) string {
	claimed, ok := r.Event.(domain.KeyClaimed)
	if !ok {
		return fmt.Sprintf("%s@%d", r.Type, r.Revision)
	}
	return claimed.Operation
}

// numbers are the operations that events(n, from) makes.
func numbers(from, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(from + i)
	}
	return names
}

// kind must be that of err.
func (w *world) kind(err error, want domain.Kind) {
	w.Helper()
	if err == nil || domain.KindOf(err) != want {
		w.Fatalf("error %v, want kind %d", err, want)
	}
}

// eventually polls until ok or the case's time is up.
func (w *world) eventually(what string, ok func() bool) {
	w.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-w.ctx.Done():
			w.Fatalf("never happened: %s", what)
		case <-tick.C:
		}
	}
}
