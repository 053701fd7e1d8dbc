package codec

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// agree holds the plain way against the reference.
func agree(t interface{ Errorf(string, ...any) }, metadata []byte) (plain bool) {
	got, plain := decodePlain(metadata)
	want, err := decodeAnyMeta(metadata)
	if plain && (err != nil || got != want) {
		t.Errorf("%q is plainly %+v, the reference has %+v, %v", metadata, got, want, err)
	}
	prev, rest, ok := canonicalPlain(metadata, nil)
	if wantPrev, wantRest := canonicalMeta(metadata); ok && (prev != wantPrev || string(rest) != string(wantRest)) {
		t.Errorf("%q is canonically %q and %q, the reference has %q and %q", metadata, prev, rest, wantPrev, wantRest)
	}
	return plain && ok
}

func TestPlainMetadataMeansWhatTheReferenceSays(t *testing.T) {
	keys := []string{"$correlationId", "$causationId", "schemaVersion", "actor", "commandId", "requestHash", "batchIndex",
		"batchSize", "at", "traceparent", "prevHash", "hash", "currency", "Hash", "mood", "", "ключ", "a<b", `q\u0022`, "\x7f"}
	values := []string{"0", "1", "2", "01", "12345678901234567890", "123456789", "1234567890", "-1", "1.5", "1e2", "1.0", "true", "null", `""`, `"USD"`, `"a b"`, `"é"`,
		`"<"`, `"&"`, `"\n"`, `"\u0041"`, "\"\x80\"", "\"\t\"", "\"\x7f\"", `{}`, `[1, 2]`, `{"a" : 1}`, `"2026-03-01T12:00:00.123456Z"`, `"abc`, `"a"b`, ``}
	blanks := []string{"", "", "", " ", "\t", "\r\n", "\v", "\u00a0"}
	if !agree(t, []byte(`{"actor":"USD","batchIndex":0,"schemaVersion":1}`)) {
		t.Error("what we write is not plain, so nothing would be compared")
	}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		put := func(s string) {
			text.WriteString(rapid.SampledFrom(blanks).Draw(t, "blank"))
			text.WriteString(s)
		}
		put("{")
		for i := range rapid.IntRange(0, 6).Draw(t, "members") {
			if i > 0 {
				put(",")
			}
			put(`"` + rapid.SampledFrom(keys).Draw(t, "key") + `"`)
			put(":")
			put(rapid.SampledFrom(values).Draw(t, "value"))
		}
		put("}")
		put(rapid.SampledFrom([]string{"", "", "", "", "x", "{}", ","}).Draw(t, "rest"))
		agree(t, []byte(text.String()))
	})
}

func TestWhatWeWriteIsPlain(t *testing.T) {
	encoded, _ := encodedExample(t)
	if !agree(t, encoded.Metadata) {
		t.Errorf("%s takes the slow way", encoded.Metadata)
	}
	var fields storedMeta
	if err := json.Unmarshal(encoded.Metadata, &fields); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(marshal(t, fields)), string(encoded.Metadata)); diff != "" {
		t.Errorf("not what encoding/json writes (-json +stored):\n%s", diff)
	}
}

func TestDataIsOneObjectAndNothingElse(t *testing.T) {
	for _, data := range []string{``, ` `, `null`, `[]`, `1`, `{}{}`, `{} x`, `{`, `{"note":}`, `{"items":[}`, "\ufeff{}"} {
		for _, eventType := range []string{"OrderCreated", "ItemAdded"} {
			raw := Raw{Type: eventType, Data: []byte(data), Metadata: []byte(`{"schemaVersion":2}`)}
			if recorded, err := Decode(raw); err == nil {
				t.Errorf("%s of %q is %+v", eventType, data, recorded.Event)
			}
		}
	}
}

func FuzzPlainMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `{"schemaVersion":2,"actor":"me","hash":"ab","prevHash":"cd"}`, `{"a":1,"a":2}`, ` {"at" : "x" } `, `null`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, metadata []byte) { agree(t, metadata) })
}

func encodedExample(tb testing.TB) (Encoded, Raw) {
	tb.Helper()
	meta := exampleMeta
	meta.Actor, meta.RequestHash = "018f0000-0000-7000-8000-00000000000d", exampleHash
	encoded, _, err := Encode("order-018f0000-0000-7000-8000-00000000000e", domain.Tip{Revision: 3, Hash: exampleHash}, []domain.Proposed{{
		ID: "018f0000-0000-7000-8000-00000000000f", Meta: meta,
		Event: order.ItemAdded{Line: order.Line{SKU: "DESK-WALNUT-160", Name: "A desk", Quantity: 2, UnitPrice: 19900}},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	e := encoded[0]
	return e, Raw{Stream: "order-018f0000-0000-7000-8000-00000000000e", Revision: 4, Position: 5, ID: e.ID, Type: e.Type, Stored: time.Unix(1772366400, 0), Data: e.Data, Metadata: e.Metadata}
}

func BenchmarkDecode(b *testing.B) {
	_, raw := encodedExample(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	_, raw := encodedExample(b)
	recorded, err := Decode(raw)
	if err != nil {
		b.Fatal(err)
	}
	proposed := []domain.Proposed{{ID: recorded.ID, Event: recorded.Event, Meta: recorded.Meta}}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Encode(raw.Stream, domain.Tip{Revision: 3, Hash: exampleHash}, proposed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	_, raw := encodedExample(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(exampleHash, raw); err != nil {
			b.Fatal(err)
		}
	}
}
