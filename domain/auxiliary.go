package domain

// SnapshotTaken is a cached fold of another stream, kept in "snapshot-<stream>". It is a cache:
// deleting every one of them changes nothing but speed. Revision, Position and Hash are those of
// the last event folded in.
type SnapshotTaken struct {
	FoldVersion int    `json:"foldVersion"` // of the fold that made State; another version is not used
	Revision    int64  `json:"revision"`
	Position    uint64 `json:"position"`
	Hash        string `json:"hash"`
	Commands    string `json:"commands"` // the newest commands seen up to there, packed by whoever takes snapshots
	State       string `json:"state"`    // JSON text
	Checksum    string `json:"checksum"` // over all the other fields
}

// KeyClaimed binds an idempotency key to one request, in "idempotency-<commandId>"; the first
// claim wins. Its Meta.At fixes the id of an aggregate that the command is going to make. A command
// that starts over claims again behind its earlier claims, so that twins notice each other.
type KeyClaimed struct {
	Operation   string `json:"operation"`
	Stream      string `json:"stream"` // the stream the command writes; for a creation the one it makes
	RequestHash string `json:"requestHash"`
	After       int64  `json:"after"`           // revision of Stream that the command was decided at
	Empty       bool   `json:"empty,omitempty"` // nothing had to change: the answer is the state at After
}

// Stored names.
func (SnapshotTaken) EventType() string { return "SnapshotTaken" }
func (KeyClaimed) EventType() string    { return "KeyClaimed" }
