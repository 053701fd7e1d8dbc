package readmodels

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/domain"
)

// Tidemark is how far the log had risen for somebody: a set of events by their places. A state
// includes it if it includes those events and all before them in their streams. It is not a
// position in the whole log, so that it means the same in every store and every process.
type Tidemark []Mark

// Bounds of a token.
const (
	MaxMarks      = 256  // marks in one token, or in several merged
	maxTokenChars = 8192 // characters of a header with tokens
	tokenVersion  = 1
	tokenSum      = 4 // bytes of checksum at the end
)

// categoryCodes shorten the categories that exist today; 0 is a stream's full name. Codes are stored
// by clients, so they are never given another meaning.
var categoryCodes = map[string]byte{"order": 1, "product": 2, "inventory": 3, "account": 4, "fulfilment": 5}

const uuidFlag = 0x80

var (
	tokenTable    = crc32.MakeTable(crc32.Castagnoli)
	tokenEncoding = base64.RawURLEncoding.Strict()
)

// Merged is the union: each stream once with its highest revision, sorted by stream. Marks without
// a stream or with a negative revision say nothing and are left out.
func (t Tidemark) Merged() Tidemark {
	highest := make(map[string]int64, len(t))
	for _, m := range t {
		if m.Stream == "" || m.Revision < 0 {
			continue
		}
		if r, ok := highest[m.Stream]; !ok || m.Revision > r {
			highest[m.Stream] = m.Revision
		}
	}
	merged := make(Tidemark, 0, len(highest))
	for stream, revision := range highest {
		merged = append(merged, Mark{Stream: stream, Revision: revision})
	}
	slices.SortFunc(merged, func(a, b Mark) int { return strings.Compare(a.Stream, b.Stream) })
	return merged
}

// String is the token; empty for an empty set. Of more than MaxMarks streams it names the first
// MaxMarks, which a reader may do: a state that includes all of them includes these.
func (t Tidemark) String() string {
	if len(t.Merged()) == 0 {
		return ""
	}
	return t.Token()
}

// Token is String but for a set of no marks, which has a token too: it is included in every state.
func (t Tidemark) Token() string {
	marks := t.Merged()
	if len(marks) > MaxMarks {
		marks = marks[:MaxMarks]
	}
	raw := []byte{tokenVersion}
	for _, m := range marks {
		raw = appendMark(raw, m)
	}
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, tokenTable))
	return tokenEncoding.EncodeToString(raw)
}

func appendMark(raw []byte, m Mark) []byte {
	name, code := m.Stream, byte(0)
	if c, ok := categoryCodes[domain.Category(m.Stream)]; ok {
		name, code = domain.StreamID(m.Stream), c
	}
	if id, err := uuid.Parse(name); err == nil && id.String() == name {
		raw = append(raw, code|uuidFlag)
		raw = append(raw, id[:]...)
	} else {
		raw = append(raw, code)
		raw = binary.AppendUvarint(raw, uint64(len(name)))
		raw = append(raw, name...)
	}
	return binary.AppendUvarint(raw, uint64(m.Revision))
}

// ParseTidemark reads one token, or several joined by commas, and merges them. Empty text is the
// empty set. Anything that String did not make is KindMalformed with code invalid_tidemark.
func ParseTidemark(text string) (Tidemark, error) {
	if len(text) > maxTokenChars {
		return nil, invalidTidemark("it is longer than %d characters", maxTokenChars)
	}
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all Tidemark
	for token := range strings.SplitSeq(text, ",") {
		marks, err := parseToken(strings.TrimSpace(token))
		if err != nil {
			return nil, err
		}
		all = append(all, marks...)
	}
	all = all.Merged()
	if len(all) > MaxMarks {
		return nil, invalidTidemark("it names more than %d streams", MaxMarks)
	}
	return all, nil
}

func invalidTidemark(format string, args ...any) error {
	return &domain.Error{Kind: domain.KindMalformed, Code: "invalid_tidemark",
		Message: "The tidemark is not one that this service handed out: " + fmt.Sprintf(format, args...) + "."}
}

func parseToken(token string) (Tidemark, error) {
	raw, err := tokenEncoding.DecodeString(token)
	if err != nil || len(raw) < 1+tokenSum {
		return nil, invalidTidemark("it can't be decoded")
	}
	body, sum := raw[:len(raw)-tokenSum], binary.BigEndian.Uint32(raw[len(raw)-tokenSum:])
	if crc32.Checksum(body, tokenTable) != sum {
		return nil, invalidTidemark("its checksum is wrong")
	}
	if body[0] != tokenVersion {
		return nil, invalidTidemark("its version is not known here")
	}
	var marks Tidemark
	for rest := body[1:]; len(rest) > 0; {
		m, n := readMark(rest)
		if n == 0 {
			return nil, invalidTidemark("its content is damaged")
		}
		marks, rest = append(marks, m), rest[n:]
	}
	return marks, nil
}

// readMark gives the first mark and its length, 0 if there is none.
func readMark(raw []byte) (Mark, int) {
	head, rest := raw[0], raw[1:]
	var name string
	if head&uuidFlag != 0 {
		if len(rest) < 16 {
			return Mark{}, 0
		}
		name, rest = uuid.UUID(rest[:16]).String(), rest[16:]
	} else {
		length, n := binary.Uvarint(rest)
		if n <= 0 || length == 0 || length > uint64(len(rest)-n) {
			return Mark{}, 0
		}
		name, rest = string(rest[n:n+int(length)]), rest[n+int(length):]
	}
	if code := head &^ uuidFlag; code != 0 {
		category := categoryOf(code)
		if category == "" {
			return Mark{}, 0
		}
		name = domain.Stream(category, name)
	}
	revision, n := binary.Uvarint(rest)
	if n <= 0 || revision > math.MaxInt64 {
		return Mark{}, 0
	}
	return Mark{Stream: name, Revision: int64(revision)}, len(raw) - len(rest) + n
}

func categoryOf(code byte) string {
	for category, c := range categoryCodes {
		if c == code {
			return category
		}
	}
	return ""
}
