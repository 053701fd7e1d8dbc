package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// storedMeta is the metadata envelope as it is written. The two keys with a dollar are EventStoreDB's
// own names, so that its $by_correlation_id projection works.
type storedMeta struct {
	CorrelationID string `json:"$correlationId,omitempty"`
	CausationID   string `json:"$causationId,omitempty"`
	SchemaVersion int    `json:"schemaVersion"`
	Actor         string `json:"actor,omitempty"`
	CommandID     string `json:"commandId,omitempty"`
	RequestHash   string `json:"requestHash,omitempty"`
	BatchIndex    int    `json:"batchIndex"`
	BatchSize     int    `json:"batchSize"`
	At            string `json:"at,omitempty"`
	TraceParent   string `json:"traceparent,omitempty"`
	PrevHash      string `json:"prevHash,omitempty"`
	Hash          string `json:"hash,omitempty"`
}

// atLayout is the fixed, sortable form of times in stored metadata.
const atLayout = "2006-01-02T15:04:05.000000Z"

// encodeMeta gives the metadata of raw, with the hash that it computes over raw and the rest of meta.
func encodeMeta(raw Raw, meta domain.Meta) (metadata []byte, hash string, err error) {
	stored := storedMeta{
		CorrelationID: meta.CorrelationID, CausationID: meta.CausationID, SchemaVersion: meta.SchemaVersion,
		Actor: meta.Actor, CommandID: meta.CommandID, RequestHash: meta.RequestHash,
		BatchIndex: meta.BatchIndex, BatchSize: meta.BatchSize, TraceParent: meta.TraceParent, PrevHash: meta.PrevHash,
	}
	if !meta.At.IsZero() {
		stored.At = meta.At.UTC().Format(atLayout)
	}
	if raw.Metadata, err = json.Marshal(stored); err != nil {
		return nil, "", err
	}
	hash = Hash(raw)
	metadata = slices.Grow(raw.Metadata[:len(raw.Metadata)-1], len(`,"hash":""}`)+len(hash))
	metadata = append(append(metadata, `,"hash":"`...), hash...) // the last of storedMeta's fields
	return append(metadata, '"', '}'), hash, nil
}

// envelope is decoded metadata: the known part, and what only old shapes need.
type envelope struct {
	meta     domain.Meta
	currency string // of amounts in version-1 data
}

func newEnvelope() envelope {
	return envelope{meta: domain.Meta{SchemaVersion: 1}, currency: "EUR"}
}

// decodeMeta reads metadata leniently, because other writers put their own things there: a known key
// of a wrong type counts as missing. Only the schema version is taken seriously, since the meaning
// of the data hangs on it. No metadata at all is version 1.
func decodeMeta(metadata []byte) (envelope, error) {
	if result, ok := decodePlain(metadata); ok {
		return result, nil
	}
	return decodeAnyMeta(metadata)
}

// decodeAnyMeta is decodeMeta for metadata of any kind, and says what all metadata means.
func decodeAnyMeta(metadata []byte) (envelope, error) {
	result := newEnvelope()
	if len(bytes.TrimSpace(metadata)) == 0 {
		return result, nil
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(metadata, &keys); err != nil {
		return result, fmt.Errorf("metadata: %w", err)
	}
	text := func(key string) (value string) {
		if json.Unmarshal(keys[key], &value) != nil {
			return ""
		}
		return value
	}
	number := func(key string) (value int) {
		if json.Unmarshal(keys[key], &value) != nil {
			return 0
		}
		return value
	}
	result.meta = domain.Meta{
		SchemaVersion: 1,
		CorrelationID: text("$correlationId"), CausationID: text("$causationId"),
		Actor: text("actor"), CommandID: text("commandId"), RequestHash: text("requestHash"),
		BatchIndex: number("batchIndex"), BatchSize: number("batchSize"),
		At: parseTime(text("at")), TraceParent: text("traceparent"),
		PrevHash: text("prevHash"), Hash: text("hash"),
	}
	if currency := text("currency"); currency != "" {
		result.currency = currency
	}
	if stored, given := keys["schemaVersion"]; given {
		if err := json.Unmarshal(stored, &result.meta.SchemaVersion); err != nil {
			return result, fmt.Errorf("schema version: %w", err)
		}
		if result.meta.SchemaVersion < 1 {
			return result, errors.New("schema version below 1")
		}
	}
	return result, nil
}

// timeLayouts are the forms of times in metadata and in version-1 data; the ones without a zone are UTC.
var timeLayouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999"}

// parseTime is the zero time for what is no time.
func parseTime(text string) time.Time {
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1 && t.Year() <= 9999 {
			return moment(t)
		}
	}
	return time.Time{}
}
