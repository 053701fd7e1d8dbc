package domain

import "time"

// Group names a persistent subscription to the whole log, filtered by stream prefix. Groups take
// whole streams, never a selection of event types, so that a consumer can tell a gap.
type Group struct {
	Name     string
	Prefixes []string    // stream prefixes, "order-"; at least one
	Settings GroupChange // against the adapter's own; for a group that is made
}

// Delivery is one event handed to a consumer: a hint that the stream has it. Deliveries repeat,
// get lost and come in any order; the stream is the truth.
type Delivery struct {
	Recorded
	Err   error // KindUndecodable when the event can't be read; Stream, Revision, Type and ID are still set
	Retry int   // how often it was delivered before
}

// GroupInfo is what the event store says about a group.
type GroupInfo struct {
	Group     string        `json:"group"`
	Stream    string        `json:"stream"` // "$all" or a stream
	Status    string        `json:"status"`
	Position  string        `json:"position"`  // last checkpoint; empty before the first
	LastKnown string        `json:"lastKnown"` // newest event the group has seen
	InFlight  int64         `json:"inFlight"`
	Parked    int64         `json:"parked"`
	Consumers int           `json:"consumers"`
	Prefixes  []string      `json:"prefixes,omitempty"`
	Settings  GroupSettings `json:"settings"`
}

// Parked is an event that the event store has put aside for a group.
type Parked struct {
	ID       string    `json:"id"`
	Stream   string    `json:"stream"`
	Revision int64     `json:"revision"`
	Type     string    `json:"type"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"`
}

// From says where in the log something starts. The zero value is the start.
type From struct {
	End      bool
	Position uint64 // exclusive for a tail; 0 is the start
}
