package main

import (
	"context"
	"errors"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// feed gives the read models' changes to live streams in the form that the API takes them.
type feed struct{ reader *readmodels.Reader }

// Watch implements httpapi.Feed.
func (f feed) Watch(ctx context.Context, model, resume string, began func(resume string), changed func(readmodels.Change) error) error {
	watch, err := f.reader.Watch(ctx, model, "", resume)
	if err != nil {
		return err
	}
	defer watch.Close()
	began(watch.Start())
	for {
		changes, err := watch.Next(ctx)
		if errors.Is(err, readmodels.ErrReset) {
			return &domain.Error{Kind: domain.KindStale, Code: "resume_too_old", Message: "Changes were missed; read anew.", Err: err}
		}
		if err != nil {
			return err
		}
		for _, change := range changes {
			if err := changed(change); err != nil {
				return err
			}
		}
	}
}
