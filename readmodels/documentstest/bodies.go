package documentstest

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// bodies are objects that a store that goes through another format could change.
func bodies() map[string]string {
	return map[string]string{
		"empty":                    `{}`,
		"key order":                `{"z":1,"a":2,"m":{"y":1,"b":2,"x":3},"_id":"mine","version":5}`,
		"largest exact double":     fmt.Sprintf(`{"a":%d,"b":%d}`, int64(1)<<53-1, -(int64(1)<<53 - 1)),
		"beyond doubles":           fmt.Sprintf(`{"a":%d,"b":%d,"c":%d}`, int64(1)<<53+1, int64(math.MaxInt64), int64(math.MinInt64)),
		"small integers":           `{"a":0,"b":-1,"c":2147483647,"d":-2147483648,"e":2147483648}`,
		"empty values":             `{"a":[],"b":{},"c":"","d":[[],{}],"e":[{"f":[]}]}`,
		"booleans and null":        `{"t":true,"f":false,"n":null,"l":[true,null,false]}`,
		"nested":                   `{"a":{"b":{"c":{"d":{"e":{"f":[{"g":[1,[2,[3]]]}]}}}}}}`,
		"unicode":                  `{"s":"Größe 漢字 🛒 ẞ","ключ":"значение","e\u0301":"é"}`,
		"escapes of encoding/json": `{"s":"\u003cb\u003e \u0026 \u2028 \\ \" \n \r \t \u0001 \u007f / \b \f"}`,
		"escapes otherwise":        `{"s":"<b> & \/ \u00e9 \u000a \ud83d\ude00"}`,
		"nul":                      `{"s":"a\u0000b","k\u0000":1}`,
		"odd keys":                 `{"a.b":1,"$set":2,"":3,"%2E":4,"a..b":{"$":{".":5}},"$a.b%24":6,"__proto__":7}`,
		"numbers as keys":          `{"0":1,"1":2,"10":3,"a":{"0":[{"0":1}]}}`,
		"space":                    "{ \"a\" : [ 1 ,\n 2 ] }",
		"numbers in odd forms":     `{"a":1.50,"b":1e3,"c":-0,"d":18446744073709551615,"e":0.1}`,
		"looks like extended JSON": `{"a":{"$numberLong":"5"},"b":{"$oid":"507f1f77bcf86cd799439011"},"c":{"$date":0}}`,
		"long":                     `{"s":"` + strings.Repeat("0123456789abcdef", 4096) + `"}`,
		"wide":                     wide(),
		"deep":                     strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60),
	}
}

func wide() string {
	var b strings.Builder
	for i := range 500 {
		fmt.Fprintf(&b, `,"k%d":[%d,"%d"]`, i, i, -i)
	}
	return "{" + b.String()[1:] + "}"
}

func checkBodies(t *testing.T, s *suite) {
	things := s.ensure("things", []string{"a"}, []string{"s"}, []string{"a.b"})
	for what, body := range bodies() {
		if !json.Valid([]byte(body)) {
			t.Fatalf("%s is no JSON", what)
		}
		s.insert(things, doc(what, 1, body))
		s.checkBody(things, what, body)
	}
	random := seeded(t)
	for i := range 30 {
		body, err := json.Marshal(randomObject(random, 4))
		if err != nil {
			t.Fatal(err)
		}
		s.insert(things, doc(name("random", i), 1, string(body)))
		s.checkBody(things, name("random", i), string(body))
	}
	empty := readmodels.Document{ID: "no body", Version: 1}
	s.insert(things, empty)
	s.same("no body", s.load(things, empty.ID), []readmodels.Document{empty})
}

// checkBody compares what Load and Find give.
func (s *suite) checkBody(collection, id, want string) {
	s.t.Helper()
	byID := readmodels.Find{Where: []readmodels.Condition{{Path: "_id", Value: id}}, Limit: 1}
	found, err := s.docs.Find(s.ctx, collection, byID)
	if err != nil || len(found) != 1 {
		s.t.Fatalf("%s: found %d documents, %v", id, len(found), err)
	}
	s.same(id+": body as found", string(found[0].Body), want)
	s.same(id+": body as loaded", string(s.load(collection, id)[0].Body), want)
}

func randomObject(random *rand.Rand, depth int) map[string]any {
	object := map[string]any{}
	for range random.IntN(6) {
		object[randomString(random)] = randomValue(random, depth-1)
	}
	return object
}

func randomValue(random *rand.Rand, depth int) any {
	kinds := 6
	if depth <= 0 {
		kinds = 4
	}
	switch random.IntN(kinds) {
	case 0:
		return random.Int64() >> random.IntN(64)
	case 1:
		return -(random.Int64() >> random.IntN(64))
	case 2:
		return random.IntN(2) == 0
	case 3:
		return randomString(random)
	case 4:
		list := make([]any, random.IntN(4))
		for i := range list {
			list[i] = randomValue(random, depth-1)
		}
		return list
	default:
		return randomObject(random, depth-1)
	}
}

func randomString(random *rand.Rand) string {
	letters := []rune("abcXYZ019 _-.$%\"\\/<>&'\x00\n\u007f\u00e9\u2028漢\U0001F6D2")
	text := make([]rune, random.IntN(12))
	for i := range text {
		text[i] = letters[random.IntN(len(letters))]
	}
	return string(text)
}
