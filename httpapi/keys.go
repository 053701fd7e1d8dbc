package httpapi

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// How often keys are looked at again.
const (
	keyRefresh = 10 * time.Minute // from a URL, besides unknown key ids
	fileLook   = 2 * time.Second  // a file, at most
)

// Bounds of what is fetched from a URL.
const (
	maxKeySet    = 1 << 20 // bytes
	maxRedirects = 3
)

// minRSA is how many bits an RSA key must have (RFC 7518, section 3.3).
const minRSA = 2048

// errNoKey says nothing about which key a token names: that is its holder's text.
var errNoKey = errors.New("no key that may sign such tokens is known under the token's key id")

// keySet holds the public keys of token issuers, from a URL or a file, and follows their rotation.
type keySet struct {
	url  keyfunc.Keyfunc // nil for a file
	path string
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex
	file   keyfunc.Keyfunc
	looked time.Time
	was    os.FileInfo
}

// newKeySet loads the keys. A file must be there; a URL may come up later: until then nobody gets in.
// ctx bounds the life of the goroutine that follows a URL.
func newKeySet(ctx context.Context, source string, log *slog.Logger, now func() time.Time) (*keySet, error) {
	s := &keySet{log: log, now: now}
	if !isURL(source) {
		s.path = source
		return s, s.load()
	}
	if err := checkKeysURL(source); err != nil {
		return nil, err
	}
	if u, err := url.Parse(source); err == nil && u.Scheme == "http" && !IsLoopback(u.Host) {
		log.Warn("AUTH_JWKS is fetched without TLS: whoever is on the way can put in keys of their own", "host", u.Host)
	}
	followed, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{source}, keyfunc.Override{
		Client:            keyClient(),
		RefreshInterval:   keyRefresh,
		HTTPTimeout:       5 * time.Second,
		RateLimitWaitMax:  2 * time.Second,
		RefreshUnknownKID: rate.NewLimiter(rate.Every(10*time.Second), 3),
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(_ context.Context, err error) {
				log.Warn("the keys of AUTH_JWKS could not be fetched", "error", err)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("AUTH_JWKS can't be used: %w", err)
	}
	s.url = followed
	return s, nil
}

// checkKeysURL says what is wrong with a URL of keys, without the password that may be in it.
func checkKeysURL(source string) error {
	u, err := url.Parse(source)
	switch {
	case err != nil:
		scheme, _, _ := strings.Cut(source, "://")
		return fmt.Errorf("AUTH_JWKS=%q is no URL", scheme+"://…")
	case u.Hostname() == "":
		return fmt.Errorf("AUTH_JWKS=%q names no host", u.Redacted())
	}
	return nil
}

// keyClient fetches keys: at most maxKeySet bytes, and by way of redirects not from anything less safe than
// what was configured.
func keyClient() *http.Client {
	return &http.Client{
		Transport: shortAnswers{http.DefaultTransport},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			switch {
			case len(via) > maxRedirects:
				return fmt.Errorf("more than %d redirects", maxRedirects)
			case via[0].URL.Scheme == "https" && next.URL.Scheme != "https":
				return errors.New("a redirect leaves https")
			}
			return nil
		},
	}
}

// shortAnswers cuts answers off behind maxKeySet bytes.
type shortAnswers struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t shortAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(response.Body, maxKeySet), response.Body}
	}
	return response, err
}

// key finds the keys that may have signed a token: of those with its key id, or of all if it names none,
// those that are for signatures of its algorithm. A key id that nobody knows has the URL asked again, though
// not often.
func (s *keySet) key(ctx context.Context, t *jwt.Token) (any, error) {
	storage := s.current().Storage()
	kid, named := t.Header["kid"].(string)
	if !named && t.Header["kid"] != nil {
		return nil, errNoKey
	}
	keys, err := fitting(ctx, storage, t.Method.Alg(), kid, named)
	if err == nil && len(keys) == 0 && named {
		if _, err := storage.KeyRead(ctx, kid); err != nil {
			return nil, errNoKey
		}
		keys, err = fitting(ctx, storage, t.Method.Alg(), kid, named)
	}
	if err == nil && len(keys) == 0 {
		err = errNoKey
	}
	return jwt.VerificationKeySet{Keys: keys}, err
}

// fitting lists the keys that may verify signatures of an algorithm.
func fitting(ctx context.Context, storage jwkset.Storage, alg, kid string, named bool) ([]jwt.VerificationKey, error) {
	all, err := storage.KeyReadAll(ctx)
	if err != nil {
		return nil, err
	}
	var keys []jwt.VerificationKey
	for _, k := range all {
		if said := k.Marshal(); (!named || said.KID == kid) && verifies(said, alg) {
			if key := publicOf(k.Key()); suits(key, alg) {
				keys = append(keys, key)
			}
		}
	}
	return keys, nil
}

// verifies says whether a key was published to check signatures of the algorithm.
func verifies(k jwkset.JWKMarshal, alg string) bool {
	forIt := len(k.KEYOPS) == 0 || slices.Contains(k.KEYOPS, jwkset.KeyOpsVerify)
	return forIt && (k.USE == "" || k.USE == jwkset.UseSig) && (k.ALG == "" || k.ALG.String() == alg)
}

// publicOf is the public half where a set gives away a private key.
func publicOf(key any) any {
	if pair, ok := key.(interface{ Public() crypto.PublicKey }); ok {
		return pair.Public()
	}
	return key
}

// suits says whether a key is of the kind, and of the strength, that an algorithm demands.
func suits(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return alg == "RS256" && k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey:
		return alg == "ES256" && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// current is the key set as it is now. That of a file is read again when the file has changed.
func (s *keySet) current() keyfunc.Keyfunc {
	if s.url != nil {
		return s.url
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.looked) >= fileLook {
		s.looked = now
		if info, err := os.Stat(s.path); err != nil || s.was == nil || !info.ModTime().Equal(s.was.ModTime()) || info.Size() != s.was.Size() {
			if err := s.load(); err != nil {
				s.log.Warn("the keys of AUTH_JWKS could not be read again; the old ones stay", "error", err)
			}
		}
	}
	return s.file
}

func (s *keySet) load() error {
	info, err := os.Stat(s.path)
	if err != nil {
		return fmt.Errorf("AUTH_JWKS=%q can't be read: %w", s.path, plain(err))
	}
	loaded, err := readKeys(s.path)
	if err != nil {
		return err
	}
	s.file, s.was, s.looked = loaded, info, s.now()
	return nil
}

// readKeys reads a file with a JSON Web Key Set.
func readKeys(path string) (keyfunc.Keyfunc, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("AUTH_JWKS=%q can't be read: %w", path, plain(err))
	}
	loaded, err := parseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("AUTH_JWKS=%q %w", path, err)
	}
	return loaded, nil
}

// parseKeys reads a JSON Web Key Set; the error goes on from the name of its source.
func parseKeys(text []byte) (keyfunc.Keyfunc, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("is no JSON Web Key Set: %w", err)
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("has no keys")
	}
	for _, k := range set.Keys {
		if n, err := base64.RawURLEncoding.DecodeString(k.N); err == nil && k.KTY == jwkset.KtyRSA && new(big.Int).SetBytes(n).BitLen() < minRSA {
			return nil, fmt.Errorf("has an RSA key of fewer than %d bits", minRSA)
		}
	}
	loaded, err := keyfunc.NewJWKSetJSON(text)
	if err != nil {
		return nil, fmt.Errorf("can't be used: %w", err)
	}
	return loaded, nil
}

func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}
