package eventlog

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// source is an event as projections see it, with what several of them ask for read once.
type source struct {
	*Event
	of          string // of a metadata event: the stream it describes
	meta        bool
	softDelete  bool
	correlation string
	readable    map[string]json.RawMessage // its metadata, if that is a JSON object
}

// newSource is not ok for events that projections skip: those marked as JSON whose data are not.
func newSource(e *Event) (source, bool) {
	if e.JSON && !json.Valid(e.Data) {
		return source{}, false
	}
	s := source{Event: e}
	s.of, s.meta = isMeta(e.Stream)
	s.softDelete = s.meta && readMetadata(e).SoftDeleted()
	if json.Unmarshal(e.Metadata, &s.readable) == nil {
		s.correlation = s.property("$correlationId")
	}
	return s, true
}

// property is a string among the metadata; "" if there is none.
func (s source) property(key string) (value string) {
	if json.Unmarshal(s.readable[key], &value) != nil {
		return ""
	}
	return value
}

// derived is an event that a projection makes of a source.
type derived struct {
	stream, eventType string
	data              []byte
	extra             []field // of its metadata
}

// field is a member of a JSON object whose order counts; value is JSON.
type field struct{ name, value string }

func quoted(text string) string {
	raw, err := json.Marshal(text)
	if err != nil { // can't be: it is a string
		return `""`
	}
	return string(raw)
}

var deletedMark = field{"$deleted", "-1"}

// rule is a built-in projection: its query when it was never updated, how a query is read, where its
// streams are, and what it makes of a source; it is not ok if nothing.
type rule struct {
	id     int
	query  string
	parse  func(query string) (setting, error)
	prefix string // of its streams' names; the only one's whole name if exact
	exact  bool
	derive func(setting, source) (derived, bool)
}

// setting is what a projection's query says.
type setting struct {
	separator byte
	last      bool // the category ends at the last separator, not at the first
	property  string
}

var builtIn = map[string]rule{
	Streams:          {id: 1, parse: parseNothing, prefix: "$streams", exact: true, derive: deriveStreams},
	StreamByCategory: {id: 2, query: "first\n-", parse: parseSeparator, prefix: "$category-", derive: deriveStreamByCategory},
	ByCategory:       {id: 3, query: "first\n-", parse: parseSeparator, prefix: "$ce-", derive: deriveByCategory},
	ByEventType:      {id: 4, parse: parseNothing, prefix: "$et-", derive: deriveByEventType},
	ByCorrelationID: {id: 5, query: `{"correlationIdProperty":"$correlationId"}`, parse: parseProperty, prefix: "$bc-",
		derive: deriveByCorrelationID},
}

// projectionOrder is that in which they handle an event and are listed.
var projectionOrder = []string{ByCategory, ByEventType, ByCorrelationID, StreamByCategory, Streams}

func parseNothing(query string) (setting, error) {
	if strings.TrimSpace(query) != "" {
		return setting{}, fmt.Errorf("%w: the projection takes no query", ErrInvalid)
	}
	return setting{}, nil
}

// parseSeparator reads "first" or "last" and a character on the next line, or a character alone, which
// means the last.
func parseSeparator(query string) (setting, error) {
	lines := strings.Split(strings.ReplaceAll(query, "\r\n", "\n"), "\n")
	for len(lines) > 1 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	s := setting{last: true}
	if len(lines) == 2 {
		s.last = lines[0] == "last"
		if lines[0] != "first" && lines[0] != "last" {
			return s, fmt.Errorf("%w: the first line must be first or last", ErrInvalid)
		}
	}
	separator := lines[len(lines)-1]
	if len(lines) > 2 || len(separator) != 1 || separator[0] >= 0x80 {
		return s, fmt.Errorf("%w: the separator must be one ASCII character", ErrInvalid)
	}
	s.separator = separator[0]
	return s, nil
}

func parseProperty(query string) (setting, error) {
	s := setting{property: "$correlationId"}
	if strings.TrimSpace(query) == "" {
		return s, nil
	}
	var fields struct {
		Property *string `json:"correlationIdProperty"`
	}
	if err := json.Unmarshal([]byte(query), &fields); err != nil {
		return s, fmt.Errorf("%w: the query must be a JSON object: %w", ErrInvalid, err)
	}
	if fields.Property != nil {
		s.property = *fields.Property
	}
	if s.property == "" {
		return s, fmt.Errorf("%w: correlationIdProperty is empty", ErrInvalid)
	}
	return s, nil
}

// category is that of a user's stream; not ok if it has none.
func (s setting) category(stream string) (string, bool) {
	if strings.HasPrefix(stream, "$") {
		return "", false
	}
	i := strings.IndexByte(stream, s.separator)
	if s.last {
		i = strings.LastIndexByte(stream, s.separator)
	}
	if i <= 0 {
		return "", false
	}
	return stream[:i], true
}

func deriveByCategory(s setting, e source) (derived, bool) {
	stream := e.Stream
	if e.meta {
		stream = e.of
	}
	category, ok := s.category(stream)
	if !ok || e.meta && !e.softDelete {
		return derived{}, false
	}
	d := derived{stream: "$ce-" + category, eventType: TypeLink, data: Link(e.Revision, e.Stream), extra: []field{{"$o", quoted(stream)}}}
	if e.Type == TypeLink {
		d.data = e.Data
	}
	if e.meta || e.Revision == Tombstone {
		d.extra = append(d.extra, deletedMark)
	}
	return d, true
}

func deriveByEventType(_ setting, e source) (derived, bool) {
	if e.Type == TypeLink {
		return derived{}, false
	}
	d := derived{stream: "$et-" + e.Type, eventType: TypeLink, data: Link(e.Revision, e.Stream)}
	if e.softDelete || e.Revision == Tombstone {
		stream := e.Stream
		if e.meta {
			stream = e.of
		}
		d.stream, d.data, d.extra = "$et-$deleted", Link(e.Revision, stream), []field{deletedMark}
	}
	return d, true
}

func deriveStreams(_ setting, e source) (derived, bool) {
	return derived{stream: "$streams", eventType: TypeLink, data: Link(0, e.Stream)}, e.Revision == 0
}

func deriveStreamByCategory(s setting, e source) (derived, bool) {
	category, ok := s.category(e.Stream)
	return derived{stream: "$category-" + category, eventType: "$@", data: []byte(e.Stream)}, ok && e.Revision == 0
}

func deriveByCorrelationID(s setting, e source) (derived, bool) {
	value := e.property(s.property)
	if value == "" || e.Type == TypeLink {
		return derived{}, false
	}
	at := time.Unix(0, e.Created*100).UTC().Format("2006-01-02T15:04:05.0000000Z")
	return derived{stream: "$bc-" + value, eventType: TypeLink, data: Link(e.Revision, e.Stream),
		extra: []field{{"$eventTimestamp", quoted(at)}}}, true
}

// metadata of a derived event: where it comes from, in the order of the original.
func (d derived) metadata(id int, epoch, version int64, e source) []byte {
	position := strconv.FormatInt(e.Position, 10)
	fields := []field{
		{"$v", fmt.Sprintf(`"%d:%d:%d:4"`, id, epoch, version)},
		{"$c", position}, {"$p", position},
	}
	fields = append(fields, d.extra...)
	fields = append(fields, field{"$causedBy", quoted(uuid.UUID(e.ID).String())})
	if e.correlation != "" {
		fields = append(fields, field{"$correlationId", quoted(e.correlation)})
	}
	text := []byte{'{'}
	for i, f := range fields {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, quoted(f.name)...), ':'), f.value...)
	}
	return append(text, '}')
}
