package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
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
	if isURL(source) {
		followed, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{source}, keyfunc.Override{
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
			return nil, fmt.Errorf("AUTH_JWKS=%q can't be used: %w", source, err)
		}
		s.url = followed
		return s, nil
	}
	s.path = source
	if err := s.load(); err != nil {
		return nil, err
	}
	return s, nil
}

// key finds the key that a token names.
func (s *keySet) key(t *jwt.Token) (any, error) {
	if s.url != nil {
		return s.url.Keyfunc(t)
	}
	return s.current().Keyfunc(t)
}

// current is the key set of the file, read again when the file has changed.
func (s *keySet) current() keyfunc.Keyfunc {
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
	loaded, err := keyfunc.NewJWKSetJSON(text)
	if err != nil {
		return nil, fmt.Errorf("can't be used: %w", err)
	}
	return loaded, nil
}

func isURL(source string) bool {
	return strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://")
}
