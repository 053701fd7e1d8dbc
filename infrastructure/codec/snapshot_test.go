package codec

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
)

// Whenever the quick way reads a snapshot it reads what encoding/json reads.
func TestSnapshotsAreReadAsTheReferenceDoes(t *testing.T) {
	usual := map[string]string{"foldVersion": "2", "revision": "7", "commands": `"QUJD+/"`, "state": `"{\"commands\":\"x\"}"`, "hash": `"ab"`}
	keys := []string{"foldVersion", "revision", "commands", "state", "hash", "foldVersion", "revision", "commands", "state", "hash", "Commands", "more", `a\"b`, `x\",\"commands`}
	odd := []string{"0", "-1", "1.5", "null", `""`, `"(taken out)"`, `"a\"b"`, `"a\\"`, `","`, `"é"`, "\"\x80\"", "{}",
		`{"commands":"inner"}`, `{"a":1,"commands":"inner"}`, `[{"a":1,"commands":"inner"}]`, `"open`}
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		text.WriteString(`{"position":1`)
		if rapid.Bool().Draw(t, "as written") { // else the quick way would seldom be taken
			text.WriteString(`,"commands":` + usual["commands"])
		}
		for range rapid.IntRange(0, 6).Draw(t, "members") {
			text.WriteString(",")
			key := rapid.SampledFrom(keys).Draw(t, "key")
			value, known := usual[key]
			if !known || rapid.IntRange(0, 9).Draw(t, "odd") == 0 {
				value = rapid.SampledFrom(odd).Draw(t, "value")
			}
			text.WriteString(`"` + key + `":` + value)
		}
		text.WriteString("}" + rapid.SampledFrom([]string{"", "", "", "}", "x"}).Draw(t, "rest"))
		got, ok := snapshotTaken([]byte(text.String()))
		if !ok {
			return
		}
		var want domain.SnapshotTaken
		if err := json.Unmarshal([]byte(text.String()), &want); err != nil || got != want {
			t.Fatalf("%s is read as %+v, the reference has %+v, %v", text.String(), got, want, err)
		}
	})
}

func TestWhatWeWriteOfSnapshotsIsReadQuickly(t *testing.T) {
	want := domain.SnapshotTaken{FoldVersion: 2, Revision: 99, Position: 12345, Hash: "ab", Commands: strings.Repeat("QUJD+/", 100), State: `{"commands":"x","a":{"b":"<é>"}}`, Checksum: "cd"}
	got, ok := snapshotTaken(marshal(t, want))
	if !ok || got != want {
		t.Errorf("%+v, %v", got, ok)
	}
}

func BenchmarkDecodeSnapshot(b *testing.B) {
	data, err := json.Marshal(domain.SnapshotTaken{FoldVersion: 2, Revision: 99_999, Position: 1 << 30, Commands: strings.Repeat("QUJD+/", 4000), State: `{"balance":1}`})
	if err != nil {
		b.Fatal(err)
	}
	raw := Raw{Stream: "snapshot-account-1", Type: "SnapshotTaken", Data: data, Metadata: []byte(`{"schemaVersion":1,"hash":"ab"}`)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(raw); err != nil {
			b.Fatal(err)
		}
	}
}
