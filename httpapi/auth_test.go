package httpapi

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// refusedTokens are Authorization headers that must not let anybody in.
func (i *issuer) refusedTokens() map[string]string {
	i.t.Helper()
	ago, ahead := time.Now().Add(-time.Minute).Unix(), time.Now().Add(time.Minute).Unix()
	good := i.good(nil)
	parts := strings.Split(good, ".")
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, claimed(nil)).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		i.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(i.rsa.Public())
	if err != nil {
		i.t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	other := i.good(map[string]any{"sub": "eve"})
	return map[string]string{
		"no token": "", "another scheme": "Basic YTpi", "no scheme": good, "no token after the scheme": "Bearer ", "garbage": "Bearer x.y.z",
		"two tokens": "Bearer " + good + " " + good, "cut short": "Bearer " + good[:len(good)-4], "without its signature": "Bearer " + parts[0] + "." + parts[1] + ".",
		"another's claims":              "Bearer " + parts[0] + "." + strings.Split(other, ".")[1] + "." + parts[2],
		"unsigned":                      "Bearer " + none,
		"expired":                       "Bearer " + i.good(map[string]any{"exp": ago}),
		"without an end":                "Bearer " + i.good(map[string]any{"exp": nil}),
		"not yet valid":                 "Bearer " + i.good(map[string]any{"nbf": ahead}),
		"issued in the future":          "Bearer " + i.good(map[string]any{"iat": ahead}),
		"another issuer":                "Bearer " + i.good(map[string]any{"iss": "https://evil.example"}),
		"no issuer":                     "Bearer " + i.good(map[string]any{"iss": nil}),
		"another audience":              "Bearer " + i.good(map[string]any{"aud": "other"}),
		"no audience":                   "Bearer " + i.good(map[string]any{"aud": nil}),
		"nobody":                        "Bearer " + i.good(map[string]any{"sub": nil}),
		"a blank subject":               "Bearer " + i.good(map[string]any{"sub": " "}),
		"a subject with a line break":   "Bearer " + i.good(map[string]any{"sub": "a\nb"}),
		"a subject too long":            "Bearer " + i.good(map[string]any{"sub": strings.Repeat("a", 257)}),
		"a role that is no text":        "Bearer " + i.good(map[string]any{"role": 7}),
		"signed by a stranger":          "Bearer " + i.sign(jwt.SigningMethodRS256, "r", i.another, nil),
		"an unknown key":                "Bearer " + i.sign(jwt.SigningMethodRS256, "nobody", i.another, nil),
		"another algorithm of the key":  "Bearer " + i.sign(jwt.SigningMethodRS512, "r", i.rsa, nil),
		"padded RSA":                    "Bearer " + i.sign(jwt.SigningMethodPS256, "r", i.rsa, nil),
		"the public key as secret":      "Bearer " + i.sign(jwt.SigningMethodHS256, "r", public, nil),
		"a secret where there are keys": "Bearer " + i.sign(jwt.SigningMethodHS256, "", []byte("secret"), nil),
		"far too long":                  "Bearer " + strings.Repeat("a", maxToken+1),
		"a process of the house":        "Bearer " + i.good(map[string]any{"sub": "process:fulfilment"}),
		"an end beyond all times":       "Bearer " + i.good(map[string]any{"exp": 1e300}),
		"a begin beyond all times":      "Bearer " + i.good(map[string]any{"nbf": 1e300}),
		"an issue beyond all times":     "Bearer " + i.good(map[string]any{"iat": 9.3e18}),
		"an extension to understand":    "Bearer " + i.extended(map[string]any{"crit": []string{"b64"}, "b64": false}),
		"a key of its own":              "Bearer " + i.extended(map[string]any{"kid": "nobody", "jwk": map[string]string{"kty": "oct", "k": "c2VjcmV0"}}),
		"a key id that is no text":      "Bearer " + i.extended(map[string]any{"kid": 7}),
	}
}

