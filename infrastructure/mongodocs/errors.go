package mongodocs

import (
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Codes of the server that we act on; https://www.mongodb.com/docs/manual/reference/error-codes/.
const (
	codeBadValue           = 2
	codeFailedToParse      = 9
	codeTypeMismatch       = 14
	codeNamespaceNotFound  = 26
	codeNamespaceExists    = 48
	codeInvalidPath        = 40
	codeIndexOptions       = 85
	codeIndexKeySpecs      = 86
	codeCommandUnsupported = 115
	codeNotImplemented     = 238
	codeDuplicateKey       = 11000
	codeTooLarge           = 10334
	codeUnknownStage       = 40324
	codeNotReplicaSet      = 40573
)

// IndexConflictError says that an index of ours is there, but not as it must be: somebody made or changed
// it by hand. It is not replaced, because whoever made it may need it.
type IndexConflictError struct {
	Collection, Index string
	Found, Wanted     string // the keys and options, as extended JSON
	Err               error  // what the server said, if it found the conflict; then Index is empty
}

// Error implements error.
func (e *IndexConflictError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("collection %s has an index that conflicts with ours; drop it and start again: %v", e.Collection, e.Err)
	}
	return fmt.Sprintf("index %s of collection %s is %s but must be %s; drop it and start again", e.Index, e.Collection, e.Found, e.Wanted)
}

// Unwrap gives what the server said.
func (e *IndexConflictError) Unwrap() error { return e.Err }

// translate turns the driver's errors into ours: what only a defect can cause stays as it is, all else is a
// store that can't be reached or doesn't do its work, and may be tried again.
func translate(err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*domain.Error](err); ours {
		return err
	}
	if isDefect(err) {
		return fmt.Errorf("document store: %w", err)
	}
	return readmodels.StoreUnavailable(err)
}

// unreadableError is what a server gave and we can't read: asking again, or another server, would change nothing.
type unreadableError struct{ error }

// Unwrap gives the cause.
func (e unreadableError) Unwrap() error { return e.error }

func isDefect(err error) bool {
	if _, unreadable := errors.AsType[unreadableError](err); unreadable {
		return true
	}
	return hasCode(err, codeBadValue, codeFailedToParse, codeTypeMismatch, codeInvalidPath, codeTooLarge)
}

func hasCode(err error, codes ...int) bool {
	server, ok := errors.AsType[mongo.ServerError](err)
	if !ok {
		return false
	}
	for _, code := range codes {
		if server.HasErrorCode(code) {
			return true
		}
	}
	return false
}
