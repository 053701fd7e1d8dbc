package application

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
)

// Execute carries out one command on one stream: it loads the aggregate, answers with the first answer if
// the command was carried out before, else lets the task decide and appends at exactly the revision that
// was decided on. When somebody else wrote first it starts over, a bounded number of times.
//
// Errors are the task's refusals and *domain.Error of
//   - KindInvalid idempotency_key_reused: the command's id stands for another request;
//   - KindNotFound: there is no such aggregate, or it isn't Command.Customer's;
//   - KindMismatch revision_mismatch with Revision: Command.IfRevision isn't the current one;
//   - KindConflict revision_conflict with Revision: others kept writing first;
//   - KindUnavailable: the store can't be reached, or too many commands wait; nothing was done;
//   - KindUnknown outcome_unknown: the store didn't say whether the append was done.
//
// After KindUnknown, and after a crash, the same command may be sent again if its id derives from a key:
// it is applied once. ctx bounds everything; besides, the store may not stay silent for Options.StoreWait,
// all calls of the command together.
func Execute[S any](ctx context.Context, e *Executor, command Command, task Task[S]) (Result[S], error) {
	x, err := newExecution(e, command, task)
	if err != nil {
		return Result[S]{}, err
	}
	result, err := x.run(e.patient(ctx))
	if err != nil {
		return Result[S]{}, err
	}
	if result.Replayed {
		e.hooks.Replayed(command.Operation)
	}
	return result, nil
}

// execution is one command on its way.
type execution[S any] struct {
	e       *Executor
	command Command
	id      uuid.UUID // of the command
	task    Task[S]
	now     time.Time // of the command; events of all attempts carry it

	entity  string // id of the aggregate, as far as known
	stream  string
	claim   claim
	claimID string // event id of the claim that was sent last

	unread bool // starting over: what was read before is old
	landed bool // an append without answer turned out done: the caller has had no answer yet
	done   bool // the command's events are in the stream, by this append or by a twin's
}

// errAgain makes an execution start over. Its revision is the current one if known.
type errAgain struct{ revision *int64 }

func (errAgain) Error() string { return "somebody else wrote first" }

func newExecution[S any](e *Executor, command Command, task Task[S]) (*execution[S], error) {
	if command.ID == "" {
		command.ID = e.options.NewID().String()
	}
	id, err := uuid.Parse(command.ID)
	if err != nil {
		return nil, defect(fmt.Sprintf("The command's id %q is not a UUID.", command.ID))
	}
	command.ID = id.String()
	x := &execution[S]{e: e, command: command, id: id, task: task, now: stamp(e.options.Clock)}
	x.name(task.ID)
	switch {
	case task.ID == "":
		if repeatable(id) && !command.Keyed {
			return nil, defect("A repeatable command that makes an aggregate must be keyed: the claim fixes the new id.")
		}
		x.task.Creates = true
		x.name(aggregateID(id, x.now))
	case !isName(task.ID):
		return nil, domain.NotFound(task.Aggregate.Noun, task.ID)
	}
	return x, nil
}

func (x *execution[S]) name(entity string) {
	x.entity, x.stream = entity, domain.Stream(x.task.Aggregate.Category, entity)
}

func (x *execution[S]) run(ctx context.Context) (Result[S], error) {
	if x.command.DryRun {
		if err := x.recall(ctx); err != nil {
			return Result[S]{}, err
		}
		return x.attempt(ctx)
	}
	if !x.command.Keyed {
		return x.inTurn(ctx, x.stream, x.attempts)
	}
	// Twins of a keyed command wait for each other first: they would only run into each other's claims.
	return x.inTurn(ctx, claimPrefix+x.command.ID, func(ctx context.Context) (Result[S], error) {
		if err := x.recall(ctx); err != nil { // tells which stream, too
			return Result[S]{}, err
		}
		return x.inTurn(ctx, x.stream, x.attempts)
	})
}

// inTurn runs do once it is this command's turn on stream.
func (x *execution[S]) inTurn(ctx context.Context, stream string, do func(context.Context) (Result[S], error)) (Result[S], error) {
	began := time.Now()
	leave, waited, err := x.e.queue.enter(ctx, stream)
	if waited {
		x.e.hooks.Queued(x.task.Aggregate.Category, time.Since(began))
	}
	if err != nil {
		return Result[S]{}, err
	}
	began = time.Now()
	var silent error
	defer func() { leave(silent) }()
	result, err := do(ctx)
	if kind := domain.KindOf(err); err != nil && (kind == domain.KindUnavailable || kind == domain.KindUnknown) &&
		time.Since(began) >= x.e.options.StoreWait/2 {
		silent = storeSilent(err)
	}
	return result, err
}

