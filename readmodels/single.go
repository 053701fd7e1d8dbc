package readmodels

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// single completes the answer about one document.
func (r *Reader) single(ctx context.Context, m *Model, ask Ask, sources map[string]int64, id string, body any) (Answer, error) {
	answer := Answer{Body: body, Reflects: reflects(sources), ETag: strconv.FormatInt(sources[m.streams(id)[0]], 10), Lag: r.lagOf(m)}
	if ask.Explain {
		explained, err := r.explained(ctx, m, id, sources, body)
		if err != nil {
			return Answer{}, err
		}
		answer.Body = explained
	}
	return answer, nil
}

// wholeItem is Screen.Item of an answer about the document that a parameter names.
func wholeItem(answer func(context.Context, *Reader, Ask) (Answer, error), param string) func(context.Context, *Reader, Ask, Change) (any, bool, error) {
	return func(ctx context.Context, r *Reader, ask Ask, change Change) (any, bool, error) {
		if change.Document != ask.param(param) {
			return nil, false, nil
		}
		return bodyOf(answer(ctx, r, ask))
	}
}

// bodyOf turns an answer into an item; what does not exist does not show.
func bodyOf(a Answer, err error) (any, bool, error) {
	if domain.KindOf(err) == domain.KindNotFound && err != nil {
		return nil, false, nil
	}
	return a.Body, err == nil, err
}

// owned refuses what belongs to another customer as if it did not exist.
func (a Ask) owned(customer, what, id string) error {
	if a.Customer != "" && customer != a.Customer {
		return a.missing(what, id)
	}
	return nil
}

// missing is the refusal for what does not exist, or did not at the time that was asked for. It says the
// same about an unknown thing and about a revision that the thing does not have, so that nobody learns
// from it whether something of another customer exists.
func (a Ask) missing(what, id string) error {
	refusal := domain.NotFound(what, id)
	switch {
	case a.Revision != nil:
		refusal.Message = fmt.Sprintf("There is no %s %q at revision %d.", what, id, *a.Revision)
	case !a.AsOf.IsZero():
		refusal.Message = fmt.Sprintf("There was no %s %q at %s.", what, id, a.AsOf.UTC().Format(time.RFC3339Nano))
	}
	return refusal
}
