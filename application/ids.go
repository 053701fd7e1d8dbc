package application

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
)

// commandSpace is the name space of command ids that derive from a principal and a key. It was drawn
// once and must never change: it binds keys to what is stored.
var commandSpace = uuid.MustParse("7b0f6a52-3f0e-5c1b-9d7e-6a1f0c2d4e88")

// CommandID is the id of the command that principal sent under an idempotency key: always the same
// for the same pair, so that its repeats are recognised wherever they arrive.
func CommandID(principal, key string) string {
	// The length keeps ("a", "bc") and ("ab", "c") apart.
	name := strconv.Itoa(len(principal)) + ":" + principal + key
	return uuid.NewSHA1(commandSpace, []byte(name)).String()
}

// eventID is the id of the command's event number index in stream.
func eventID(command uuid.UUID, stream string, index int) string {
	return uuid.NewSHA1(command, []byte(stream+":"+strconv.Itoa(index))).String()
}

// aggregateID is a UUIDv7 of the given time whose other bits derive from the command's id: a repeat
// of the command makes the same aggregate.
func aggregateID(command uuid.UUID, at time.Time) string {
	var id uuid.UUID
	bits := sha256.Sum256(command[:])
	copy(id[6:], bits[:10])
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id.String()
}

// repeatable tells that somebody else may be carrying out the very same command: its id was derived
// from something that others can derive it from too. Random ids belong to one caller.
func repeatable(command uuid.UUID) bool { return command.Version() == 5 }

// isName holds for what may stand behind the category in a stream's name: our UUIDs and the decimal
// ids of imported version-1 streams.
func isName(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for _, c := range []byte(id) {
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.', c == '_', c == '-', c == ':':
		default:
			return false
		}
	}
	return true
}

// stamp is now as events carry it.
func stamp(clock Clock) time.Time { return clock.Now().UTC().Truncate(time.Microsecond) }

// recorded is a proposed event as it will be read back, but for what the store's codec fills in.
func recorded(p domain.Proposed, stream string, revision int64) domain.Recorded {
	return domain.Recorded{
		Event: p.Event, Type: p.Event.EventType(), ID: p.ID,
		Stream: stream, Revision: revision, Stored: p.Meta.At, Meta: p.Meta,
	}
}
