package codec

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

func TestWhatIsEncodedIsDecodedUnchanged(t *testing.T) {
	var proposed []domain.Proposed
	for i, event := range today() {
		meta := exampleMeta
		meta.BatchIndex = i
		proposed = append(proposed, domain.Proposed{ID: "id-" + event.EventType(), Event: event, Meta: meta})
	}
	after := domain.Tip{Revision: 6, Hash: exampleHash}
	encoded, last, err := Encode("order-1", after, proposed)
	if err != nil {
		t.Fatal(err)
	}
	prev := after.Hash
	for i, e := range encoded {
		raw := Raw{Stream: "order-1", Revision: 7 + int64(i), Position: 9, ID: e.ID, Type: e.Type, Data: e.Data, Metadata: e.Metadata}
		recorded, err := Decode(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := domain.Recorded{Event: proposed[i].Event, Type: e.Type, ID: e.ID, Stream: "order-1", Revision: raw.Revision, Position: 9, Meta: proposed[i].Meta}
		want.Meta.SchemaVersion = Version(e.Type)
		want.Meta.PrevHash, want.Meta.Hash = prev, recorded.Meta.Hash
		if diff := cmp.Diff(want, recorded); diff != "" {
			t.Errorf("%s (-proposed +decoded):\n%s", e.Type, diff)
		}
		if prev, err = Check(prev, raw); err != nil {
			t.Error(err)
		}
	}
	if last != prev {
		t.Errorf("Encode says the chain ends in %s, reading it in %s", last, prev)
	}
}

func TestTheHashChainShowsEveryChange(t *testing.T) {
	encoded, _, err := Encode("order-1", domain.Tip{Revision: domain.NoStream}, []domain.Proposed{
		{ID: "a", Event: order.ItemRemoved{SKU: "PEN", Quantity: 1}, Meta: exampleMeta},
		{ID: "b", Event: order.Confirmed{}, Meta: exampleMeta},
	})
	if err != nil {
		t.Fatal(err)
	}
	original := Raw{Stream: "order-1", Revision: 0, ID: "a", Type: encoded[0].Type, Data: encoded[0].Data, Metadata: encoded[0].Metadata}
	second := Raw{Stream: "order-1", Revision: 1, ID: "b", Type: encoded[1].Type, Data: encoded[1].Data, Metadata: encoded[1].Metadata}
	first, err := Check("", original)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Check(first, second); err != nil {
		t.Fatal(err)
	}
	if _, err := Check("", second); err == nil {
		t.Error("an event that follows another one passes as the first")
	}
	replace := func(text []byte, from, to string) []byte { return []byte(strings.Replace(string(text), from, to, 1)) }
	changes := map[string]func(*Raw){
		"another stream":   func(r *Raw) { r.Stream = "order-2" },
		"another revision": func(r *Raw) { r.Revision++ },
		"another type":     func(r *Raw) { r.Type = "ItemAdded" },
		"another id":       func(r *Raw) { r.ID = "c" },
		"another quantity": func(r *Raw) { r.Data = replace(r.Data, `"quantity":1`, `"quantity":2`) },
		"another actor":    func(r *Raw) { r.Metadata = replace(r.Metadata, "process:fulfilment", "nobody") },
	}
	for name, change := range changes {
		changed := original
		change(&changed)
		if _, err := Check("", changed); err == nil {
			t.Errorf("%s is not noticed", name)
		}
	}
	indented := original
	indented.Metadata = replace(indented.Metadata, `,"actor"`, ` , "actor"`)
	if _, err := Check("", indented); err != nil {
		t.Errorf("blanks in the metadata count as a change: %v", err)
	}
}

func TestWhatCannotBeReadSaysWhyAndWhere(t *testing.T) {
	stored := time.Date(2026, 3, 1, 0, 0, 0, 123456789, time.UTC)
	tests := map[string]struct{ eventType, data, metadata, code string }{
		"a type nobody knows":        {"Unheard", `{}`, `{"actor":"me"}`, CodeUnknownType},
		"a version of tomorrow":      {"OrderConfirmed", `{}`, `{"schemaVersion":3}`, CodeFutureVersion},
		"a version of a first shape": {"OrderPrepared", `{}`, `{"schemaVersion":2}`, CodeFutureVersion},
		"version zero":               {"OrderConfirmed", `{}`, `{"schemaVersion":0}`, CodeUnreadable},
		"a version in words":         {"OrderConfirmed", `{}`, `{"schemaVersion":"two"}`, CodeUnreadable},
		"metadata that is no JSON":   {"OrderConfirmed", `{}`, `{`, CodeUnreadable},
		"data that is no JSON":       {"OrderConfirmed", `{`, ``, CodeUnreadable},
		"data that is null":          {"OrderConfirmed", `null`, `{"schemaVersion":2}`, CodeUnreadable},
		"data that is a list":        {"OrderConfirmed", `[]`, ``, CodeUnreadable},
		"no data":                    {"OrderConfirmed", ``, ``, CodeUnreadable},
		"a quantity in words":        {"InventoryShipped", `{"quantity":"two"}`, ``, CodeUnreadable},
		"a fraction of a cent":       {"AccountCredited", `{"account_id":1,"amount":0.001}`, ``, CodeUnreadable},
		"an amount beyond all":       {"AccountCredited", `{"account_id":1,"amount":1e30}`, ``, CodeUnreadable},
		"half a piece":               {"ItemAdded", `{"order_id":1,"item_id":2,"quantity":0.5}`, ``, CodeUnreadable},
		"items that are no list":     {"OrderCreated", `{"order_id":1,"items":{}}`, ``, CodeUnreadable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			raw := Raw{Stream: "order-1", Revision: 4, Position: 8, ID: "e", Type: test.eventType, Stored: stored, Data: []byte(test.data), Metadata: []byte(test.metadata)}
			recorded, err := Decode(raw)
			if domain.KindOf(err) != domain.KindUndecodable || domain.CodeOf(err) != test.code {
				t.Fatalf("error %v, want code %s", err, test.code)
			}
			if recorded.Event != nil {
				t.Errorf("event %v", recorded.Event)
			}
			if recorded.Stream != "order-1" || recorded.Revision != 4 || recorded.Position != 8 || recorded.ID != "e" || recorded.Type != test.eventType {
				t.Errorf("place lost: %+v", recorded)
			}
			if recorded.Meta.Hash == "" || !recorded.Meta.At.Equal(stored.Truncate(time.Microsecond)) {
				t.Errorf("meta lost: %+v", recorded.Meta)
			}
		})
	}
}

