package eventlog

import "fmt"

// identity is what a repeat is recognised by.
type identity struct {
	id       [16]byte
	revision int64
	position int64
	created  int64
}

// history answers what deciding an append may need to know beyond the head of the stream.
type history interface {
	// recently finds an event of the stream among those written lately; best effort.
	recently(h head, id [16]byte) (identity, bool)
	// stored finds the event at a revision.
	stored(h head, revision int64) (identity, bool, error)
}

// verdict is the outcome of deciding an append that is not refused: write the events behind the
// last revision, or answer with an earlier append of the same events.
type verdict struct {
	repeat bool
	last   identity // of the repeat's last event
}

// decide judges an append by the stream's head: tombstones are refused before. It follows the table of
// expected revisions of EventStoreDB, whose idempotency looks at event ids only.
func decide(stream string, h head, expected int64, events []Proposed, past history) (verdict, error) {
	wrong := func() error { return &WrongVersion{Stream: stream, Expected: expected, Current: h.last} }
	switch {
	case expected == StreamExists && h.softDeleted():
		return verdict{}, &StreamDeleted{Stream: stream}
	case expected == StreamExists && h.last < 0 && !h.described():
		return verdict{}, wrong()
	case expected == StreamExists, expected == Any:
		return decideAny(h, events, past, wrong)
	case expected < NoStream:
		return verdict{}, fmt.Errorf("%w: expected revision %d", ErrInvalid, expected)
	case expected == h.last:
		return verdict{}, nil
	case expected > h.last:
		return verdict{}, wrong()
	}
	return decideBehind(h, expected, events, past, wrong)
}

// decideAny looks for the events among the recent ones: all of them make a repeat, none of them, by the
// first, an append.
func decideAny(h head, events []Proposed, past history, wrong func() error) (verdict, error) {
	var last identity
	for i, e := range events {
		found, ok := past.recently(h, e.ID)
		switch {
		case !ok && i == 0:
			return verdict{}, nil
		case !ok:
			return verdict{}, wrong()
		}
		last = found
	}
	return verdict{repeat: len(events) > 0, last: last}, nil
}

// decideBehind handles an expectation that the stream has passed: the events must be exactly those that
// followed it. A soft-deleted stream may be begun anew expecting none.
func decideBehind(h head, expected int64, events []Proposed, past history, wrong func() error) (verdict, error) {
	anew := expected == NoStream && h.softDeleted()
	var last identity
	for i, e := range events {
		found, ok, err := past.stored(h, expected+1+int64(i))
		if err != nil {
			return verdict{}, err
		}
		if !ok || found.id != e.ID {
			if i == 0 && anew {
				return verdict{}, nil
			}
			return verdict{}, wrong()
		}
		last = found
	}
	if len(events) == 0 {
		if anew {
			return verdict{}, nil
		}
		return verdict{}, wrong()
	}
	return verdict{repeat: true, last: last}, nil
}
