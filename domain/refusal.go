package domain

import (
	"errors"
	"fmt"
)

// Kind sorts errors by what has to happen next. Vendor errors are translated to a kind once,
// where they come in; kinds become HTTP statuses once, where they go out.
type Kind int

// The kinds. Strangers are KindInternal.
const (
	KindInternal    Kind = iota // a defect of ours
	KindInvalid                 // the input breaks a rule that holds whatever the state: 422
	KindNotFound                // no such thing, or not the caller's: 404
	KindForbidden               // the caller may not: 403
	KindRefused                 // the state does not allow it: 409
	KindConflict                // somebody else wrote first and we gave up: 409
	KindMismatch                // the caller named another revision: 412
	KindUnavailable             // a store can't be reached; certainly nothing was done: 503
	KindUnknown                 // a store did not say whether it was done: 504
	KindStale                   // a read model has not got there yet, or is blocked: 503
	KindUndecodable             // a stored event that this binary can't read
	KindMalformed               // the request can't be read at all (syntax, cursor, token): 400
)

// Error is a refusal or a failure with a stable code and a sentence for people.
type Error struct {
	Kind     Kind
	Code     string // stable, snake_case: order_not_open
	Message  string // one sentence; safe to show to any caller
	Fields   []Field
	Revision *int64            // current revision, with KindConflict and KindMismatch
	Attrs    map[string]string // further members for the problem document, such as state
	Err      error             // the cause; never shown to callers
}

// Field is one finding about the input. Pointer is a JSON pointer into the body.
type Field struct {
	Pointer string `json:"pointer"`
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
	}
	return e.Code + ": " + e.Message
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Refuse is the state saying no.
func Refuse(code, format string, args ...any) *Error {
	return &Error{Kind: KindRefused, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Invalid is the input saying nothing that could ever be done; code invalid_request.
func Invalid(fields ...Field) *Error {
	return &Error{Kind: KindInvalid, Code: "invalid_request", Message: "The request has invalid content.", Fields: fields}
}

// NotFound says that there is no such thing for this caller; code not_found.
func NotFound(what, id string) *Error {
	return &Error{Kind: KindNotFound, Code: "not_found", Message: fmt.Sprintf("There is no %s %q.", what, id)}
}

// KindOf is the kind of the first *Error in err's chain, KindInternal if there is none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return KindInternal
}

// CodeOf is the code of the first *Error in err's chain, "internal" if there is none.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return "internal"
}
