package application

import (
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/google/uuid"
)

// CommandsRemembered is how many of a stream's newest commands are recognised without reading back.
// A command with an idempotency key is recognised for ever, because its claim says from where on to
// look for it; this bound alone holds for commands whose id was derived without a key.
const CommandsRemembered = 1000

// tailLength bounds what is copied for each new command.
const tailLength = 64

// place is where a command's events in a stream end.
type place struct {
	command  uuid.UUID
	revision int64
}

// recent holds the newest commands of a stream, oldest first. It is a value: with never changes what
// another copy sees. Commands whose id is no UUID are not kept; no command of ours has such an id.
type recent struct {
	base []place // shared between copies, never written
	tail []place // copied by with; holds the newest place if there is any
}

// with is r after an event of the command at revision.
func (r recent) with(command string, revision int64) recent {
	id, err := uuid.Parse(command)
	if err != nil {
		return r
	}
	added := place{command: id, revision: revision}
	if last := len(r.tail) - 1; last >= 0 && r.tail[last].command == id {
		tail := append([]place(nil), r.tail...)
		tail[last] = added
		return recent{base: r.base, tail: tail}
	}
	if len(r.tail) < tailLength {
		tail := make([]place, len(r.tail), len(r.tail)+1)
		copy(tail, r.tail)
		return recent{base: r.base, tail: append(tail, added)}
	}
	keep := r.base[max(0, len(r.base)+len(r.tail)-CommandsRemembered):]
	base := make([]place, 0, len(keep)+len(r.tail))
	base = append(append(base, keep...), r.tail...)
	return recent{base: base, tail: []place{added}}
}

// find gives the revision of the command's last event.
func (r recent) find(command uuid.UUID) (revision int64, ok bool) {
	for _, p := range r.newest() {
		for i := len(p) - 1; i >= 0; i-- {
			if p[i].command == command {
				return p[i].revision, true
			}
		}
	}
	return 0, false
}

// full tells that older commands of the stream may have been forgotten.
func (r recent) full() bool { return len(r.base)+len(r.tail) >= CommandsRemembered }

// oldest is the smallest revision that is still remembered.
func (r recent) oldest() int64 {
	parts := r.newest()
	for i := len(parts) - 1; i >= 0; i-- {
		if len(parts[i]) > 0 {
			return parts[i][0].revision
		}
	}
	return 0
}

// newest gives the remembered places in two runs, the newer run first; each run is oldest first.
func (r recent) newest() [2][]place {
	base := r.base[max(0, len(r.base)+len(r.tail)-CommandsRemembered):]
	return [2][]place{r.tail, base}
}

// pack writes r down: for each place 16 bytes of id and the distance to the place before.
func (r recent) pack() string {
	parts := r.newest()
	packed := make([]byte, 0, (len(parts[0])+len(parts[1]))*18)
	before := int64(0)
	for _, run := range [][]place{parts[1], parts[0]} {
		for _, p := range run {
			packed = append(packed, p.command[:]...)
			packed = binary.AppendUvarint(packed, uint64(p.revision-before))
			before = p.revision
		}
	}
	return base64.RawStdEncoding.EncodeToString(packed)
}

var errPacked = errors.New("remembered commands are damaged")

// unpackRecent reads what pack wrote.
func unpackRecent(text string) (recent, error) {
	packed, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return recent{}, errPacked
	}
	places := make([]place, 0, len(packed)/17)
	before := int64(0)
	for len(packed) > 0 {
		if len(packed) < 17 {
			return recent{}, errPacked
		}
		step, n := binary.Uvarint(packed[16:])
		if n <= 0 || before+int64(step) < before {
			return recent{}, errPacked
		}
		before += int64(step)
		places = append(places, place{command: uuid.UUID(packed[:16]), revision: before})
		packed = packed[16+n:]
	}
	if len(places) == 0 {
		return recent{}, nil
	}
	last := len(places) - 1
	return recent{base: places[:last:last], tail: places[last:]}, nil
}