func TestUnknownFieldsOfTodaysShapeAreLeftAlone(t *testing.T) {
	raw := Raw{Type: "InventoryReserved", Data: []byte(`{"orderId":"o","quantity":1,"shelf":"A"}`), Metadata: []byte(`{"schemaVersion":2,"mood":5,"actor":7}`)}
	recorded, err := Decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(domain.Event(inventory.Reserved{OrderID: "o", Quantity: 1}), recorded.Event); diff != "" {
		t.Error(diff)
	}
}

func TestDecimalsBecomeMinorUnitsExactly(t *testing.T) {
	tests := []struct {
		number string
		want   int64
		err    error
	}{
		{"99.99", 9999, nil}, {"0.1", 10, nil}, {"0", 0, nil}, {"-0.0", 0, nil}, {"-12.5", -1250, nil}, {"10.000", 1000, nil},
		{"1e2", 10000, nil}, {"1.25E1", 1250, nil}, {"100e-2", 100, nil}, {"90071992547409.91", maxAmount, nil},
		{"0.29", 29, nil}, {"1.15", 115, nil}, {"4.35", 435, nil}, // these lose a cent in binary floating point
		{"90071992547409.92", 0, errTooLarge}, {"1e400000000", 0, errTooLarge}, {"0.001", 0, errNotWhole}, {"1e-5", 0, errNotWhole},
		{"", 0, errNotNumber}, {"abc", 0, errNotNumber}, {"--1", 0, errNotNumber}, {".5", 0, errNotNumber}, {"1e", 0, errNotNumber},
		{"true", 0, errNotNumber}, {strings.Repeat("1", 41), 0, errTooLarge}, {"99999999999999999999", 0, errTooLarge},
	}
	for _, test := range tests {
		got, err := scaled(test.number, 2)
		if got != test.want || err != test.err {
			t.Errorf("scaled(%q) = %d, %v, want %d, %v", test.number, got, err, test.want, test.err)
		}
	}
}

func TestTheStoreTimeStandsInWhereNothingElseSaysWhen(t *testing.T) {
	stored := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	tests := map[string]struct{ data, metadata, want string }{
		"metadata first": {`{"order_id":1,"confirmed_at":"2020-01-01T00:00:00Z"}`, `{"at":"2021-01-01T00:00:00.000000Z"}`, "2021-01-01T00:00:00Z"},
		"then data":      {`{"order_id":1,"confirmed_at":"2020-01-01T01:00:00+01:00"}`, `{}`, "2020-01-01T00:00:00Z"},
		"then the store": {`{"order_id":1,"confirmed_at":"yesterday"}`, `{"at":"today"}`, "2026-03-01T09:00:00Z"},
	}
	for name, test := range tests {
		recorded, err := Decode(Raw{Type: "OrderConfirmed", Stored: stored, Data: []byte(test.data), Metadata: []byte(test.metadata)})
		if got := recorded.Meta.At.Format(time.RFC3339); err != nil || got != test.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, test.want)
		}
	}
}

func FuzzDecodeNeverPanics(f *testing.F) {
	f.Add("OrderCreated", []byte(`{"order_id":1,"items":[{"item_id":1,"quantity":1,"price":1e-2}],"created_at":"x"}`), []byte(`{"schemaVersion":1}`))
	f.Add("AccountCredited", []byte(`{"account_id":{},"amount":"1.00"}`), []byte(`[]`))
	f.Add("ItemAdded", []byte(`{"item_id":null}`), []byte(`null`))
	for _, name := range Types() {
		f.Add(name, []byte(`{}`), []byte(`{"schemaVersion":2,"hash":""}`))
	}
	f.Fuzz(func(t *testing.T, eventType string, data, metadata []byte) {
		raw := Raw{Stream: "order-1", Type: eventType, Data: data, Metadata: metadata}
		recorded, err := Decode(raw)
		if (err == nil) != (recorded.Event != nil) {
			t.Errorf("event %v and error %v", recorded.Event, err)
		}
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			t.Errorf("kind %v of %v", domain.KindOf(err), err)
		}
		_, _ = Check("", raw)
	})
}
