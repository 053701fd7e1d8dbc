package mongodocs

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/readmodels"
)

func roundTrip(t interface{ Fatal(args ...any) }, d readmodels.Document) (readmodels.Document, bson.Raw) {
	raw, err := encodeDocument(d, token{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Validate(); err != nil {
		t.Fatal(err)
	}
	back, err := decodeDocument(raw)
	if err != nil {
		t.Fatal(err)
	}
	return back, raw
}

// What encoding/json writes is had from the BSON alone; anything else from the text beside it.
func TestBodies(t *testing.T) {
	tests := []struct {
		body  string
		exact bool // the text stands beside
	}{
		{`{}`, false},
		{`{"b":1,"a":[1,"x",true,null,{}],"_id":{"$oid":"a.b"},"":0,"%":1,"c.d":-9223372036854775808}`, false},
		{`{"s":"\u003c\u2028\\\"\n\u0001 é漢🛒","n":9223372036854775807}`, false},
		{`{ "a":1}`, true},
		{`{"a":1.50,"b":1e400,"c":-0}`, true},
		{`{"a":"\u0041"}`, true},
		{`{"a":[[1],[[2]]]}`, true},
		{`{"a":9223372036854775808}`, true},
	}
	for _, test := range tests {
		back, raw := roundTrip(t, readmodels.Document{ID: "a", Version: 1, Body: []byte(test.body)})
		if string(back.Body) != test.body {
			t.Errorf("%s came back as %s", test.body, back.Body)
		}
		if exact := raw.Lookup(fieldText).Type != 0; exact != test.exact {
			t.Errorf("%s: text beside it: %v, want %v", test.body, exact, test.exact)
		}
	}
}

// Any value that encoding/json writes needs no text beside it, and comes back to the byte.
func TestAnyBody(t *testing.T) {
	scalar := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.Int64(), func(n int64) any { return n }), rapid.Map(rapid.String(), func(s string) any { return s }),
	)
	key := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"_id", "", "$set", "a.b", "%2E", "%", "%5Fid", "$%24."}))
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.MapOf(key, rapid.OneOf(scalar,
			rapid.Map(rapid.SliceOfN(scalar, 0, 4), func(list []any) any { return list }),
			rapid.Map(rapid.MapOfN(key, scalar, 0, 4), func(m map[string]any) any { return m }),
		)).Draw(t, "body")
		body, err := json.Marshal(object)
		if err != nil {
			t.Fatal(err)
		}
		d := readmodels.Document{
			ID: rapid.StringN(1, 20, 60).Draw(t, "id"), Version: rapid.Int64().Draw(t, "version"), Hidden: rapid.Bool().Draw(t, "hidden"),
			Sources: rapid.MapOfN(rapid.String(), rapid.Int64(), 1, 3).Draw(t, "sources"), Body: body,
		}
		back, raw := roundTrip(t, d)
		if diff := cmp.Diff(d, back); diff != "" {
			t.Fatal(diff)
		}
		if raw.Lookup(fieldText).Type != 0 {
			t.Fatalf("%s needs its text", body)
		}
	})
}

// No input makes the encoder panic or change a body in silence.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":[1,{"b":"\ud800"}]}`, `{"a":1e9999,"a":-0.0}`, strings.Repeat(`{"a":`, 95) + `1` + strings.Repeat(`}`, 95)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		d := readmodels.Document{ID: "a", Version: 1, Body: body}
		if (readmodels.Put{Document: d}).Check() != nil || len(body) == 0 {
			t.Skip()
		}
		raw, err := encodeDocument(d, token{})
		if err != nil {
			return
		}
		back, err := decodeDocument(raw)
		if err != nil || string(back.Body) != string(body) {
			t.Fatalf("%q came back as %q, %v", body, back.Body, err)
		}
	})
}

func TestTooDeep(t *testing.T) {
	body := strings.Repeat(`{"a":`, maxDepth+1) + `1` + strings.Repeat(`}`, maxDepth+1)
	if _, err := encodeDocument(readmodels.Document{ID: "a", Version: 1, Body: []byte(body)}, token{}); err == nil {
		t.Fatal("want an error")
	}
}

// Numbers in a list take up to eight times as much room in the stored form as in the body.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]error{1 << 19: nil, 1 << 21: errTooLarge} {
		body := `{"a":[0` + strings.Repeat(`,0`, n-1) + `]}`
		if _, err := encodeDocument(readmodels.Document{ID: "a", Version: 1, Body: []byte(body)}, token{}); !errors.Is(err, want) {
			t.Errorf("%d numbers: %v, want %v", n, err, want)
		}
	}
}

func TestDecodeStrangers(t *testing.T) {
	for _, stored := range []bson.D{
		{{Key: "_id", Value: 5}},
		{{Key: "_id", Value: "a"}, {Key: "version", Value: "x"}},
		{{Key: "_id", Value: "a"}, {Key: "sources", Value: bson.A{1}}},
		{{Key: "_id", Value: "a"}, {Key: "sources", Value: bson.A{bson.D{{Key: "s", Value: "x"}}}}},
		{{Key: "_id", Value: "a"}, {Key: "body", Value: bson.D{{Key: "at", Value: bson.NewObjectID()}}}},
	} {
		raw, err := bson.Marshal(stored)
		if err != nil {
			t.Fatal(err)
		}
		if d, err := decodeDocument(raw); err == nil {
			t.Errorf("%v was read as %+v", stored, d)
		}
	}
}

func TestChunks(t *testing.T) {
	var entries []*entry
	for _, id := range []string{"a", "b", "c", "d", "a", "a", "e", "b"} {
		entries = append(entries, &entry{id: id})
	}
	var got []string
	for chunk := range chunks(entries, 3) {
		var ids strings.Builder
		for _, e := range chunk {
			ids.WriteString(e.id)
		}
		got = append(got, ids.String())
	}
	if diff := cmp.Diff([]string{"abc", "da", "aeb"}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestDatabaseOf(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://localhost:27017":                               "tidemark",
		"mongodb://localhost:27017/":                              "tidemark",
		"mongodb://localhost:27017/?replicaSet=rs0":               "tidemark",
		"mongodb://u:p%40w@h1:27017,h2:27017/shop?replicaSet=rs0": "shop",
		"mongodb+srv://cluster.example.net/my%20shop":             "my shop",
	} {
		if got := databaseOf(uri); got != want {
			t.Errorf("%s: %q, want %q", uri, got, want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	d := readmodels.Document{ID: "a", Version: 1, Sources: map[string]int64{"order-a": 0}, Body: []byte(benchmarkedBody(1))}
	b.SetBytes(int64(len(d.Body)))
	for b.Loop() {
		if _, err := encodeDocument(d, token{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	raw, err := encodeDocument(readmodels.Document{ID: "a", Version: 1, Sources: map[string]int64{"order-a": 0}, Body: []byte(benchmarkedBody(1))}, token{})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := decodeDocument(raw); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkedBody(i int) string {
	return fmt.Sprintf(`{"customerId":"customer-%d","status":"open","createdAt":"2026-11-22T10:00:00.000000Z","currency":"EUR",`+
		`"items":[{"sku":"TEA-1","name":"Green tea","quantity":2,"unitPrice":450,"lineTotal":900},{"sku":"CUP-7","name":"Cup","quantity":1,"unitPrice":1250,"lineTotal":1250}],"total":2150}`, i)
}
