package eventlog

import (
	"context"
	"fmt"
	"strings"
)

// append STREAM EXPECTED [ID:TYPE[:DATA[:METADATA]]]...
func (m *machine) append(ctx context.Context, a arguments) (string, error) {
	var events []Proposed
	for _, word := range a.words[2:] {
		parts := strings.SplitN(word, ":", 4)
		p := Proposed{ID: id(parts[0]), Type: "t"}
		if len(parts) > 1 {
			p.Type = parts[1]
		}
		if len(parts) > 2 {
			p.Data = []byte(parts[2])
		}
		if len(parts) > 3 {
			p.Metadata = []byte(parts[3])
		}
		p.JSON = strings.HasPrefix(string(p.Data), "{")
		events = append(events, p)
	}
	done, err := m.log.Append(ctx, a.words[0], expectation(a.words[1]), events)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("ok revision=%d position=%d", done.Revision, done.Position)
	if done.Repeated {
		text += " repeated"
	}
	return text + "\n", nil
}

// show writes "STREAM@REVISION #POSITION ID:TYPE DATA META", a link with what it points at.
func show(r Resolved) string {
	one := func(e *Event) string {
		if e == nil {
			return "(gone)"
		}
		text := fmt.Sprintf("%s@%d #%d %s:%s", e.Stream, e.Revision, e.Position, nameOf(e.ID), e.Type)
		if len(e.Data) > 0 {
			text += " " + string(e.Data)
		}
		if len(e.Metadata) > 0 {
			text += " " + string(e.Metadata)
		}
		return text
	}
	if r.Link != nil {
		return one(r.Event) + " <- " + one(r.Link) + "\n"
	}
	return one(r.Event) + "\n"
}

// read STREAM [from=N] [limit=N] [back=1] [links=1]
func (m *machine) read(ctx context.Context, a arguments) (string, error) {
	q := StreamQuery{Stream: a.words[0], Backwards: a.has("back"), ResolveLinks: a.has("links"), Limit: int(a.int("limit", 0))}
	q.From = a.int("from", 0)
	if q.Backwards {
		q.From = a.int("from", -1)
	}
	page, err := m.log.ReadStream(ctx, q)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, r := range page.Events {
		text.WriteString(show(r))
	}
	fmt.Fprintf(&text, "first=%d last=%d next=%d end=%v\n", page.First, page.Last, page.Next, page.End)
	return text.String(), nil
}

// prefixes is a filter by stream; indexed tells whether it lets the log know.
type prefixes struct {
	list    []string
	indexed bool
}

func (p prefixes) Match(stream, _ string) bool {
	for _, prefix := range p.list {
		if strings.HasPrefix(stream, prefix) {
			return true
		}
	}
	return false
}

func (p prefixes) StreamPrefixes() []string {
	if !p.indexed {
		return nil
	}
	return p.list
}

// all [from=N] [limit=N] [window=N] [back=1] [links=1] [prefix=A,B] [match=A,B]
func (m *machine) all(ctx context.Context, a arguments) (string, error) {
	q := AllQuery{Backwards: a.has("back"), ResolveLinks: a.has("links"), Limit: int(a.int("limit", 0)), Window: int(a.int("window", 0))}
	q.From = a.int("from", 0)
	if q.Backwards {
		q.From = a.int("from", -1)
	}
	if a.has("prefix") {
		q.Filter = prefixes{list: strings.Split(a.options["prefix"], ","), indexed: true}
	} else if a.has("match") {
		q.Filter = prefixes{list: strings.Split(a.options["match"], ",")}
	}
	page, err := m.log.ReadAll(ctx, q)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, r := range page.Events {
		text.WriteString(show(r))
	}
	fmt.Fprintf(&text, "examined=%d count=%d next=%d end=%v\n", page.Examined, page.Count, page.Next, page.End)
	return text.String(), nil
}

// state STREAM
func (m *machine) state(ctx context.Context, stream string) (string, error) {
	s, err := m.log.StreamState(ctx, stream)
	if err != nil {
		return "", err
	}
	text := fmt.Sprintf("first=%d last=%d exists=%v", s.First, s.Last, s.Exists())
	if s.SoftDeleted {
		text += " soft-deleted"
	}
	if s.Tombstoned {
		text += " tombstoned"
	}
	if s.Metadata.Revision >= 0 {
		text += fmt.Sprintf(" metadata@%d %s", s.Metadata.Revision, s.Metadata.Raw)
	}
	return text + "\n", nil
}
