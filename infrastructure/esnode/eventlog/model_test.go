package eventlog

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

// model is the log again, slow and simple: one list of events and a few questions about it, from the
// protocol's description. It shares nothing with the log but the types of the contract.
type model struct {
	now    time.Time
	events []Event // what is stored, in the order of the log
	next   int64   // position
	known  map[string]map[string]Event
}

// limits is stream metadata as the tests write it.
type limits struct {
	count, before, seconds int64
}

func (l limits) text() string {
	var parts []string
	if l.count > 0 {
		parts = append(parts, fmt.Sprintf(`"$maxCount":%d`, l.count))
	}
	if l.before > 0 {
		parts = append(parts, fmt.Sprintf(`"$tb":%d`, l.before))
	}
	if l.seconds > 0 {
		parts = append(parts, fmt.Sprintf(`"$maxAge":%d`, l.seconds))
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func scanLimits(text string) (l limits) {
	for _, part := range strings.Split(strings.Trim(text, "{}"), ",") {
		var n int64
		key, value, _ := strings.Cut(part, ":")
		fmt.Sscan(value, &n)
		switch key {
		case `"$maxCount"`:
			l.count = n
		case `"$tb"`:
			l.before = n
		case `"$maxAge"`:
			l.seconds = n
		}
	}
	return l
}

func (m *model) of(stream string) (list []Event) {
	for _, e := range m.events {
		if e.Stream == stream {
			list = append(list, e)
		}
	}
	return list
}

func (m *model) last(stream string) int64 {
	last := NoStream
	for _, e := range m.of(stream) {
		if e.Revision != Tombstone {
			last = e.Revision
		}
	}
	return last
}

func (m *model) tombstoned(stream string) bool {
	for _, e := range m.events {
		if e.Revision == Tombstone && (e.Stream == stream || "$$"+e.Stream == stream) {
			return true
		}
	}
	return false
}

func (m *model) limits(stream string) (l limits, described bool) {
	if strings.HasPrefix(stream, "$$") {
		return limits{count: 1}, false
	}
	list := m.of("$$" + stream)
	if len(list) == 0 {
		return limits{}, false
	}
	return scanLimits(string(list[len(list)-1].Data)), true
}

func (m *model) softDeleted(stream string) bool {
	l, _ := m.limits(stream)
	return l.before == Tombstone
}

// readable is what a reader of the stream sees; not ok if there is no such stream for it.
func (m *model) readable(stream string) (list []Event, ok bool) {
	last := m.last(stream)
	if last < 0 || m.softDeleted(stream) {
		return nil, false
	}
	l, _ := m.limits(stream)
	for _, e := range m.of(stream) {
		young := l.seconds == 0 || e.Created >= m.now.Add(-time.Duration(l.seconds)*time.Second).UnixNano()/100
		if e.Revision >= l.before && (l.count == 0 || e.Revision > last-l.count) && young {
			list = append(list, e)
		}
	}
	return list, true
}

func (m *model) put(stream string, revision int64, p Proposed) Event {
	m.next++
	e := Event{Stream: stream, Revision: revision, Position: m.next, ID: p.ID, Type: p.Type, JSON: p.JSON,
		Data: append([]byte{}, p.Data...), Metadata: append([]byte{}, p.Metadata...), Created: m.now.UnixNano() / 100}
	m.events = append(m.events, e)
	if m.known[stream] == nil {
		m.known[stream] = map[string]Event{}
	}
	if revision != Tombstone {
		m.known[stream][string(p.ID[:])] = e
	}
	return e
}

func (m *model) visible(e Event) bool {
	list, _ := m.readable(e.Stream)
	for _, r := range list {
		if r.Revision == e.Revision {
			return true
		}
	}
	return false
}

// append answers "ok REVISION POSITION [repeated]", "wrong CURRENT" or "deleted".
func (m *model) append(stream string, expected int64, events []Proposed) string {
	last, soft := m.last(stream), m.softDeleted(stream)
	_, described := m.limits(stream)
	wrong := fmt.Sprintf("wrong %d", last)
	if m.tombstoned(stream) || expected == StreamExists && soft {
		return "deleted"
	}
	if expected == StreamExists && last < 0 && !described {
		return wrong
	}
	var at func(i int) (Event, bool)
	switch {
	case expected == Any || expected == StreamExists:
		at = func(i int) (Event, bool) {
			e, ok := m.known[stream][string(events[i].ID[:])]
			return e, ok
		}
	case expected > last:
		return wrong
	case expected < last:
		at = func(i int) (Event, bool) {
			for _, e := range m.of(stream) {
				if e.Revision == expected+1+int64(i) {
					return e, e.ID == events[i].ID
				}
			}
			return Event{}, false
		}
	}
	lenient := expected < 0 && (expected != NoStream || soft || last < 0) || expected == last
	if at != nil {
		if len(events) == 0 && !lenient {
			return wrong
		}
		for i := range events {
			e, ok := at(i)
			if !ok && i == 0 && lenient {
				break
			}
			if !ok {
				return wrong
			}
			if i < len(events)-1 {
				continue
			}
			position := e.Position
			if !m.visible(e) {
				position = 0
			}
			return fmt.Sprintf("ok %d %d repeated", e.Revision, position)
		}
	}
	return m.write(stream, last, soft, events)
}

func (m *model) write(stream string, last int64, soft bool, events []Proposed) string {
	if len(events) == 0 {
		return fmt.Sprintf("ok %d %d", last, max(m.next, 1))
	}
	of, meta := strings.CutPrefix(stream, "$$")
	undelete := meta && m.softDeleted(of)
	var newest Event
	for i, p := range events {
		newest = m.put(stream, last+1+int64(i), p)
	}
	if soft {
		l, _ := m.limits(stream)
		l.before = last + 1
		m.own(stream, l)
	}
	if undelete {
		l := scanLimits(string(newest.Data))
		l.before = m.last(of) + 1
		m.own(of, l)
	}
	return fmt.Sprintf("ok %d %d", newest.Revision, newest.Position)
}

// own writes a metadata event of the server's; "$tb" is there even if it is 0.
func (m *model) own(stream string, l limits) {
	text := l.text()
	if l.before == 0 {
		text = strings.TrimSuffix(text, "}") + `,"$tb":0}`
		text = strings.Replace(text, "{,", "{", 1)
	}
	m.put("$$"+stream, m.last("$$"+stream)+1, Proposed{Type: TypeMetadata, JSON: true, Data: []byte(text)})
}

// expect is the judgement on deleting.
func (m *model) expect(stream string, expected int64) string {
	last, soft := m.last(stream), m.softDeleted(stream)
	_, described := m.limits(stream)
	switch {
	case m.tombstoned(stream), expected == StreamExists && soft:
		return "deleted"
	case expected == Any, expected == last, expected == NoStream && soft, expected == StreamExists && (last >= 0 || described):
		return ""
	}
	return fmt.Sprintf("wrong %d", last)
}

func (m *model) delete(stream string, expected int64) string {
	if refusal := m.expect(stream, expected); refusal != "" {
		return refusal
	}
	if _, described := m.limits(stream); m.last(stream) < 0 && !described {
		return "wrong -1"
	}
	e := m.put("$$"+stream, m.last("$$"+stream)+1, Proposed{Type: TypeMetadata, JSON: true, Data: []byte(limits{before: Tombstone}.text())})
	return fmt.Sprintf("ok %d", e.Position)
}

func (m *model) tombstone(stream string, expected int64) string {
	if refusal := m.expect(stream, expected); refusal != "" {
		return refusal
	}
	return fmt.Sprintf("ok %d", m.put(stream, Tombstone, Proposed{Type: TypeStreamDeleted}).Position)
}

// scavenge removes what nobody can read, but for each stream's newest event.
func (m *model) scavenge() (removed int) {
	var kept []Event
	for _, e := range m.events {
		list, ok := m.readable(e.Stream)
		first := m.last(e.Stream)
		if ok && len(list) > 0 {
			first = list[0].Revision
		}
		ended := false
		for _, other := range m.of(e.Stream) {
			ended = ended || other.Revision == Tombstone
		}
		if e.Revision < first || ended && e.Revision != Tombstone {
			removed++
			continue
		}
		kept = append(kept, e)
	}
	m.events = kept
	return removed
}

// streams lists the names that were ever written to.
func (m *model) streams() (names []string) {
	seen := map[string]bool{}
	for _, e := range m.events {
		if !seen[e.Stream] {
			seen[e.Stream] = true
			names = append(names, e.Stream)
		}
	}
	sort.Strings(names)
	return names
}
