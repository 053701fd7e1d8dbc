package readmodels

// Change says that a document took an event.
type Change struct {
	Document string
	Stream   string
	Revision int64  // of the newest event it took
	Resume   string // opaque: where Watch goes on after this change
}
