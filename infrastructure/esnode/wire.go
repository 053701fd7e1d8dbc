package esnode

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

const (
	// allStream is how the whole log is named where a stream's name is wanted.
	allStream = "$all"
	// noNumber is "end, minus one, unknown" among revisions and positions on the wire.
	noNumber = math.MaxUint64

	contentJSON   = "application/json"
	contentBinary = "application/octet-stream"
)

func uuidText(id [16]byte) string { return uuid.UUID(id).String() }

// readUUID takes both forms: Go sends the structured one, the Node clients send text.
func readUUID(u *shared.UUID) ([16]byte, error) {
	switch v := u.GetValue().(type) {
	case *shared.UUID_Structured_:
		var id [16]byte
		binary.BigEndian.PutUint64(id[:8], uint64(v.Structured.GetMostSignificantBits()))
		binary.BigEndian.PutUint64(id[8:], uint64(v.Structured.GetLeastSignificantBits()))
		return id, nil
	case *shared.UUID_String_:
		id, err := uuid.Parse(v.String_)
		if err != nil {
			return [16]byte{}, invalid("malformed UUID")
		}
		return id, nil
	default:
		return [16]byte{}, nil
	}
}

func writeUUID(id [16]byte, text bool) *shared.UUID {
	if text {
		return &shared.UUID{Value: &shared.UUID_String_{String_: uuidText(id)}}
	}
	return &shared.UUID{Value: &shared.UUID_Structured_{Structured: &shared.UUID_Structured{
		MostSignificantBits:  int64(binary.BigEndian.Uint64(id[:8])),
		LeastSignificantBits: int64(binary.BigEndian.Uint64(id[8:])),
	}}}
}

// readStream checks the name of a stream: any text but none and the metadata stream of none.
func readStream(id *shared.StreamIdentifier) (string, error) {
	name := string(id.GetStreamName())
	switch {
	case name == "" || name == "$$":
		return "", invalid("stream name must not be empty")
	case !utf8.ValidString(name):
		return "", invalid("stream name is not valid UTF-8")
	}
	return name, nil
}

// writableStream is a stream that may be written or deleted: $all is not, for anybody.
func writableStream(id *shared.StreamIdentifier) (string, error) {
	name, err := readStream(id)
	if err == nil && name == allStream {
		return "", accessDenied()
	}
	return name, err
}

func streamID(name string) *shared.StreamIdentifier {
	return &shared.StreamIdentifier{StreamName: []byte(name)}
}

// number takes a revision or position off the wire: -1 for 2^64-1, and nothing else beyond 2^63-1.
func number(v uint64) (int64, error) {
	switch {
	case v == noNumber:
		return -1, nil
	case v > math.MaxInt64:
		return 0, invalid("%d is beyond the largest number of an event", v)
	}
	return int64(v), nil
}

// position takes a log position off the wire.
func position(commit, prepare uint64) (int64, error) {
	c, err := number(commit)
	if err != nil {
		return 0, err
	}
	p, err := number(prepare)
	if err != nil {
		return 0, err
	}
	if p > c {
		return 0, invalid("the prepare position must not be after the commit position")
	}
	return c, nil
}

func contentType(e *eventlog.Event) string {
	if e.JSON {
		return contentJSON
	}
	return contentBinary
}
