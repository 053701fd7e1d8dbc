package esnode

import (
	"encoding/binary"
	"strconv"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/persistent"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/groups"
)

// Answers that carry an event are most of what a node sends. Through the generated types each costs some
// twenty allocations, a map among them, so they are written by hand here; the numbers of the fields are
// the same in reads and in deliveries. What was written stands in an otherwise empty generated message
// as fields that it does not know, which the codec of gRPC copies as they are.

// Fields of ReadResp, ReadEvent and RecordedEvent, and of what is in them.
const (
	fieldEventAnswer protowire.Number = 1

	fieldEvent    protowire.Number = 1
	fieldLink     protowire.Number = 2
	fieldPosition protowire.Number = 3
	fieldRetries  protowire.Number = 5 // deliveries only

	fieldID             protowire.Number = 1
	fieldStream         protowire.Number = 2
	fieldRevision       protowire.Number = 3
	fieldPrepare        protowire.Number = 4
	fieldCommit         protowire.Number = 5
	fieldMetadata       protowire.Number = 6
	fieldCustomMetadata protowire.Number = 7
	fieldData           protowire.Number = 8

	fieldStreamName     protowire.Number = 3
	fieldUUIDStructured protowire.Number = 1
	fieldUUIDText       protowire.Number = 2
)

// keptBuffer is how large a buffer may be to be kept for the next event, in bytes.
const keptBuffer = 256 << 10

// eventWriter writes the events of one call, one after the other; a message is good until the next one.
type eventWriter struct {
	text     bool // UUIDs
	all      []byte
	body     []byte
	event    []byte
	read     streams.ReadResp
	delivery persistent.ReadResp
}

// readResp is an event as a read or a subscription shows it: event and link each at their own position.
func (w *eventWriter) readResp(r eventlog.Resolved) *streams.ReadResp {
	w.body = w.body[:0]
	w.add(fieldEvent, r.Event, 0)
	w.add(fieldLink, r.Link, 0)
	w.body = appendNumber(w.body, fieldPosition, uint64(r.Original().Position))
	w.finish(w.read.ProtoReflect())
	return &w.read
}

// deliveryResp is a delivery. Unlike in reads, event and link both carry the position of the original event.
func (w *eventWriter) deliveryResp(d groups.Delivery) *persistent.ReadResp {
	r := d.Message.Event.(eventlog.Resolved)
	at := uint64(r.Original().Position)
	w.body = w.body[:0]
	w.add(fieldEvent, r.Event, at)
	w.add(fieldLink, r.Link, at)
	w.body = appendNumber(w.body, fieldPosition, at)
	w.body = appendNumber(w.body, fieldRetries, uint64(d.Retries))
	w.finish(w.delivery.ProtoReflect())
	return &w.delivery
}

func (w *eventWriter) finish(message protoreflect.Message) {
	if cap(w.all) > keptBuffer {
		w.all = nil
	}
	w.all = appendPart(w.all[:0], fieldEventAnswer, w.body)
	message.SetUnknown(w.all)
	if cap(w.body) > keptBuffer {
		w.body, w.event = nil, nil
	}
}

// add writes one event, if there is one, at a position, 0: its own.
func (w *eventWriter) add(field protowire.Number, e *eventlog.Event, at uint64) {
	if e == nil {
		return
	}
	if at == 0 {
		at = uint64(e.Position)
	}
	b := w.appendID(w.event[:0], e.ID)
	b = protowire.AppendVarint(protowire.AppendTag(b, fieldStream, protowire.BytesType), uint64(sizeOfText(fieldStreamName, e.Stream)))
	b = appendPart(b, fieldStreamName, e.Stream)
	if e.Revision != 0 {
		b = appendNumber(b, fieldRevision, uint64(e.Revision))
	}
	if at != 0 {
		b = appendNumber(appendNumber(b, fieldPrepare, at), fieldCommit, at)
	}
	var digits [20]byte
	b = appendEntry(b, "type", e.Type)
	b = appendEntry(b, "created", strconv.AppendInt(digits[:0], e.Created, 10))
	b = appendEntry(b, "content-type", contentType(e))
	if len(e.Metadata) > 0 {
		b = appendPart(b, fieldCustomMetadata, e.Metadata)
	}
	if len(e.Data) > 0 {
		b = appendPart(b, fieldData, e.Data)
	}
	w.event = b
	w.body = appendPart(w.body, field, b)
}

func (w *eventWriter) appendID(b []byte, id [16]byte) []byte {
	var room [64]byte
	content := room[:0]
	if w.text {
		content = appendPart(content, fieldUUIDText, uuidText(id))
	} else {
		var structured [32]byte
		halves := structured[:0]
		for i, half := range []uint64{binary.BigEndian.Uint64(id[:8]), binary.BigEndian.Uint64(id[8:])} {
			if half != 0 {
				halves = appendNumber(halves, protowire.Number(i+1), half)
			}
		}
		content = appendPart(content, fieldUUIDStructured, halves)
	}
	return appendPart(b, fieldID, content)
}

// appendEntry writes an entry of a map of texts.
func appendEntry[T string | []byte](b []byte, key string, value T) []byte {
	b = protowire.AppendTag(b, fieldMetadata, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(sizeOfText(1, key)+sizeOfText(2, value)))
	return appendPart(appendPart(b, 1, key), 2, value)
}

func sizeOfText[T string | []byte](field protowire.Number, text T) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(len(text))
}

func appendPart[T string | []byte](b []byte, field protowire.Number, part T) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return append(protowire.AppendVarint(b, uint64(len(part))), part...)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}
