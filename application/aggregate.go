package application

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Aggregate says how the streams of one category are folded and what the executor may know of the
// result. It is a value without state of its own; each aggregate's file declares one.
type Aggregate[S any] struct {
	Category string // of the streams: "order"
	Noun     string // for refusals: "order"

	// Fold is the version of Apply and of S. It goes up with every change that makes either fold
	// the same events to something else, or to something that old snapshots lack; snapshots of
	// another version are not used.
	Fold int

	// Apply gives the state after r. It must not change what earlier states hold: states are kept.
	Apply func(S, domain.Recorded) S

	// Owner is the customer whom the state belongs to; nil where things belong to nobody.
	Owner func(S) string

	// Weigh estimates the bytes that a state holds; nil counts states as small.
	Weigh func(S) int

	// Long tells that streams commonly outgrow a snapshot's distance, so that it pays to ask for a
	// snapshot first. Otherwise one is looked for only where a stream turns out to be long.
	Long bool
}

// Loaded is an aggregate as it was read.
type Loaded[S any] struct {
	ID       string
	Stream   string
	State    S
	Revision int64       // of the last event folded in; domain.NoStream if there is none
	Position uint64      // of that event in the whole log; 0 where it isn't known
	Meta     domain.Meta // of that event

	commands   recent    // the newest commands seen in the stream
	snapshot   int64     // revision of the newest snapshot known, domain.NoStream if none is
	snapshotAt time.Time // when that was taken
	events     int       // how many events this load read
	touched    time.Time // when this process read or wrote it, by the machine's clock
	foreign    time.Time // when it last found somebody else's events in the stream, likewise
}

// Exists tells whether the stream has any event.
func (l Loaded[S]) Exists() bool { return l.Revision > domain.NoStream }

// tip is what an append after this load expects.
func (l Loaded[S]) tip() domain.Tip {
	return domain.Tip{Revision: l.Revision, Hash: l.Meta.Hash}
}

// with is the load after one more event.
func (l Loaded[S]) with(aggregate *Aggregate[S], r domain.Recorded) Loaded[S] {
	l.State = aggregate.Apply(l.State, r)
	l.Revision, l.Position, l.Meta = r.Revision, r.Position, r.Meta
	l.commands = l.commands.with(r.Meta.CommandID, r.Revision)
	return l
}

func (a *Aggregate[S]) empty(id string) Loaded[S] {
	return Loaded[S]{
		ID: id, Stream: domain.Stream(a.Category, id),
		Revision: domain.NoStream, snapshot: domain.NoStream,
	}
}

// Task is what one command wants of one aggregate.
type Task[S any] struct {
	Aggregate *Aggregate[S]

	// ID of the aggregate; empty makes a new one, with a UUIDv7 that derives from the command's id
	// and the time of its first claim.
	ID string

	// Creates allows the stream not to exist yet. Without it that is KindNotFound.
	Creates bool

	// Decide gives the events that the command makes of the current state, none if nothing has to
	// change, or a *domain.Error. It may be called several times, with newer states, and must not
	// have effects. It runs only after repeats were recognised.
	Decide func(ctx context.Context, current Loaded[S]) ([]domain.Event, error)
}
