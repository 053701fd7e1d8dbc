package domain

// SnapshotTaken is a cached fold of another stream, kept in "snapshot-<stream>". It is a cache:
// deleting every one of them changes nothing but speed. Revision, Position and Hash are those of
// the last event folded in, CommandIDs the newest commands seen up to there, oldest first.
type SnapshotTaken struct {
	FoldVersion int            `json:"foldVersion"` // of the fold that made State; another version is not used
	Revision    int64          `json:"revision"`
	Position    uint64         `json:"position"`
	Hash        string         `json:"hash"`
	CommandIDs  []CommandPlace `json:"commandIds"`
	State       string         `json:"state"`    // JSON text
	Checksum    string         `json:"checksum"` // over all the other fields
}

// CommandPlace is where a command's events in a stream end.
type CommandPlace struct {
	ID          string `json:"id"`
	Revision    int64  `json:"revision"` // of the command's last event
	RequestHash string `json:"requestHash"`
}

// KeyClaimed binds an idempotency key to one request, in "idempotency-<commandId>"; the first
// claim wins. Its Meta.At fixes the id of an aggregate that the command is going to make.
type KeyClaimed struct {
	Operation   string `json:"operation"`
	Stream      string `json:"stream"` // the stream the command writes; for a creation the one it makes
	RequestHash string `json:"requestHash"`
}

// Stored names.
func (SnapshotTaken) EventType() string { return "SnapshotTaken" }
func (KeyClaimed) EventType() string    { return "KeyClaimed" }
