package readmodels

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"maps"
	"slices"

	"github.com/tidemark-dev/tidemark/domain"
)

const (
	cursorVersion  = 1
	cursorFilter   = 8    // bytes of the filter's hash
	maxCursorChars = 2048 // characters of a cursor
)

func invalidCursor() error {
	return &domain.Error{Kind: domain.KindMalformed, Code: "invalid_cursor",
		Message: "The cursor is not one that this list handed out for these filters."}
}

// filterHash tells lists and their filters apart: a cursor only continues the list it came from.
func filterHash(operation string, params map[string]string, more ...string) []byte {
	h := sha256.New()
	write := func(s string) {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(s)))
		h.Write(size[:])
		h.Write([]byte(s))
	}
	write(operation)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if notFilter(name) || params[name] == "" {
			continue
		}
		write(name)
		write(params[name])
	}
	for _, s := range more {
		write(s)
	}
	return h.Sum(nil)[:cursorFilter]
}

// notFilter names parameters that change neither which items a list has nor their order.
func notFilter(name string) bool {
	switch name {
	case "limit", "cursor", "after", "explain":
		return true
	}
	return false
}

// encodeCursor hides the sort values and id behind which a page continues.
func encodeCursor(filter []byte, after []any) string {
	values, err := json.Marshal(after)
	if err != nil { // strings, integers and booleans always marshal
		return ""
	}
	raw := append([]byte{cursorVersion}, filter...)
	raw = append(raw, values...)
	raw = binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, tokenTable))
	return tokenEncoding.EncodeToString(raw)
}

// decodeCursor reads what encodeCursor wrote for the same filter and as many values.
func decodeCursor(cursor string, filter []byte, values int) ([]any, error) {
	if cursor == "" {
		return nil, nil
	}
	if len(cursor) > maxCursorChars {
		return nil, invalidCursor()
	}
	raw, err := tokenEncoding.DecodeString(cursor)
	if err != nil || len(raw) < 1+cursorFilter+tokenSum {
		return nil, invalidCursor()
	}
	body, sum := raw[:len(raw)-tokenSum], binary.BigEndian.Uint32(raw[len(raw)-tokenSum:])
	if crc32.Checksum(body, tokenTable) != sum || body[0] != cursorVersion || !bytes.Equal(body[1:1+cursorFilter], filter) {
		return nil, invalidCursor()
	}
	decoder := json.NewDecoder(bytes.NewReader(body[1+cursorFilter:]))
	decoder.UseNumber()
	var after []any
	if err := decoder.Decode(&after); err != nil || len(after) != values {
		return nil, invalidCursor()
	}
	for i, v := range after {
		switch v := v.(type) {
		case string, bool, nil:
		case json.Number:
			n, err := v.Int64()
			if err != nil {
				return nil, invalidCursor()
			}
			after[i] = n
		default: // nothing is sorted by these
			return nil, invalidCursor()
		}
	}
	return after, nil
}
