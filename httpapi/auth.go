package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// leeway is how far the clocks of token issuers may be off.
const leeway = 5 * time.Second

// maxToken bounds a token in characters.
const maxToken = 16 << 10

// houseActors begin the names under which processes of the house stand in events. Nobody gets in under one.
const houseActors = "process:"

// keeper proves who a caller is.
type keeper struct {
	parser *jwt.Parser
	keys   *keySet // nil: none
	secret []jwt.VerificationKey
	open   bool // no keys at all: everybody is an operator
}

// readSecret reads a shared secret as it is in its file.
func readSecret(path string) ([]byte, error) {
	secret, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("AUTH_HS256_SECRET_FILE=%q can't be read: %w", path, plain(err))
	}
	if strings.TrimSpace(string(secret)) == "" {
		return nil, fmt.Errorf("AUTH_HS256_SECRET_FILE=%q is empty", path)
	}
	return secret, nil
}

// plain is the cause within a path error, whose path the message has already.
func plain(err error) error {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err
	}
	return err
}

var asymmetric = []string{"RS256", "ES256", "EdDSA"}

func newKeeper(ctx context.Context, o Options) (*keeper, error) {
	k := &keeper{open: !o.Auth.Enabled()}
	var methods []string
	if o.Auth.HS256SecretFile != "" {
		secret, err := readSecret(o.Auth.HS256SecretFile)
		if err != nil {
			return nil, err
		}
		trimmed := strings.TrimSpace(string(secret))
		// Editors and echo end files with a line break that nobody means; random bytes may end like that too.
		k.secret = []jwt.VerificationKey{[]byte(trimmed), secret}
		methods = append(methods, "HS256")
		if len(trimmed) < 32 {
			o.Logger.Warn("the shared secret of AUTH_HS256_SECRET_FILE is shorter than 32 bytes; use it for development only")
		}
	}
	if o.Auth.JWKS != "" {
		keys, err := newKeySet(ctx, o.Auth.JWKS, o.Logger, o.Now)
		if err != nil {
			return nil, err
		}
		k.keys = keys
		methods = append(methods, asymmetric...)
	}
	settings := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithIssuedAt(), jwt.WithLeeway(leeway),
		jwt.WithTimeFunc(o.Now), jwt.WithStrictDecoding(),
	}
	if o.Auth.Issuer != "" {
		settings = append(settings, jwt.WithIssuer(o.Auth.Issuer))
	}
	if o.Auth.Audience != "" {
		settings = append(settings, jwt.WithAudience(o.Auth.Audience))
	}
	k.parser = jwt.NewParser(settings...)
	return k, nil
}

// identify finds out who sent a request. Without keys everybody is an operator; then a token says nothing.
func (k *keeper) identify(r *http.Request) (principal, error) {
	if k.open {
		return principal{subject: "operator", roles: []string{roleOperator}, trusted: true}, nil
	}
	values := r.Header.Values("Authorization")
	if len(values) == 0 {
		return principal{}, fail("unauthenticated", "The request has no token.")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken {
		return principal{}, fail("unauthenticated", "Authorization must be Bearer and one token.")
	}
	var c claims
	// Keys that are fetched for somebody are for all: that the one hangs up ends nothing.
	ctx := context.WithoutCancel(r.Context())
	parsed, err := k.parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) { return k.key(ctx, t) })
	if err != nil {
		refusal := fail("unauthenticated", "%s", why(err))
		refusal.Err = err
		return principal{}, refusal
	}
	// Whoever holds the shared secret can make tokens without end anyway; it is for development.
	if c.ExpiresAt == nil && parsed.Method.Alg() != "HS256" {
		return principal{}, fail("unauthenticated", "The token has no end; it must have exp.")
	}
	return c.principal()
}

// key gives the key for a token by its algorithm: a shared secret never checks what claims to be signed
// by a key pair, nor the other way round.
func (k *keeper) key(ctx context.Context, t *jwt.Token) (any, error) {
	if _, critical := t.Header["crit"]; critical {
		return nil, errCritical
	}
	if t.Method.Alg() == "HS256" {
		return jwt.VerificationKeySet{Keys: k.secret}, nil
	}
	return k.keys.key(ctx, t)
}

// why says what is wrong with a token without telling more than its holder knows.
func why(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "The token has expired."
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "The token is not valid yet."
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "The token is for another audience."
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "The token is from another issuer."
	}
	if errors.Is(err, jwt.ErrTokenRequiredClaimMissing) {
		return "The token lacks the issuer or the audience that is demanded here (iss, aud)."
	}
	return "The token is not valid."
}

func (c claims) principal() (principal, error) {
	if !validSubject(c.Subject) {
		return principal{}, fail("unauthenticated", "The token names nobody in sub.")
	}
	if strings.HasPrefix(c.Subject, houseActors) {
		return principal{}, fail("unauthenticated", "The token names a process of the house in sub.")
	}
	p := principal{subject: c.Subject, customer: c.CustomerID}
	if c.ExpiresAt != nil {
		p.expires = c.ExpiresAt.Time
	}
	for _, role := range c.Role {
		if slices.Contains(allRoles, role) && !p.has(role) {
			p.roles = append(p.roles, role)
		}
	}
	return p, nil
}

// validSubject accepts what can stand in events and logs.
func validSubject(s string) bool {
	return strings.TrimSpace(s) != "" && len(s) <= 256 && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