func TestTokensOfEveryKindOfKeyLetIn(t *testing.T) {
	i := newIssuer(t)
	w := i.secured()
	for name, token := range map[string]string{
		"RS256": i.sign(jwt.SigningMethodRS256, "r", i.rsa, nil), "ES256": i.sign(jwt.SigningMethodES256, "e", i.ec, nil), "EdDSA": i.sign(jwt.SigningMethodEdDSA, "d", i.ed, nil),
		"without a key id": i.sign(jwt.SigningMethodES256, "", i.ec, nil), "roles in a list": i.good(map[string]any{"role": []string{"clerk", "operator"}}),
		"several audiences": i.good(map[string]any{"aud": []string{"other", "tidemark"}}), "a clock slightly behind": i.good(map[string]any{"exp": time.Now().Add(-time.Second).Unix()}),
	} {
		w.token = token
		if got := w.send("GET", "/v1/ops/readmodels", ""); got.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, got.Code, got.Body)
		}
	}
}

func TestSharedSecretsAreForHS256Only(t *testing.T) {
	i := newIssuer(t)
	secret := "0123456789abcdef0123456789abcdef"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(o *Options) { o.Auth.HS256SecretFile = path })
	w.token = i.sign(jwt.SigningMethodHS256, "", []byte(secret), nil)
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	w.token = i.sign(jwt.SigningMethodHS256, "", []byte(secret), map[string]any{"exp": nil}) // for development, exp may be missing
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	for name, token := range map[string]string{
		"expired":        i.sign(jwt.SigningMethodHS256, "", []byte(secret), map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}),
		"another secret": i.sign(jwt.SigningMethodHS256, "", []byte("0123456789abcdef0123456789abcdeg"), nil),
		"HS512":          i.sign(jwt.SigningMethodHS512, "", []byte(secret), nil), "a key": i.good(nil),
	} {
		w.token = token
		if got := w.send("GET", "/v1/board", ""); got.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
	if err := os.WriteFile(path, []byte(" \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Auth: Auth{HS256SecretFile: path}}); err == nil || !strings.Contains(err.Error(), "AUTH_HS256_SECRET_FILE") {
		t.Errorf("an empty secret: %v", err)
	}
}

func TestKeysOfAFileAreRotated(t *testing.T) {
	i := newIssuer(t)
	path := i.file()
	var skew atomic.Int64
	w := newWorld(t, func(o *Options) {
		o.Auth.JWKS = path
		o.Now = func() time.Time { return time.Now().Add(time.Duration(skew.Load())) }
	})
	w.token = i.sign(jwt.SigningMethodRS256, "new", i.another, nil)
	w.send("GET", "/v1/board", "").expect(http.StatusUnauthorized, "unauthenticated")
	if err := os.WriteFile(path, i.set(map[string]crypto.PublicKey{"new": i.another.Public()}), 0o600); err != nil {
		t.Fatal(err)
	}
	skew.Store(int64(2 * fileLook))
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	w.token = i.good(nil)
	w.send("GET", "/v1/board", "").expect(http.StatusUnauthorized, "unauthenticated")
	if err := os.WriteFile(path, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	skew.Store(int64(4 * fileLook))
	w.token = i.sign(jwt.SigningMethodRS256, "new", i.another, nil)
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "") // the old keys stay
}

func TestKeysOfAURLAreRotated(t *testing.T) {
	i := newIssuer(t)
	var keys atomic.Value
	keys.Store(i.set(map[string]crypto.PublicKey{"e": i.ec.Public()}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(keys.Load().([]byte)) }))
	defer server.Close()
	w := newWorld(t, func(o *Options) { o.Auth.JWKS = server.URL })
	w.token = i.good(nil)
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	keys.Store(i.set(map[string]crypto.PublicKey{"new": i.another.Public()}))
	w.token = i.sign(jwt.SigningMethodRS256, "new", i.another, nil)
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "") // an unknown key id fetches anew
}

