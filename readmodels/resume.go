package readmodels

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/tidemark-dev/tidemark/domain"
)

// A resume token says how far a watch was: every event up to a position in the log, and single events
// behind it. It speaks of the log, so it outlives processes and generations of documents.
const resumeVersion = 1

func resumeToken(model string, position uint64, marks Tidemark) string {
	raw := binary.AppendUvarint([]byte{resumeVersion}, position)
	for _, m := range marks.Merged() {
		raw = appendMark(raw, m)
	}
	raw = binary.BigEndian.AppendUint32(raw, resumeSum(model, raw))
	return tokenEncoding.EncodeToString(raw)
}

// resumeSum covers the model too: a token of another model's watch says nothing here.
func resumeSum(model string, raw []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(model), tokenTable), tokenTable, raw)
}

func parseResume(model, token string) (position uint64, marks Tidemark, err error) {
	bad := &domain.Error{Kind: domain.KindMalformed, Code: "invalid_resume_point", Message: "The resume point is not one that this service handed out for this list."}
	raw, decodeErr := tokenEncoding.DecodeString(token)
	if len(token) > maxTokenChars || decodeErr != nil || len(raw) < 2+tokenSum || raw[0] != resumeVersion {
		return 0, nil, bad
	}
	body, sum := raw[:len(raw)-tokenSum], binary.BigEndian.Uint32(raw[len(raw)-tokenSum:])
	if resumeSum(model, body) != sum {
		return 0, nil, bad
	}
	position, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return 0, nil, bad
	}
	for rest := body[1+n:]; len(rest) > 0; {
		m, length := readMark(rest)
		if length == 0 {
			return 0, nil, bad
		}
		marks, rest = append(marks, m), rest[length:]
	}
	return position, marks, nil
}
