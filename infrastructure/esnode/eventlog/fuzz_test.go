package eventlog

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{`{}`, `{"$maxCount":1}`, `{"$tb":9223372036854775807}`, `{"$maxAge":99999999999999999}`, `{"$acl":{"$r":["a"]}}`,
		`{"$acl":{"$r":null,"$w":[null]}}`, `null`, `[]`, `{"$maxCount":1e3}`, `{"$maxCount":-1}`, `{"$tb":1,"$tb":2}`, "\xff", `{"a":{"b":[1]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, ok := parseMetadata(raw)
		if m.MaxCount < 0 || m.TruncateBefore < 0 || m.MaxAge < 0 || m.CacheControl < 0 {
			t.Errorf("a negative limit: %+v", m)
		}
		if ok && !json.Valid(raw) {
			t.Error("accepted what is no JSON")
		}
		if !ok && (m.MaxCount != 0 || m.TruncateBefore != 0 || m.MaxAge != 0 || m.ACL != nil || m.Raw != nil) {
			t.Errorf("bad metadata has an effect: %+v", m)
		}
		// Whatever was there, a recreated stream is readable from its first new event on, and a second
		// rewriting changes nothing else.
		again, ok := parseMetadata(withTruncateBefore(raw, 7))
		if !ok || again.TruncateBefore != 7 || again.MaxCount != m.MaxCount || again.MaxAge != m.MaxAge {
			t.Errorf("rewritten %q to %q", raw, withTruncateBefore(raw, 7))
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, seed := range []string{"0@order-1", "7@a@b", "@", "1", "-1@x", "99999999999999999999@x", "01@x", "9223372036854775807@order-2", "1 @x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		revision, stream, ok := ParseLink(data)
		if !ok {
			return
		}
		if revision < 0 {
			t.Errorf("%q has a negative revision", data)
		}
		number, _, _ := strings.Cut(string(data), "@")
		if n, err := strconv.ParseInt(number, 10, 64); err != nil || n != revision {
			t.Errorf("%q read as %d", data, revision)
		}
		again, name, ok := ParseLink(Link(revision, stream))
		if !ok || again != revision || name != stream {
			t.Errorf("%q doesn't survive writing", data)
		}
	})
}

func FuzzProjectionQuery(f *testing.F) {
	for _, seed := range []string{"first\n-", "last\r\n-", "-", "", "first\n", "x\ny\nz", `{"correlationIdProperty":"a"}`, "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, query string) {
		s, err := parseSeparator(query)
		if err == nil && (s.separator == 0 && !strings.Contains(query, "\x00") || s.separator >= 0x80) {
			t.Errorf("%q gives separator %q", query, s.separator)
		}
		if category, ok := s.category("order-1"); err == nil && ok && category == "" {
			t.Errorf("%q gives an empty category", query)
		}
		if s, err := parseProperty(query); err == nil && s.property == "" {
			t.Errorf("%q gives no property", query)
		}
	})
}
