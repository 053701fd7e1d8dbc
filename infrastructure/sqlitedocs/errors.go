package sqlitedocs

import (
	"context"
	"errors"
	"fmt"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
	"github.com/tidemark-dev/tidemark/readmodels"
)

var errClosed = errors.New("the document store is closed")

// codeOf is SQLite's primary result code of the first SQLite error in err, 0 if there is none.
func codeOf(err error) sqlite3.ErrorCode {
	if failure, ok := errors.AsType[*sqlite3.Error](err); ok {
		return failure.Code()
	}
	if code, ok := errors.AsType[sqlite3.ErrorCode](err); ok {
		return code
	}
	if code, ok := errors.AsType[sqlite3.ExtendedErrorCode](err); ok {
		return code.Code()
	}
	return 0
}

// translate turns what SQLite or a context says into our errors. Errors of SQL itself are defects
// and stay as they are; so do errors that are ours already.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*domain.Error](err); ours {
		return err
	}
	if errors.Is(err, sqlite.ErrClosed) {
		return readmodels.StoreUnavailable(errClosed)
	}
	switch codeOf(err) {
	case 0:
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return readmodels.StoreUnavailable(err)
		}
		return err
	case sqlite3.ERROR, sqlite3.CONSTRAINT, sqlite3.MISMATCH, sqlite3.MISUSE, sqlite3.RANGE, sqlite3.TOOBIG:
		return fmt.Errorf("document store: %w", err)
	}
	return readmodels.StoreUnavailable(err)
}
