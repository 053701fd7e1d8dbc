package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// Hash is the tamper-evident fingerprint of an event: hex SHA-256 over the hash of the event before
// it, its stream, revision, type, id and data, and its metadata without the hash itself. Each part
// is preceded by its length, so that nothing can move from one into another. Metadata counts in a
// canonical form (sorted keys, no blanks), so that re-indenting an export changes nothing.
func Hash(raw Raw) string {
	var room [1024]byte
	prev, rest, plain := canonicalPlain(raw.Metadata, room[:0])
	if !plain {
		prev, rest = canonicalMeta(raw.Metadata)
	}
	return hashOf(raw, prev, rest)
}

func hashOf(raw Raw, prev string, rest []byte) string {
	var room [2048]byte
	content := appendPart(room[:0], prev)
	content = appendPart(content, raw.Stream)
	content = binary.BigEndian.AppendUint64(content, 8)
	content = binary.BigEndian.AppendUint64(content, uint64(raw.Revision))
	content = appendPart(content, raw.Type)
	content = appendPart(content, raw.ID)
	content = appendPart(content, raw.Data)
	content = appendPart(content, rest)
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func appendPart[T string | []byte](content []byte, part T) []byte {
	return append(binary.BigEndian.AppendUint64(content, uint64(len(part))), part...)
}

// canonicalMeta gives the previous event's hash and the metadata without the hashes; what is no
// JSON object stands for itself.
func canonicalMeta(metadata []byte) (prev string, rest []byte) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(metadata, &keys) != nil || keys == nil {
		return "", metadata
	}
	if json.Unmarshal(keys["prevHash"], &prev) != nil {
		prev = ""
	}
	delete(keys, "hash")
	delete(keys, "prevHash")
	rest, err := json.Marshal(keys)
	if err != nil {
		return prev, metadata
	}
	return prev, rest
}

// Check verifies one link of a stream's chain: that raw still has the content its hash was made of,
// and that it follows the event whose hash is prev. An event that was stored without a hash (version
// 1, foreign) has nothing to verify. It gives the hash that the next event has to follow.
func Check(prev string, raw Raw) (next string, err error) {
	envelope, err := decodeMeta(raw.Metadata)
	if err != nil {
		return "", fmt.Errorf("event %d of %s: %w", raw.Revision, raw.Stream, err)
	}
	actual := Hash(raw)
	switch stored := envelope.meta; {
	case stored.Hash == "":
		return actual, nil
	case stored.Hash != actual:
		return stored.Hash, fmt.Errorf("event %d of %s: its content does not match its hash", raw.Revision, raw.Stream)
	case stored.PrevHash != prev:
		return actual, fmt.Errorf("event %d of %s: it does not follow the event before it", raw.Revision, raw.Stream)
	}
	return actual, nil
}
