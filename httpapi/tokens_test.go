package httpapi

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// issuer signs tokens as an identity provider would.
type issuer struct {
	t       testing.TB
	rsa     *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
	ed      ed25519.PrivateKey
	another *rsa.PrivateKey // not in the set
}

// keyPairs are made once: RSA keys take their time.
var keyPairs = sync.OnceValues(func() (*issuer, error) {
	i := &issuer{}
	var err error
	if i.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if i.another, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	if i.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	_, i.ed, err = ed25519.GenerateKey(rand.Reader)
	return i, err
})

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	made, err := keyPairs()
	if err != nil {
		t.Fatal(err)
	}
	i := *made
	i.t = t
	return &i
}

// set is the JSON Web Key Set of public keys by key id.
func (i *issuer) set(keys map[string]crypto.PublicKey) []byte {
	i.t.Helper()
	var all jwkset.JWKSMarshal
	for id, key := range keys {
		jwk, err := jwkset.NewJWKFromKey(key, jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{KID: id, USE: jwkset.UseSig}})
		if err != nil {
			i.t.Fatal(err)
		}
		all.Keys = append(all.Keys, jwk.Marshal())
	}
	text, err := json.Marshal(all)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// file writes the set of all keys.
func (i *issuer) file() string {
	i.t.Helper()
	path := filepath.Join(i.t.TempDir(), "keys.json")
	text := i.set(map[string]crypto.PublicKey{"r": i.rsa.Public(), "e": i.ec.Public(), "d": i.ed.Public()})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		i.t.Fatal(err)
	}
	return path
}

// claimed are the claims of a good token, with changes: nil takes a claim away.
func claimed(change map[string]any) jwt.MapClaims {
	now := time.Now()
	c := jwt.MapClaims{"sub": "ann", "role": "operator", "iss": "https://id.example", "aud": "tidemark", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(c, change)
	for name, value := range change {
		if value == nil {
			delete(c, name)
		}
	}
	return c
}

// sign makes a token.
func (i *issuer) sign(method jwt.SigningMethod, kid string, key any, change map[string]any) string {
	i.t.Helper()
	token := jwt.NewWithClaims(method, claimed(change))
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// extended makes a token whose header says more.
func (i *issuer) extended(header map[string]any) string {
	i.t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, claimed(nil))
	token.Header["kid"] = "e"
	maps.Copy(token.Header, header)
	text, err := token.SignedString(i.ec)
	if err != nil {
		i.t.Fatal(err)
	}
	return text
}

// good makes a valid token with changes.
func (i *issuer) good(change map[string]any) string {
	i.t.Helper()
	return i.sign(jwt.SigningMethodES256, "e", i.ec, change)
}

// secured is a world that wants tokens of the issuer.
func (i *issuer) secured(edit ...func(*Options)) *world {
	i.t.Helper()
	return newWorld(i.t, append([]func(*Options){func(o *Options) {
		o.Auth = Auth{JWKS: i.file(), Issuer: "https://id.example", Audience: "tidemark"}
	}}, edit...)...)
}

// Claims of other names say nothing, however much they look like those that count.
func TestClaimsHaveExactNames(t *testing.T) {
	i := newIssuer(t)
	w := i.secured()
	for name, c := range map[string]struct {
		change map[string]any
		want   int
	}{
		"a customer who is also called OPERATOR":    {map[string]any{"role": "customer", "ROLE": "operator", "customer_id": "customer-42"}, http.StatusForbidden},
		"only a Role":                               {map[string]any{"role": nil, "Role": "operator"}, http.StatusForbidden},
		"letters that fold to sub":                  {map[string]any{"sub": nil, "\u017fub": "ann"}, http.StatusUnauthorized},
		"an EXP besides a time that has passed":     {map[string]any{"exp": time.Now().Add(-time.Hour).Unix(), "EXP": time.Now().Add(time.Hour).Unix()}, http.StatusUnauthorized},
		"an Iss for the wrong issuer":               {map[string]any{"iss": "https://evil.example", "Iss": "https://id.example"}, http.StatusUnauthorized},
		"an operator with a Role that says nothing": {map[string]any{"Role": "customer"}, http.StatusOK},
	} {
		w.token = i.good(c.change)
		if got := w.send("GET", "/v1/board", ""); got.Code != c.want {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
	w.token = i.good(map[string]any{"role": "customer", "customer_id": "customer-42", "Customer_ID": "customer-43"})
	w.send("GET", "/v1/orders", "").expect(http.StatusOK, "")
	if asked := w.shown.took(); len(asked) == 0 || asked[len(asked)-1].Customer != "customer-42" {
		t.Errorf("asked for %v", asked)
	}
}
