package application

import (
	"context"
	"errors"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// append writes what was decided behind the state it was decided on.
func (x *execution[S]) append(ctx context.Context, v verdict[S]) (Result[S], error) {
	proposed, tip := x.propose(v.events), v.current.tip()
	appended, err := x.e.append(ctx, x.stream, tip, proposed)
	if domain.KindOf(err) == domain.KindUnknown {
		appended, err = x.findOut(ctx, tip, proposed)
		x.e.hooks.Unknown(x.stream, domain.KindOf(err) != domain.KindUnknown)
	}
	if err != nil {
		return Result[S]{}, again(err)
	}
	if repeatable(x.id) {
		if err := x.confirm(ctx, appended); err != nil {
			return Result[S]{}, err
		}
	}
	after := x.fold(v.current, proposed)
	after.Meta.Hash, after.Position = appended.Hash, appended.Position
	if after.Revision != appended.Revision {
		x.e.cache.drop(x.stream)
		return Result[S]{}, defect("The store appended at another revision than the one that was asked for.")
	}
	remember(x.e, x.task.Aggregate, after)
	result := x.result(after)
	result.Created = !v.current.Exists()
	return result, nil
}

// again turns a failed expectation into another attempt.
func again(err error) error {
	if domain.KindOf(err) != domain.KindConflict {
		return err
	}
	conflict, _ := errors.AsType[*domain.Error](err)
	return errAgain{revision: conflict.Revision}
}

// append is one append. It leaves a part of what is borne of the store's silence for finding out what
// became of it.
func (e *Executor) append(ctx context.Context, stream string, tip domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	patience, began := e.patienceOf(ctx), time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, patience.bears()*3/4, errSilent)
	defer cancel()
	appended, err := e.store.Append(ctx, stream, tip, events)
	if kind := domain.KindOf(err); kind == domain.KindUnavailable || kind == domain.KindUnknown {
		patience.spend(time.Since(began))
	}
	return appended, err
}

// findOut settles an append that had no answer, for as long as its silence is borne. The stream tells: if the event
// behind tip is the command's, it was done; if it is another's, it was not and can't be any more, for
// its expectation can't hold again. If there is none yet, the very same append is sent once more: the
// store takes events of the same ids at the same place only once.
func (x *execution[S]) findOut(ctx context.Context, tip domain.Tip, proposed []domain.Proposed) (domain.Appended, error) {
	patience := x.e.patienceOf(ctx)
	ctx, cancel := context.WithTimeoutCause(ctx, patience.bears(), errSilent)
	defer cancel()
	for attempt := 1; ; attempt++ {
		next, err := x.e.eventAt(ctx, x.stream, tip.Revision+1)
		switch {
		case err == nil && next == nil:
			var appended domain.Appended
			if appended, err = x.e.append(ctx, x.stream, tip, proposed); err == nil {
				return appended, nil
			}
		case err == nil && next.Meta.CommandID == x.command.ID:
			x.landed, x.done = true, true // the next attempt answers with what is in the stream
			return domain.Appended{}, errAgain{revision: &next.Revision}
		case err == nil:
			return domain.Appended{}, errAgain{revision: &next.Revision}
		}
		if patience.bears() == 0 || pause(ctx, min(time.Duration(attempt)*5*time.Millisecond, 50*time.Millisecond)) != nil {
			return domain.Appended{}, outcomeUnknown(err, "The event store did not say whether the command was carried out.")
		}
	}
}

// confirm makes sure that the events in the stream are those that this process appended. The store counts
// an append as done when events of the same ids are there already, and a twin of the command in another
// process makes the same ids; what it decided may still differ in its time, its trace or a price. Then the
// twin's events are the truth, and the next attempt answers with them.
func (x *execution[S]) confirm(ctx context.Context, appended domain.Appended) error {
	stored, err := x.e.eventAt(ctx, x.stream, appended.Revision)
	if err != nil {
		x.e.cache.drop(x.stream)
		return outcomeUnknown(err, "The event store did not confirm the command.")
	}
	if stored == nil || stored.Meta.Hash != appended.Hash {
		x.done = true
		return errAgain{revision: &appended.Revision}
	}
	return nil
}

// outcomeUnknown says that a command may have been carried out, or was without an answer to give.
func outcomeUnknown(cause error, what string) *domain.Error {
	return &domain.Error{
		Kind: domain.KindUnknown, Code: "outcome_unknown", Err: cause,
		Message: what + " Send it again with the same Idempotency-Key.",
	}
}

// eventAt reads one event; nil if the stream ends before.
func (e *Executor) eventAt(ctx context.Context, stream string, revision int64) (*domain.Recorded, error) {
	var event *domain.Recorded
	err := e.read(ctx, stream, revision, func(r domain.Recorded) error {
		event = &r
		return errPast
	})
	if errors.Is(err, errPast) {
		err = nil
	}
	return event, err
}