// attempts starts over until the command is settled.
//
// On a stream that several processes write, each command pauses a little before it reads, at random, and
// the less the more often it has lost. The other way round, with losers that wait ever longer, a process
// that has just won would go on winning and the others would starve. It can't become a storm: of each
// process only one command at a time is through to the stream.
func (x *execution[S]) attempts(ctx context.Context) (Result[S], error) {
	revision := domain.NoStream
	for attempt := 1; ; attempt++ {
		result, err := x.attempt(ctx)
		again, ok := errors.AsType[errAgain](err)
		if !ok {
			return result, x.known(err)
		}
		x.unread = true
		if again.revision != nil {
			revision = *again.revision
		}
		x.e.hooks.Conflict(x.task.Aggregate.Category, x.command.Operation, attempt)
		if attempt >= x.e.options.Attempts {
			return result, &domain.Error{
				Kind: domain.KindConflict, Code: "revision_conflict", Revision: &revision,
				Message: "Others kept changing the " + x.task.Aggregate.Noun + " at the same time.",
			}
		}
		if err := pause(ctx, x.e.options.Backoff/time.Duration(attempt+1)); err != nil {
			return result, x.known(err)
		}
	}
}

// known corrects "nothing was done" once the command was: only its answer could not be read then.
func (x *execution[S]) known(err error) error {
	if !x.done || domain.KindOf(err) != domain.KindUnavailable {
		return err
	}
	return outcomeUnknown(err, "The command was carried out, but the event store did not say with what result.")
}

// attempt settles the command at the revision that it finds, or fails with errAgain.
func (x *execution[S]) attempt(ctx context.Context) (Result[S], error) {
	v, err := x.settle(ctx)
	switch {
	case err != nil:
		return Result[S]{}, err
	case v.repeats:
		return x.replay(ctx, v)
	case x.command.DryRun:
		return x.foresee(v), nil
	}
	if err := x.claimKey(ctx, v.current.Revision, len(v.events) == 0); err != nil {
		return Result[S]{}, err
	}
	if len(v.events) == 0 {
		return x.result(v.current), nil
	}
	return x.append(ctx, v)
}

// verdict is what became of a command at one state of its aggregate.
type verdict[S any] struct {
	current Loaded[S]
	events  []domain.Event
	repeats bool  // the command was carried out before,
	at      int64 // and this revision was its answer
}

// settle decides on a state that may be a cached one. A cached state may be old. That does no harm where
// events come of it, since their append then fails, nor to a repeat, since the past doesn't change;
// everything else is only said of a state that was read to its end.
func (x *execution[S]) settle(ctx context.Context) (verdict[S], error) {
	if x.unheardOf() {
		return x.consider(ctx, x.task.Aggregate.empty(x.entity))
	}
	if current, ok := cacheGet[S](x.e.cache, x.stream); ok && !x.unread && !x.command.DryRun {
		if current.hot() {
			v, err := x.consider(ctx, current)
			if err == nil && (v.repeats || len(v.events) > 0) || failed(err) {
				x.e.hooks.Loaded(x.task.Aggregate.Category, FromCache, 0)
				return v, err
			}
		} else if current.contended() {
			if err := pause(ctx, x.e.options.Backoff); err != nil {
				return verdict[S]{}, err
			}
		}
	}
	current, err := Load(ctx, x.e, x.task.Aggregate, x.entity)
	if err == nil && x.unread {
		current, err = x.recallAfter(ctx, current)
	}
	if err != nil {
		return verdict[S]{}, err
	}
	return x.consider(ctx, current)
}

// unheardOf says that the aggregate to be made has an id that this execution has just thought of: without a
// claim nobody has written under it, and reading would find nothing. Should somebody have, the append
// fails, since it expects no stream, and what starts over reads.
func (x *execution[S]) unheardOf() bool {
	return x.task.ID == "" && !x.claim.found && !x.unread && x.command.IfRevision == nil
}

// failed tells an error that a newer state would not change.
func failed(err error) bool {
	switch domain.KindOf(err) {
	case domain.KindUnavailable, domain.KindUnknown, domain.KindUndecodable:
		return true
	}
	return false
}

