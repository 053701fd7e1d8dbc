package eventlog

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// Keys of stream metadata with a meaning.
const (
	keyMaxCount       = "$maxCount"
	keyMaxAge         = "$maxAge"
	keyTruncateBefore = "$tb"
	keyCacheControl   = "$cacheControl"
	keyACL            = "$acl"
	keyTemporary      = "$tmp"
)

// softDeleted is the whole metadata of a soft-deleted stream, byte for byte as the original writes it.
const softDeleted = `{"$tb":9223372036854775807}`

// noMetadata is that of a stream without any.
func noMetadata() StreamMetadata { return StreamMetadata{Revision: -1} }

// metaOfMeta holds for every metadata stream: its latest event is all that counts.
func metaOfMeta() StreamMetadata { return StreamMetadata{MaxCount: 1, Revision: -1} }

// readMetadata reads the latest event of a metadata stream. Whatever is wrong with it makes it empty.
func readMetadata(e *Event) StreamMetadata {
	m := noMetadata()
	if e.JSON {
		m, _ = parseMetadata(e.Data)
	}
	m.Revision = e.Revision
	return m
}

// parseMetadata reads stream metadata. It is not ok, and empty, if the text is no JSON object or a known
// key has a value of the wrong type. Zero and negative limits are no limits.
func parseMetadata(raw []byte) (m StreamMetadata, ok bool) {
	m = noMetadata()
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil || fields == nil {
		return m, false
	}
	var parsed StreamMetadata
	var maxAge, cacheControl int64
	ok = integer(fields, keyMaxCount, 1, &parsed.MaxCount) &&
		integer(fields, keyTruncateBefore, 0, &parsed.TruncateBefore) &&
		integer(fields, keyMaxAge, 1, &maxAge) &&
		integer(fields, keyCacheControl, 1, &cacheControl) &&
		boolean(fields, keyTemporary)
	if ok {
		parsed.ACL, ok = acl(fields[keyACL])
	}
	if !ok {
		return m, false
	}
	parsed.MaxAge, parsed.CacheControl = seconds(maxAge), seconds(cacheControl)
	parsed.Revision, parsed.Raw = -1, bytes.Clone(raw)
	return parsed, true
}

// integer reads an optional whole number; what is below least counts as absent.
func integer(fields map[string]json.RawMessage, key string, least int64, into *int64) bool {
	raw, ok := fields[key]
	if !ok || string(raw) == "null" {
		return true
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil {
		return false
	}
	if n >= least {
		*into = n
	}
	return true
}

func boolean(fields map[string]json.RawMessage, key string) bool {
	raw, ok := fields[key]
	return !ok || string(raw) == "true" || string(raw) == "false" || string(raw) == "null"
}

// seconds saturates: an age of more than 292 years is for ever.
func seconds(n int64) time.Duration {
	if n > int64(math.MaxInt64/time.Second) {
		return math.MaxInt64
	}
	return time.Duration(n) * time.Second
}

func acl(raw json.RawMessage) (*ACL, bool) {
	if raw == nil || string(raw) == "null" {
		return nil, true
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return nil, false
	}
	var list ACL
	for key, into := range map[string]*[]string{
		"$r": &list.Read, "$w": &list.Write, "$d": &list.Delete, "$mr": &list.MetaRead, "$mw": &list.MetaWrite,
	} {
		var ok bool
		if *into, ok = roles(fields[key]); !ok {
			return nil, false
		}
	}
	return &list, true
}

// roles is a string or an array of strings.
func roles(raw json.RawMessage) ([]string, bool) {
	if raw == nil || string(raw) == "null" {
		return nil, true
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, true
	}
	var many []*string
	if json.Unmarshal(raw, &many) != nil {
		return nil, false
	}
	list := make([]string, 0, len(many))
	for _, role := range many {
		if role == nil {
			return nil, false
		}
		list = append(list, *role)
	}
	return list, true
}

// withTruncateBefore is the same metadata with another "$tb". Metadata that doesn't count is replaced.
func withTruncateBefore(raw []byte, revision int64) []byte {
	fields := map[string]json.RawMessage{}
	if _, ok := parseMetadata(raw); ok {
		if json.Unmarshal(raw, &fields) != nil {
			fields = map[string]json.RawMessage{}
		}
	}
	fields[keyTruncateBefore] = strconv.AppendInt(nil, revision, 10)
	text, err := json.Marshal(fields)
	if err != nil { // can't be: every value was parsed
		return append(strconv.AppendInt([]byte(`{"$tb":`), revision, 10), '}')
	}
	return text
}