func TestWithoutKeysOnlyThisMachineIsServed(t *testing.T) {
	for addr, fine := range map[string]bool{
		"127.0.0.1:8080": true, "127.8.9.1:0": true, "[::1]:8080": true, "localhost:8080": true, "[::ffff:127.0.0.1]:80": true,
		"0.0.0.0:8080": false, ":8080": false, "[::]:8080": false, "192.168.1.5:8080": false, "example.com:80": false, "localhost.evil.example:80": false, "127.0.0.1.evil.example:80": false,
	} {
		if err := (Options{}).Validate(addr); (err == nil) != fine {
			t.Errorf("%s: %v", addr, err)
		}
		if err := (Options{Auth: Auth{JWKS: "https://login.example/keys"}}).Validate(addr); err != nil {
			t.Errorf("%s with keys: %v", addr, err)
		}
	}
	if err := (Options{RateLimit: -1, Auth: Auth{JWKS: "https://login.example/keys"}}).Validate("0.0.0.0:80"); err == nil {
		t.Error("no rate limit beyond loopback")
	}
	w := newWorld(t, func(o *Options) { o.Metrics = http.NotFoundHandler() })
	w.send("GET", "/metrics", "", "Host", "evil.example").expect(http.StatusForbidden, "forbidden")
	for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "192.168.1.5:8080", "0.0.0.0:8080"} {
		w.send("GET", "/v1/board", "", "Host", host).expect(http.StatusForbidden, "forbidden")
		w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "Host", host).expect(http.StatusForbidden, "forbidden")
	}
	w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "Sec-Fetch-Site", "cross-site").expect(http.StatusForbidden, "forbidden")
	w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "Origin", "https://evil.example").expect(http.StatusForbidden, "forbidden")
	if calls := w.commands.took(); len(calls) != 0 {
		t.Errorf("%d commands got through", len(calls))
	}
	w.send("POST", "/v1/orders/"+someOrder+"/confirm", "", "Host", "localhost:8080", "Sec-Fetch-Site", "same-origin").expect(http.StatusOK, "")
	if calls := w.commands.took(); len(calls) != 1 || calls[0].command.Actor != "operator" || !calls[0].command.MayPrice {
		t.Errorf("calls %+v", calls)
	}
}

// mayCall is the policy a second time, from the words of the specification and by paths.
func mayCall(role, method, path string) bool {
	under := func(prefix string) bool { return strings.HasPrefix(path, prefix) }
	ops, process := under("/v1/ops"), under("/v1/fulfilments") && method != http.MethodGet
	switch role {
	case "operator":
		return true
	case "auditor":
		return method == http.MethodGet
	case "clerk", "service":
		return !ops && !process && path != "/v1/audit"
	case "customer":
		switch {
		case under("/v1/orders"):
			return !strings.HasSuffix(path, "/ship")
		case under("/v1/accounts"):
			return !strings.HasSuffix(path, "/credits")
		case under("/v1/products"):
			return method == http.MethodGet && !strings.HasSuffix(path, "/history")
		case under("/v1/fulfilments"):
			return method == http.MethodGet
		}
		return under("/v1/customers")
	}
	return false
}

// TestWhoMayDoWhat goes through every operation with every kind of token: cells are counted.
func TestWhoMayDoWhat(t *testing.T) {
	i := newIssuer(t)
	w := i.secured()
	w.commands.created = true
	cells := 0
	refused := i.refusedTokens()
	roles := map[string]map[string]any{
		"no role": {"role": nil}, "no roles": {"role": []string{}}, "an unknown role": {"role": "admin"}, "a role in capitals": {"role": "OPERATOR"}, "a role with a space": {"role": "operator "},
	}
	for _, role := range allRoles {
		roles[role] = map[string]any{"role": role, "customer_id": "customer-42"}
		roles[role+" in a list"] = map[string]any{"role": []string{role}, "customer_id": "customer-42"}
		roles[role+" and an unknown role"] = map[string]any{"role": []string{"admin", role}, "customer_id": "customer-42"}
	}
	tokens := map[string]string{}
	for name, change := range roles {
		tokens[name] = "Bearer " + i.good(change)
	}
	for _, o := range w.document.operations {
		if len(o.roles) == 0 {
			continue
		}
		target, body := exampleTarget(o, w.document.loaded), exampleBody(t, o)
		if o.id == "openAccount" {
			body = `{"customerId":"customer-42","currency":"EUR"}`
		}
		send := func(authorization string) answered {
			headers := []string{"Authorization", authorization}
			if authorization == "" {
				headers[1] = "-"
			}
			if o.media == "application/x-ndjson" {
				headers = append(headers, "Content-Type", o.media)
			}
			cells++
			return w.send(o.method, target, body, headers...)
		}
		for name, authorization := range refused {
			got := send(authorization)
			if got.Code != http.StatusUnauthorized || got.code() != "unauthenticated" || !strings.HasPrefix(got.Header().Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s with %s: %d %s", o.id, name, got.Code, clipped(got.Body))
			}
		}
		before := len(w.commands.took())
		for name, authorization := range tokens {
			role, _, _ := strings.Cut(name, " ")
			got := send(authorization)
			if may := mayCall(role, o.method, o.path); may && got.Code != o.status || !may && got.Code != http.StatusForbidden {
				t.Errorf("%s as %s: %d, allowed: %v\n%s", o.id, name, got.Code, may, clipped(got.Body))
			}
		}
		for _, c := range w.commands.took()[before:] {
			if c.command.Actor != "ann" {
				t.Errorf("%s: actor %q", o.id, c.command.Actor)
			}
		}
	}
	t.Logf("%d cells", cells)
	if cells < 1500 {
		t.Errorf("only %d cells", cells)
	}
}

