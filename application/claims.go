package application

import (
	"context"
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// claimPrefix stands before the id of the command that a claim is of.
const claimPrefix = "idempotency-"

// claim is what the stream of an idempotency key says.
//
// A keyed command writes its claim after it was decided and before its events, so that a refusal leaves no
// trace and a crash between the two only a claim, which the next try finds and completes. Later claims in
// the same stream are fences between twins in several processes: they matter where one twin finds that
// nothing has to change while another one appends, for those two don't meet in the aggregate's stream. So
//   - events are appended only if the newest claim, as read after the state, is the twin's own, or else
//     after a claim of its own behind it;
//   - "nothing to change" is recorded only behind a claim of the twin's own that is older than the state,
//     or as the very first claim.
//
// Either way one of the two fails, by the expected revision of a claim or of the aggregate.
type claim struct {
	found    bool
	own      bool   // this execution wrote the newest claim
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
		read.revision, read.hash, read.own = r.Revision, r.Meta.Hash, r.ID == x.claimID
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

// recallAfter reads the claim again after the state was read, and the state of the stream that the claim
// names if that is another one.
func (x *execution[S]) recallAfter(ctx context.Context, current Loaded[S]) (Loaded[S], error) {
	if err := x.recall(ctx); err != nil || x.stream == current.Stream {
		return current, err
	}
	return Load(ctx, x.e, x.task.Aggregate, x.entity)
}

// claimKey binds the key to what is about to be done: to append behind revision, or to answer with it.
func (x *execution[S]) claimKey(ctx context.Context, revision int64, empty bool) error {
	if !x.command.Keyed || x.claim.own && !empty {
		return nil
	}
	fence := empty && x.claim.found && !x.claim.own
	// The id is a fresh one: with one that twins share, the store would take the second claim for a
	// repeat of the first and let both believe that theirs counts.
	x.claimID = x.e.options.NewID().String()
	tip := domain.Tip{Revision: x.claim.revision, Hash: x.claim.hash}
	_, err := x.e.append(ctx, claimPrefix+x.command.ID, tip, []domain.Proposed{{
		ID: x.claimID,
		Event: domain.KeyClaimed{
			Operation: x.command.Operation, Stream: x.stream, RequestHash: x.command.RequestHash,
			After: revision, Empty: empty && !fence,
		},
		Meta: x.meta(0, 1),
	}})
	switch domain.KindOf(err) {
	case domain.KindConflict, domain.KindUnknown:
		// Of the command itself nothing was done, so it may simply start over: that reads the claim.
		return errAgain{}
	}
	if err == nil && fence {
		return errAgain{}
	}
	return err
}

func keyReused() error {
	return &domain.Error{
		Kind: domain.KindInvalid, Code: "idempotency_key_reused",
		Message: "The idempotency key was used for another request before.",
	}
}
