package esnode

import (
	"errors"
	"io"
	"unicode/utf16"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// drainFurther bounds how much of a refused append is read before the refusal is sent anyway.
const drainFurther = 64 << 20

// maxAppendEvents bounds the events of one append; each takes some bytes, but none has to.
const maxAppendEvents = 100_000

// Append implements streams.StreamsServer.
func (n *Node) Append(call streams.Streams_AppendServer) error {
	first, err := call.Recv()
	if errors.Is(err, io.EOF) {
		return unknown("an append begins with its options")
	} else if err != nil {
		return err
	}
	o := first.GetOptions()
	if o == nil {
		return n.drain(call, unknown("an append begins with its options"))
	}
	target, err := readTarget(o, o.GetExpectedStreamRevision() != nil, o.GetRevision())
	if err != nil {
		return n.drain(call, err)
	}
	batch := proposals{limit: n.options.MaxAppendSize, eventLimit: n.options.MaxEventSize}
	for {
		req, err := call.Recv()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		m := req.GetProposedMessage()
		if m == nil {
			return n.drain(call, unknown("an append's options come once, before its events"))
		}
		if err := batch.add(m); err != nil {
			return n.drain(call, err)
		}
	}
	done, err := n.store.Append(call.Context(), target.stream, target.expected, batch.events)
	var wrong *eventlog.WrongVersion
	switch {
	case errors.As(err, &wrong):
		return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{
			WrongExpectedVersion: wrongVersion(target.expected, wrong.Current)}})
	case err != nil:
		return err
	}
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: appended(done)}})
}

// drain reads the rest of a request before it fails: a client that still sends when the call has ended
// sees EOF instead of the status.
func (n *Node) drain(call streams.Streams_AppendServer, failure error) error {
	for size := 0; size < drainFurther; {
		req, err := call.Recv()
		if err != nil {
			return failure
		}
		size += len(req.GetProposedMessage().GetData()) + len(req.GetProposedMessage().GetCustomMetadata()) + 1<<10
	}
	return failure
}

// target is what is written to, and what is expected of it.
type target struct {
	stream   string
	expected int64
}

// targeting is what the options of Append, Delete, Tombstone and BatchAppend have in common. The last has
// an empty message E of its own.
type targeting[E any] interface {
	GetStreamIdentifier() *shared.StreamIdentifier
	GetNoStream() *E
	GetAny() *E
	GetStreamExists() *E
}

// readTarget checks a target; given tells whether any expectation is there, revision which, if no other.
func readTarget[E any](o targeting[E], given bool, revision uint64) (t target, err error) {
	if t.stream, err = writableStream(o.GetStreamIdentifier()); err != nil {
		return t, err
	}
	switch {
	case !given:
		err = invalid("the expected revision is missing")
	case o.GetNoStream() != nil:
		t.expected = eventlog.NoStream
	case o.GetAny() != nil:
		t.expected = eventlog.Any
	case o.GetStreamExists() != nil:
		t.expected = eventlog.StreamExists
	default:
		t.expected, err = number(revision)
	}
	return t, err
}

// proposed is an event to append as both RPCs send it.
type proposed interface {
	GetId() *shared.UUID
	GetMetadata() map[string]string
	GetCustomMetadata() []byte
	GetData() []byte
}

// proposals collects the events of one append and holds its limits.
type proposals struct {
	limit, eventLimit int
	size              int
	events            []eventlog.Proposed
}

func (p *proposals) add(m proposed) error {
	id, err := readUUID(m.GetId())
	if err != nil {
		return err
	}
	eventType, hasType := m.GetMetadata()["type"]
	contentType, hasContent := m.GetMetadata()["content-type"]
	switch {
	case !hasType || !hasContent:
		return metadataMissing()
	case eventType == "":
		return unknown("an event's type must not be empty")
	case id == [16]byte{}:
		return unknown("an event's id must not be empty")
	case len(p.events) == maxAppendEvents:
		return invalid("an append takes at most %d events", maxAppendEvents)
	}
	size := len(m.GetData()) + len(m.GetCustomMetadata()) + 2*utf16Length(eventType)
	if size > p.eventLimit {
		return eventTooLarge(p.eventLimit, size, id)
	}
	if p.size += size; p.size > p.limit {
		return appendTooLarge(p.limit)
	}
	p.events = append(p.events, eventlog.Proposed{
		ID: id, Type: eventType, JSON: contentType == contentJSON, Data: m.GetData(), Metadata: m.GetCustomMetadata(),
	})
	return nil
}

func utf16Length(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

func appended(a eventlog.Appended) *streams.AppendResp_Success {
	s := &streams.AppendResp_Success{}
	if a.Revision < 0 {
		s.CurrentRevisionOption = &streams.AppendResp_Success_NoStream{NoStream: &shared.Empty{}}
	} else {
		s.CurrentRevisionOption = &streams.AppendResp_Success_CurrentRevision{CurrentRevision: uint64(a.Revision)}
	}
	if a.Position <= 0 {
		s.PositionOption = &streams.AppendResp_Success_NoPosition{NoPosition: &shared.Empty{}}
	} else {
		p := uint64(a.Position)
		s.PositionOption = &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: p, PreparePosition: p}}
	}
	return s
}

// wrongVersion says what was expected and found in both generations of fields.
func wrongVersion(expected, current int64) *streams.AppendResp_WrongExpectedVersion {
	type answer = streams.AppendResp_WrongExpectedVersion
	w := &answer{}
	switch expected {
	case eventlog.Any:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedAny{ExpectedAny: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_Any_20_6_0{Any_20_6_0: &shared.Empty{}}
	case eventlog.StreamExists:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists{ExpectedStreamExists: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_StreamExists_20_6_0{StreamExists_20_6_0: &shared.Empty{}}
	case eventlog.NoStream:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedNoStream{ExpectedNoStream: &shared.Empty{}}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: noNumber}
	default:
		w.ExpectedRevisionOption = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision{ExpectedRevision: uint64(expected)}
		w.ExpectedRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_ExpectedRevision_20_6_0{ExpectedRevision_20_6_0: uint64(expected)}
	}
	if current < 0 {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentNoStream{CurrentNoStream: &shared.Empty{}}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_NoStream_20_6_0{NoStream_20_6_0: &shared.Empty{}}
	} else {
		w.CurrentRevisionOption = &streams.AppendResp_WrongExpectedVersion_CurrentRevision{CurrentRevision: uint64(current)}
		w.CurrentRevisionOption_20_6_0 = &streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0{CurrentRevision_20_6_0: uint64(current)}
	}
	return w
}
