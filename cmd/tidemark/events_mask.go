package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tidemark-dev/tidemark/infrastructure/codec"
)

// personal are the fields of events and metadata that say something about a person.
var personal = map[string]bool{
	"customerId": true, "customer_id": true, "shippingAddress": true, "note": true, "reference": true,
	"trackingNumber": true, "actor": true,
}

// masker replaces personal values by pseudonyms that are stable within one export and can't be undone
// or compared with those of another.
type masker struct{ key []byte }

func newMasker() *masker {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails on supported systems
	return &masker{key: key}
}

// mask gives the event without personal values and without hashes.
func (m *masker) mask(raw codec.Raw) (codec.Raw, error) {
	var data any
	if err := json.Unmarshal(raw.Data, &data); err != nil {
		return raw, fmt.Errorf("%s@%d can't be masked: %w", raw.Stream, raw.Revision, err)
	}
	var metadata map[string]any
	if len(raw.Metadata) > 0 {
		if err := json.Unmarshal(raw.Metadata, &metadata); err != nil {
			return raw, fmt.Errorf("metadata of %s@%d can't be masked: %w", raw.Stream, raw.Revision, err)
		}
		delete(metadata, "hash")
		delete(metadata, "prevHash")
		delete(metadata, "requestHash") // guessable from a short request
	}
	var err error
	if raw.Data, err = json.Marshal(m.walk(data)); err != nil {
		return raw, err
	}
	raw.Metadata, err = json.Marshal(m.walk(metadata))
	return raw, err
}

func (m *masker) walk(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			if personal[key] && inner != nil && inner != "" && !isProcess(inner) {
				v[key] = m.pseudonym(inner)
			} else {
				v[key] = m.walk(inner)
			}
		}
	case []any:
		for i := range v {
			v[i] = m.walk(v[i])
		}
	}
	return value
}

// isProcess says whether an actor is one of the program's own processes, not a person.
func isProcess(value any) bool {
	text, ok := value.(string)
	return ok && strings.HasPrefix(text, "process:")
}

func (m *masker) pseudonym(value any) string {
	mac := hmac.New(sha256.New, m.key)
	fmt.Fprint(mac, value)
	return "masked-" + hex.EncodeToString(mac.Sum(nil)[:8])
}
