package application

import "github.com/tidemark-dev/tidemark/domain"

// Command is what every command carries besides its own input.
type Command struct {
	ID            string // UUID: derived from principal and idempotency key, random without a key
	Keyed         bool   // the caller sent an idempotency key
	Operation     string // stable name: "confirmOrder"
	RequestHash   string // fingerprint of operation, entity and body
	Actor         string // who, for the record
	CorrelationID string
	CausationID   string // empty: the command itself
	TraceParent   string
	IfRevision    *int64 // apply only at this revision
	DryRun        bool   // everything but the append
	Customer      string // not empty: only this customer's things exist for the caller
	MayPrice      bool   // may name prices and order what isn't in the catalogue
}

// Result is the outcome of a command.
type Result[S any] struct {
	ID       string // of the aggregate
	Stream   string
	State    S
	Revision int64       // after the command; with DryRun what it would be
	Meta     domain.Meta // of the last event of the stream that the answer reflects
	Replayed bool        // recognised as a repeat: State and Revision are those of the first answer
	Created  bool        // the command made the aggregate (its first event)
}