func (x *execution[S]) consider(ctx context.Context, current Loaded[S]) (verdict[S], error) {
	v := verdict[S]{current: current}
	aggregate := x.task.Aggregate
	if current.Exists() && !aggregate.shows(current.State, x.command.Customer) || !current.Exists() && !x.task.Creates {
		return v, domain.NotFound(aggregate.Noun, x.entity)
	}
	var err error
	if v.at, v.repeats, err = x.answeredAt(ctx, current); err != nil || v.repeats {
		return v, err
	}
	if want := x.command.IfRevision; want != nil && *want != current.Revision {
		return v, mismatch(aggregate.Noun, current.Revision, *want)
	}
	if v.events, err = x.task.Decide(ctx, current); err != nil {
		return v, err
	}
	if len(v.events) == 0 && !current.Exists() {
		return v, defect("A command made nothing out of nothing.")
	}
	return v, nil
}

// mismatch refuses a command that demands another revision than the current one; a negative one is
// none that there can be.
func mismatch(noun string, current, want int64) error {
	wanted := strconv.FormatInt(want, 10)
	if want < 0 {
		wanted = "what was demanded"
	}
	return &domain.Error{
		Kind: domain.KindMismatch, Code: "revision_mismatch", Revision: &current,
		Message: fmt.Sprintf("The %s is at revision %d, not at %s.", noun, current, wanted),
	}
}

// answeredAt finds the revision that an earlier run of this command answered with.
func (x *execution[S]) answeredAt(ctx context.Context, current Loaded[S]) (int64, bool, error) {
	if at, ok := current.commands.find(x.id); ok {
		return at, true, nil
	}
	if x.claim.empty && x.claim.after <= current.Revision {
		return x.claim.after, true, nil
	}
	if !x.claim.found || !current.commands.full() {
		return 0, false, nil
	}
	// The key is an old one and the state no longer remembers that far back: ask the stream itself.
	return x.search(ctx, x.claim.first+1, current.commands.oldest())
}

// search looks for the command's last event in a part of the stream.
func (x *execution[S]) search(ctx context.Context, from, until int64) (at int64, found bool, err error) {
	err = x.e.read(ctx, x.stream, from, func(r domain.Recorded) error {
		if r.Meta.CommandID == x.command.ID {
			at, found = r.Revision, true
			return nil
		}
		if found || r.Revision > until {
			return errPast
		}
		return nil
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	return at, found, err
}

// replay gives the first answer again: the aggregate as it was after the command's last event.
func (x *execution[S]) replay(ctx context.Context, v verdict[S]) (Result[S], error) {
	was := v.current
	if v.at != was.Revision {
		var err error
		if was, err = stateAt(ctx, x.e, x.task.Aggregate, x.entity, Point{Revision: &v.at}); err != nil {
			return Result[S]{}, err
		}
	}
	ours := was.Meta.CommandID == x.command.ID
	if ours && was.Meta.RequestHash != "" && x.command.RequestHash != "" && was.Meta.RequestHash != x.command.RequestHash {
		return Result[S]{}, keyReused()
	}
	result := x.result(was)
	result.Replayed = !x.landed
	result.Created = ours && was.Revision == int64(was.Meta.BatchIndex)
	return result, nil
}

// foresee is what the command would answer.
func (x *execution[S]) foresee(v verdict[S]) Result[S] {
	if len(v.events) == 0 {
		return x.result(v.current)
	}
	after := x.fold(v.current, x.propose(v.events))
	result := x.result(after)
	result.Created = !v.current.Exists()
	return result
}

func (x *execution[S]) result(l Loaded[S]) Result[S] {
	return Result[S]{ID: x.entity, Stream: x.stream, State: l.State, Revision: l.Revision, Meta: l.Meta}
}

// propose puts events into their envelopes.
func (x *execution[S]) propose(events []domain.Event) []domain.Proposed {
	proposed := make([]domain.Proposed, len(events))
	for i, event := range events {
		proposed[i] = domain.Proposed{ID: eventID(x.id, x.stream, i), Event: event, Meta: x.meta(i, len(events))}
	}
	return proposed
}

func (x *execution[S]) meta(index, size int) domain.Meta {
	return domain.Meta{
		CorrelationID: cmp.Or(x.command.CorrelationID, x.command.ID),
		CausationID:   cmp.Or(x.command.CausationID, x.command.ID),
		CommandID:     x.command.ID, RequestHash: x.command.RequestHash, Actor: x.command.Actor,
		BatchIndex: index, BatchSize: size,
		At: x.now, TraceParent: x.command.TraceParent,
	}
}

func (x *execution[S]) fold(current Loaded[S], proposed []domain.Proposed) Loaded[S] {
	for _, p := range proposed {
		current = current.with(x.task.Aggregate, recorded(p, x.stream, current.Revision+1))
	}
	return current
}
