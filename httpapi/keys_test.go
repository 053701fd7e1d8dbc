package httpapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// keyed writes a set of one key.
func keyed(t *testing.T, key crypto.PublicKey, about jwkset.JWKMetadataOptions) string {
	t.Helper()
	jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: about})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(jwkset.JWKSMarshal{Keys: []jwkset.JWKMarshal{jwk.Marshal()}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A key checks what it was published for: nothing else makes a signature, with a key id or without.
func TestKeysCheckOnlyWhatTheyArePublishedFor(t *testing.T) {
	i := newIssuer(t)
	for name, c := range map[string]struct {
		about jwkset.JWKMetadataOptions
		want  int
	}{
		"any use":           {jwkset.JWKMetadataOptions{}, http.StatusOK},
		"signatures":        {jwkset.JWKMetadataOptions{USE: jwkset.UseSig, ALG: jwkset.AlgES256}, http.StatusOK},
		"to verify":         {jwkset.JWKMetadataOptions{KEYOPS: []jwkset.KEYOPS{jwkset.KeyOpsVerify}}, http.StatusOK},
		"encryption":        {jwkset.JWKMetadataOptions{USE: jwkset.UseEnc}, http.StatusUnauthorized},
		"another operation": {jwkset.JWKMetadataOptions{KEYOPS: []jwkset.KEYOPS{jwkset.KeyOpsDeriveKey}}, http.StatusUnauthorized},
		"another algorithm": {jwkset.JWKMetadataOptions{ALG: jwkset.AlgECDHES}, http.StatusUnauthorized},
	} {
		c.about.KID = "e"
		path := keyed(t, i.ec.Public(), c.about)
		w := newWorld(t, func(o *Options) { o.Auth.JWKS = path })
		for _, kid := range []string{"e", ""} {
			w.token = i.sign(jwt.SigningMethodES256, kid, i.ec, nil)
			if got := w.send("GET", "/v1/board", ""); got.Code != c.want {
				t.Errorf("%s, key id %q: %d %s", name, kid, got.Code, got.Body)
			}
		}
	}
}

func TestWeakKeysAreRefused(t *testing.T) {
	i := newIssuer(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	path := keyed(t, weak.Public(), jwkset.JWKMetadataOptions{KID: "w"})
	if _, err := New(Options{Auth: Auth{JWKS: path}}); err == nil || !strings.Contains(err.Error(), "fewer than 2048 bits") {
		t.Errorf("a file with a weak key: %v", err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }))
	defer server.Close()
	w := newWorld(t, func(o *Options) { o.Auth.JWKS = server.URL })
	w.token = i.sign(jwt.SigningMethodRS256, "w", weak, nil)
	w.send("GET", "/v1/board", "").expect(http.StatusUnauthorized, "unauthenticated")

	long, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if suits(long.Public(), "ES256") {
		t.Error("ES256 takes a key on another curve")
	}
}

// The set of keys is somebody else's answer: it is bounded, and doesn't come by a way that is less safe.
func TestKeysAreFetchedWithinBounds(t *testing.T) {
	i := newIssuer(t)
	good := i.set(map[string]crypto.PublicKey{"e": i.ec.Public()})
	var around atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/long":
			_, _ = w.Write([]byte(strings.Repeat(" ", maxKeySet)))
		case r.URL.Path == "/around":
			around.Add(1)
			http.Redirect(w, r, "/around", http.StatusFound)
			return
		case r.URL.Path == "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
			return
		}
		_, _ = w.Write(good)
	}))
	defer plain.Close()
	for path, want := range map[string]int{"/": http.StatusOK, "/moved": http.StatusOK, "/long": http.StatusUnauthorized, "/around": http.StatusUnauthorized} {
		w := newWorld(t, func(o *Options) { o.Auth.JWKS = plain.URL + path })
		w.token = i.good(nil)
		if got := w.send("GET", "/v1/board", ""); got.Code != want {
			t.Errorf("%s: %d %s", path, got.Code, got.Body)
		}
	}
	if n := around.Load(); n == 0 || n > 3*(maxRedirects+1) { // at the start, and for a token or two
		t.Errorf("%d requests to what sends them around", n)
	}
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL, http.StatusFound))
	defer secure.Close()
	client := keyClient()
	client.Transport = shortAnswers{secure.Client().Transport}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, secure.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "leaves https") {
		t.Errorf("a redirect from https to http: %v", err)
	}
}

func TestPasswordsInURLsOfKeysAreNotShown(t *testing.T) {
	for _, source := range []string{"https://ann:s3cret@id.example:x/keys", "https://ann:s3cr%zzet@id.example/keys", "https://ann:s3cret@/keys"} {
		_, err := newKeySet(t.Context(), source, slog.New(slog.DiscardHandler), time.Now)
		problems := Options{Auth: Auth{JWKS: source}}.Unreadable()
		if err == nil || len(problems) != 1 || strings.Contains(err.Error()+problems[0].Error(), "s3c") || !strings.HasPrefix(problems[0].Error(), "AUTH_JWKS=") {
			t.Errorf("%s: %v, %v", source, err, problems)
		}
	}
}
