package codec

import (
	"bytes"
	"slices"
	"strings"
)

// Almost all metadata is what encodeMeta wrote: a flat object of plain strings and small numbers.
// plainMeta reads that in one pass and with one allocation. Whatever else there may be, escapes,
// nested values, repeated keys, is left to the reference in meta.go and hash.go, which decides the
// meaning of all metadata; a test holds that the two agree wherever plainMeta answers at all.

// maxMembers bounds the keys of plain metadata; there are twelve of ours.
const maxMembers = 20

// member is one key of plain metadata. raw is the value as it stands there, a string with its quotes.
type member struct{ key, raw string }

// text is the value of a string, empty for a number.
func (m member) text() string {
	if m.raw[0] != '"' {
		return ""
	}
	return m.raw[1 : len(m.raw)-1]
}

// number is the value of a number, 0 for a string.
func (m member) number() (value int) {
	if m.raw[0] == '"' {
		return 0
	}
	for i := range len(m.raw) {
		value = value*10 + int(m.raw[i]-'0')
	}
	return value
}

// members are the keys of plain metadata in their order.
type members struct {
	list  [maxMembers]member
	count int
}

func (m *members) all() []member { return m.list[:m.count] }

// plainMeta reads plain metadata; not ok if it is anything else.
func plainMeta(metadata []byte, found *members) (ok bool) {
	s := scanner{text: string(metadata)}
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return s.done()
	}
	for found.count < maxMembers {
		key, ok := s.plainString()
		if !ok || !s.take(':') {
			return false
		}
		raw, ok := s.plainValue()
		if !ok || found.has(key) {
			return false
		}
		found.list[found.count] = member{key[1 : len(key)-1], raw}
		found.count++
		if s.take('}') {
			return s.done()
		}
		if !s.take(',') {
			return false
		}
	}
	return false
}

// has tells a key, given with its quotes, that came before.
func (m *members) has(quoted string) bool {
	key := quoted[1 : len(quoted)-1]
	for i := range m.count {
		if m.list[i].key == key {
			return true
		}
	}
	return false
}

// scanner reads JSON of the plainest kind.
type scanner struct {
	text string
	at   int
}

func (s *scanner) blanks() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	s.blanks()
	if s.at == len(s.text) || s.text[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) done() bool {
	s.blanks()
	return s.at == len(s.text)
}

// plainValue is a plain string or a number of up to nine digits.
func (s *scanner) plainValue() (raw string, ok bool) {
	s.blanks()
	begin := s.at
	for s.at < len(s.text) && s.text[s.at] >= '0' && s.text[s.at] <= '9' {
		s.at++
	}
	switch raw = s.text[begin:s.at]; {
	case raw == "":
		return s.plainString()
	case len(raw) > 9, raw[0] == '0' && len(raw) > 1:
		return "", false
	}
	return raw, true // a fraction or exponent behind it fails at what should follow
}

// plainBytes may stand in a string that encoding/json reads and writes as it is.
var plainBytes = func() (plain [256]bool) {
	for c := ' '; c <= '~'; c++ {
		plain[c] = !strings.ContainsRune(`"\<>&`, c)
	}
	return plain
}()

// plainString is a string of plain bytes, with its quotes.
func (s *scanner) plainString() (quoted string, ok bool) {
	if !s.take('"') {
		return "", false
	}
	begin := s.at - 1
	for s.at < len(s.text) && plainBytes[s.text[s.at]] {
		s.at++
	}
	if s.at == len(s.text) || s.text[s.at] != '"' {
		return "", false
	}
	s.at++
	return s.text[begin:s.at], true
}

// canonicalPlain writes the canonical form of plain metadata behind to; not ok if it is not plain.
func canonicalPlain(metadata, to []byte) (prev string, canonical []byte, ok bool) {
	var found members
	if !plainMeta(metadata, &found) {
		return "", to, false
	}
	all := found.all()
	slices.SortFunc(all, func(a, b member) int { return strings.Compare(a.key, b.key) })
	canonical = append(to, '{')
	for _, m := range all {
		switch m.key {
		case "prevHash":
			prev = m.text()
			continue
		case "hash":
			continue
		}
		if len(canonical) > len(to)+1 {
			canonical = append(canonical, ',')
		}
		canonical = append(append(append(canonical, '"'), m.key...), '"', ':')
		canonical = append(canonical, m.raw...)
	}
	return prev, append(canonical, '}'), true
}

// decodePlain is decodeMeta of plain metadata; not ok where the reference is to be asked.
func decodePlain(metadata []byte) (result envelope, ok bool) {
	var found members
	if !plainMeta(metadata, &found) {
		return result, false
	}
	result = newEnvelope()
	meta := &result.meta
	for _, m := range found.all() {
		switch m.key {
		case "$correlationId":
			meta.CorrelationID = m.text()
		case "$causationId":
			meta.CausationID = m.text()
		case "schemaVersion":
			if meta.SchemaVersion = m.number(); meta.SchemaVersion < 1 {
				return result, false // the reference words the error
			}
		case "actor":
			meta.Actor = m.text()
		case "commandId":
			meta.CommandID = m.text()
		case "requestHash":
			meta.RequestHash = m.text()
		case "batchIndex":
			meta.BatchIndex = m.number()
		case "batchSize":
			meta.BatchSize = m.number()
		case "at":
			meta.At = parseTime(m.text())
		case "traceparent":
			meta.TraceParent = m.text()
		case "prevHash":
			meta.PrevHash = m.text()
		case "hash":
			meta.Hash = m.text()
		case "currency":
			if currency := m.text(); currency != "" {
				result.currency = currency
			}
		}
	}
	return result, true
}

// isObject says whether data begins like a JSON object.
func isObject(data []byte) bool {
	data = bytes.TrimLeft(data, " \t\r\n")
	return len(data) > 0 && data[0] == '{'
}
