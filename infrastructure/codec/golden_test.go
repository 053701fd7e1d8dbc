package codec

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

var update = flag.Bool("update", false, "add goldens for shapes that have none; existing ones never change")

// golden is one stored event and what it has to be read as, for as long as the service exists. What is stored never
// changes; Event follows today's shape, by hand and for reviewers to see, when that gets a new version.
type golden struct {
	Stream   string          `json:"stream"`
	ID       string          `json:"id"`
	Stored   time.Time       `json:"stored"`
	Data     json.RawMessage `json:"data"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	Event    json.RawMessage `json:"event"` // in today's shape
	Meta     domain.Meta     `json:"meta"`
}

// raw is the stored event; files are indented for people, stored JSON is compact.
func (g golden) raw(eventType string) Raw {
	return Raw{Stream: g.Stream, Revision: 3, Position: 77, ID: g.ID, Type: eventType, Stored: g.Stored,
		Data: compact(g.Data), Metadata: compact(g.Metadata)}
}

func compact(text []byte) []byte {
	var buffer bytes.Buffer
	if len(text) == 0 || json.Compact(&buffer, text) != nil {
		return text
	}
	return buffer.Bytes()
}

// exampleMeta is an envelope with every field set.
var exampleMeta = domain.Meta{
	CorrelationID: "corr", CausationID: "cause", CommandID: "018f0000-0000-7000-8000-00000000000c", RequestHash: "9f86",
	Actor: "process:fulfilment", BatchIndex: 1, BatchSize: 2, At: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC),
	TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

const exampleHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestEveryShapeEverStoredIsReadAsItAlwaysWas(t *testing.T) {
	paths, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no goldens: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			eventType, version := shapeOf(t, path)
			stored := readGolden(t, path)
			recorded, err := Decode(stored.raw(eventType))
			if err != nil {
				t.Fatal(err)
			}
			if recorded.Meta.SchemaVersion != version {
				t.Errorf("schema version %d in a golden of version %d", recorded.Meta.SchemaVersion, version)
			}
			if diff := cmp.Diff(stored.Meta, recorded.Meta); diff != "" {
				t.Errorf("meta (-golden +now):\n%s", diff)
			}
			if diff := cmp.Diff(parsed(t, stored.Event), parsed(t, marshal(t, recorded.Event))); diff != "" {
				t.Errorf("event (-golden +now):\n%s", diff)
			}
		})
	}
}

func TestEveryShapeHasAGolden(t *testing.T) {
	for name, kind := range registry {
		for version := 1; version < kind.version; version++ {
			if len(goldensOf(t, name, version)) == 0 {
				t.Errorf("no golden %s.v%d.json: what earlier releases stored is added by hand", name, version)
			}
		}
	}
}

// A field that is added to a shape makes the example another one, and that needs a golden of its own.
func TestEveryExampleHasAGolden(t *testing.T) {
	missing := Types()
	for _, event := range today() {
		name := event.EventType()
		missing = slices.DeleteFunc(missing, func(other string) bool { return other == name })
		goldens := goldensOf(t, name, Version(name))
		if slices.ContainsFunc(goldens, func(g golden) bool {
			return cmp.Equal(parsed(t, g.Data), parsed(t, marshal(t, event)))
		}) {
			continue
		}
		path := filepath.Join("testdata", "golden", fmt.Sprintf("%s.v%d.json", name, Version(name)))
		if n := len(goldens); n > 0 {
			path = strings.Replace(path, ".json", fmt.Sprintf(".%d.json", n+1), 1)
		}
		if !*update {
			t.Errorf("no golden holds the example of %s: -update adds it", name)
			continue
		}
		writeGolden(t, path, event)
	}
	if len(missing) > 0 {
		t.Errorf("today() has no example of %v", missing)
	}
}

// goldensOf reads all goldens of one shape.
func goldensOf(t *testing.T, eventType string, version int) (goldens []golden) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "golden", fmt.Sprintf("%s.v%d.*json", eventType, version)))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		goldens = append(goldens, readGolden(t, path))
	}
	return goldens
}

func readGolden(t *testing.T, path string) (stored golden) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &stored); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return stored
}

func writeGolden(t *testing.T, path string, event domain.Event) {
	t.Helper()
	stream := "example-1"
	const id = "018f0000-0000-7000-8000-00000000000e"
	encoded, _, err := Encode(stream, domain.Tip{Revision: 2, Hash: exampleHash}, []domain.Proposed{{ID: id, Event: event, Meta: exampleMeta}})
	if err != nil {
		t.Fatal(err)
	}
	stored := golden{Stream: stream, ID: id, Stored: time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC), Data: encoded[0].Data, Metadata: encoded[0].Metadata, Event: encoded[0].Data}
	recorded, err := Decode(stored.raw(event.EventType()))
	if err != nil {
		t.Fatal(err)
	}
	stored.Meta = recorded.Meta
	text, err := json.MarshalIndent(stored, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) // never over one that is there
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(append(text, '\n')); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("added %s: read it before it is committed", path)
}

// shapeOf reads stored name and version from a golden's file name.
func shapeOf(t *testing.T, path string) (eventType string, version int) {
	t.Helper()
	eventType, rest, _ := strings.Cut(strings.TrimSuffix(filepath.Base(path), ".json"), ".v")
	number, _, _ := strings.Cut(rest, ".") // OrderCreated.v1.currency: a further golden of the same shape
	version, err := strconv.Atoi(number)
	if err != nil {
		t.Fatalf("golden %s is not named <Type>.v<N>[.<case>].json", path)
	}
	return eventType, version
}

func marshal(t *testing.T, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func parsed(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		t.Fatal(err)
	}
	return value
}
