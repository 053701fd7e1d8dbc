package readmodels

import (
	"context"
	"time"
)

// Mark names an event by its place: the stream and its revision there.
type Mark struct {
	Stream   string
	Revision int64
}

// Ask is a question to a screen.
type Ask struct {
	Params   map[string]string // path and query parameters by name, already checked for their form
	After    Tidemark          // answer from a state that includes these
	Wait     time.Duration     // how long to wait for that
	Customer string            // not empty: only this customer's things exist for the caller
	AsOf     time.Time         // not zero: as it was then, computed from events
	Revision *int64            // as it was after this event of its own stream
	Limit    int               // lists: 1–200
	Cursor   string            // lists: as handed out in NextCursor
	Explain  bool              // with the events that made each field
}

// Answer is what a screen says.
type Answer struct {
	Body      any           // a single answer, ready to marshal; nil for lists
	Items     []any         // a list's items, ready to marshal
	List      bool          // whether it is a list
	Next      string        // cursor of the next page; empty at the end
	ETag      string        // without quotes; the entity's revision, empty if there is none
	Validator string        // without quotes; what If-None-Match is compared with where it is more than ETag: "<revision>.<fulfilment revision>"
	Reflects  Tidemark      // what the answer includes
	Lag       time.Duration // how far the read model is known to be behind; 0 if it isn't
}

// Screen answers one operation of the API.
type Screen struct {
	Operation string // operationId in the OpenAPI document: "getOrder"
	Model     string // name of the read model it reads; "" if it reads streams
	Answer    func(ctx context.Context, r *Reader, ask Ask) (Answer, error)
	// Item is what a change shows on this screen: the item of a list, or the body of a single answer, as
	// Answer would give it now; found is false if the change does not show there.
	Item func(ctx context.Context, r *Reader, ask Ask, change Change) (item any, found bool, err error)
}