// TestCustomersAreNarrowedToTheirOwn looks at what is handed on: the rest is where the things are.
func TestCustomersAreNarrowedToTheirOwn(t *testing.T) {
	i := newIssuer(t)
	w := i.secured()
	w.commands.created = true
	for _, c := range []struct {
		name, customer string
		roles          []string
	}{
		{"a customer", "customer-42", []string{"customer"}}, {"a clerk who is a customer, too", "", []string{"customer", "clerk"}}, {"an operator", "", []string{"operator"}},
	} {
		w.token = i.good(map[string]any{"role": c.roles, "customer_id": "customer-42"})
		for _, o := range w.document.operations {
			if !slices.Contains(o.roles, "customer") {
				continue
			}
			body := exampleBody(t, o)
			if o.id == "openAccount" {
				body = `{"customerId":"customer-42","currency":"EUR"}`
			}
			calls, asked := len(w.commands.took()), len(w.shown.took())
			w.send(o.method, exampleTarget(o, w.document.loaded), body).expect(o.status, "")
			for _, call := range w.commands.took()[calls:] {
				if call.command.Customer != c.customer || call.command.MayPrice != (c.customer == "") {
					t.Errorf("%s by %s: customer %q, may price: %v", o.id, c.name, call.command.Customer, call.command.MayPrice)
				}
			}
			for _, ask := range w.shown.took()[asked:] {
				if ask.Customer != c.customer {
					t.Errorf("%s by %s: customer %q", o.id, c.name, ask.Customer)
				}
			}
			if len(w.commands.took()) == calls && len(w.shown.took()) == asked {
				t.Errorf("%s by %s reached nothing", o.id, c.name)
			}
		}
	}
	for name, customer := range map[string]any{"no customer": nil, "an empty customer": "", "no customer id": "a b"} {
		w.token = i.good(map[string]any{"role": "customer", "customer_id": customer})
		if got := w.send("GET", "/v1/orders", ""); got.Code != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.Code)
		}
	}
	w.token = i.good(map[string]any{"role": "customer", "customer_id": "customer-42"})
	w.send("POST", "/v1/accounts", `{"customerId":"customer-42","currency":"EUR","overdraftLimit":1}`).expect(http.StatusForbidden, "forbidden")
}

func TestDenialsAreLoggedAndTellNoSecrets(t *testing.T) {
	i := newIssuer(t)
	var denied []string
	log := &lines{}
	w := i.secured(func(o *Options) {
		o.Hooks.Denied = func(operation, code string) { denied = append(denied, operation+" "+code) }
		o.Logger = log.logger()
	})
	w.token = i.good(map[string]any{"role": "clerk"})
	w.send("GET", "/v1/audit", "").expect(http.StatusForbidden, "forbidden")
	w.token = i.good(map[string]any{"exp": time.Now().Add(-time.Hour).Unix()})
	w.send("GET", "/v1/audit", "").expect(http.StatusUnauthorized, "unauthenticated")
	w.token = i.good(map[string]any{"exp": strings.Repeat("9", 9000) + "x"})
	w.send("GET", "/v1/audit", "").expect(http.StatusUnauthorized, "unauthenticated")
	if want := []string{"listAudit forbidden", "listAudit unauthenticated", "listAudit unauthenticated"}; !slices.Equal(denied, want) {
		t.Errorf("denied %v", denied)
	}
	text := log.String()
	if strings.Count(text, "a caller was refused") != 3 || len(text) > 5000 || strings.Contains(text, w.token) || strings.Contains(text, strings.Split(w.token, ".")[2]) {
		t.Errorf("the log:\n%s", text)
	}
}
