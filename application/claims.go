package application

import (
	"context"
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// claimPrefix stands before the id of the command that a claim is of.
const claimPrefix = "idempotency-"

// claim is what the stream of an idempotency key says. A keyed command writes its claim after it was
// decided and before its events, so that a refusal leaves no trace and a crash between the two only a
// claim, which the next try finds and completes. Every attempt claims anew behind the claims it has
// read: that way twins in other processes notice each other even where nothing is appended to the
// aggregate itself.
type claim struct {
	found    bool
	revision int64  // of the newest claim
	hash     string // of that claim's event
	first    int64  // revision of the aggregate at the first claim: its events come later
	empty    bool   // the command had nothing to change; the answer is the aggregate
	after    int64  // at this revision
}

// recall reads the claim of a keyed command, and refuses a key that stands for another request. The
// claim names the stream: that of a creation is known from there only.
func (x *execution[S]) recall(ctx context.Context) error {
	if !x.command.Keyed {
		return nil
	}
	read := claim{revision: domain.NoStream}
	stream := ""
	err := x.e.read(ctx, claimPrefix+x.command.ID, 0, func(r domain.Recorded) error {
		claimed, ok := r.Event.(domain.KeyClaimed)
		if !ok {
			return defect(fmt.Sprintf("Stream %q holds an event %q.", r.Stream, r.Type))
		}
		if claimed.Operation != x.command.Operation || claimed.RequestHash != x.command.RequestHash {
			return keyReused()
		}
		if !read.found {
			read.found, read.first, stream = true, claimed.After, claimed.Stream
		}
		read.revision, read.hash = r.Revision, r.Meta.Hash
		read.empty, read.after = claimed.Empty, claimed.After
		return nil
	})
	if err != nil {
		return err
	}
	x.claim = read
	switch {
	case !read.found || stream == x.stream:
		return nil
	case x.task.ID == "" && domain.Category(stream) == x.task.Aggregate.Category:
		x.name(domain.StreamID(stream))
		return nil
	default:
		return keyReused()
	}
}

// claimKey binds the key to what is about to be done at current.
func (x *execution[S]) claimKey(ctx context.Context, current Loaded[S], empty bool) error {
	if !x.command.Keyed {
		return nil
	}
	// The id is a fresh one: with one that twins share, the store would take the second claim for a
	// repeat of the first and let both believe that theirs counts.
	id := x.e.options.NewID().String()
	tip := domain.Tip{Revision: x.claim.revision, Hash: x.claim.hash}
	appended, err := x.e.append(ctx, claimPrefix+x.command.ID, tip, []domain.Proposed{{
		ID: id,
		Event: domain.KeyClaimed{
			Operation: x.command.Operation, Stream: x.stream, RequestHash: x.command.RequestHash,
			After: current.Revision, Empty: empty,
		},
		Meta: domain.Meta{
			CorrelationID: orDefault(x.command.CorrelationID, x.command.ID),
			CausationID:   orDefault(x.command.CausationID, x.command.ID),
			CommandID:     x.command.ID, RequestHash: x.command.RequestHash, Actor: x.command.Actor,
			BatchSize: 1, At: x.now, TraceParent: x.command.TraceParent,
		},
	}})
	switch domain.KindOf(err) {
	case domain.KindUnknown:
		// Of the command itself nothing was done, so it may simply start over: that reads the claim.
		return errAgain{}
	case domain.KindConflict:
		return errAgain{}
	}
	if err != nil {
		return err
	}
	x.claim.revision, x.claim.hash = appended.Revision, appended.Hash
	return nil
}

func keyReused() error {
	return &domain.Error{
		Kind: domain.KindInvalid, Code: "idempotency_key_reused",
		Message: "The idempotency key was used for another request before.",
	}
}
