package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidemark-dev/tidemark/domain"
)

// FuzzBearer: nobody gets in who was not given a token, whatever stands in Authorization.
func FuzzBearer(f *testing.F) {
	secret := filepath.Join(f.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		f.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"sub": "eve", "role": "operator"}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		f.Fatal(err)
	}
	foreign, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "eve", "role": []string{"operator"}}).SignedString([]byte("another"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "Bearer", "Bearer ", "Bearer x.y.z", "Bearer " + unsigned, "bearer " + foreign, "Bearer eyJhbGciOiJub25lIn0.e30.", "Basic YTpi", strings.Repeat("Bearer ", 9)} {
		f.Add(seed)
	}
	k, err := newKeeper(context.Background(), Options{Auth: Auth{HS256SecretFile: secret}, Logger: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		who, err := k.identify(&http.Request{Header: http.Header{"Authorization": {header}}})
		if err == nil || domain.CodeOf(err) != "unauthenticated" || who.subject != "" || len(who.roles) != 0 {
			t.Fatalf("%q is %+v, %v", header, who, err)
		}
	})
}

// FuzzKeys: whatever is in the file of keys, reading it ends in keys or in a sentence.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{`{}`, `{"keys":[]}`, `{"keys":[{}]}`, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"a"}]}`, `{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}`, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA"}]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseKeys(text)
		if (keys == nil) != (err != nil) {
			t.Fatalf("%q: %v, %v", text, keys, err)
		}
	})
}

// FuzzImportLines: lines are cut where they end, and only there.
func FuzzImportLines(f *testing.F) {
	for _, seed := range []string{"", "\n", "{}\n{}", "{}\r\n\r\n{}\n", "a\n\nb", strings.Repeat("x", 70<<10) + "\ny"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		lines := bufio.NewReaderSize(bytes.NewReader(body), 64<<10)
		var read [][]byte
		for {
			text, err := readLine(lines)
			read = append(read, slices.Clone(text))
			if err != nil {
				break
			}
		}
		if whole := bytes.Join(read, nil); !bytes.Equal(whole, body) {
			t.Fatalf("%q was read as %q", body, read)
		}
		for i, line := range read {
			if at := bytes.IndexByte(line, '\n'); at >= 0 && at != len(line)-1 || i < len(read)-1 && at < 0 {
				t.Fatalf("line %d of %q is %q", i, body, line)
			}
		}
	})
}

// FuzzKey: an idempotency key is taken as it is or refused.
func FuzzKey(f *testing.F) {
	for _, seed := range []string{"", "k", "two words", "\x00", strings.Repeat("k", 256), "ü"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := idempotencyKey(http.Header{"Idempotency-Key": {text}})
		if err == nil && (key != text || key == "" || len(key) > 255) || err != nil && key != "" {
			t.Fatalf("%q is %q, %v", text, key, err)
		}
	})
}

// FuzzTime: a time is one in RFC 3339, whose moment survives being written again.
func FuzzTime(f *testing.F) {
	for _, seed := range []string{"2026-03-01T10:00:00Z", "2026-03-01t10:00:00.123456789+01:00", "2026-02-30T00:00:00Z", "2026-03-01", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999-23:59", "2026-03-01T24:00:00Z", "2026-06-30T23:59:60Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := parseTime(text)
		if err != nil {
			return
		}
		again, err := parseTime(at.Format(time.RFC3339Nano))
		if at.Year() >= 0 && at.Year() <= 9999 && (err != nil || !again.Equal(at)) {
			t.Fatalf("%q is %s, then %s %v", text, at, again, err)
		}
	})
}
