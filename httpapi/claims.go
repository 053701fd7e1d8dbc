package httpapi

import (
	"encoding/json"
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// claims are what tokens say to us.
type claims struct {
	jwt.RegisteredClaims
	Role       roleClaim
	CustomerID string
}

// roleClaim is a string or a list of strings.
type roleClaim = jwt.ClaimStrings

var (
	errDate     = errors.New("a date is not between the years 1970 and 9999")
	errCritical = errors.New("the header has extensions that must be understood (crit), and none is")
)

// UnmarshalJSON takes claims by their exact names. By itself encoding/json would take ROLE, or even a role
// written with letters that only fold to those, for role, the last one winning: what an issuer lets its users
// write into a claim of such a name would then be who they are here.
func (c *claims) UnmarshalJSON(text []byte) error {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	var read claims
	for name, value := range map[string]any{
		"sub": &read.Subject, "iss": &read.Issuer, "aud": &read.Audience, "exp": &read.ExpiresAt, "nbf": &read.NotBefore, "iat": &read.IssuedAt,
		"role": &read.Role, "customer_id": &read.CustomerID,
	} {
		if given, ok := all[name]; ok {
			if err := json.Unmarshal(given, value); err != nil {
				return err
			}
		}
	}
	for _, date := range []*jwt.NumericDate{read.ExpiresAt, read.NotBefore, read.IssuedAt} {
		// Numbers too large for a time wrap around, and a date that never comes would lie in the past.
		if date != nil && (date.UTC().Year() < 1970 || date.UTC().Year() > 9999) {
			return errDate
		}
	}
	*c = read
	return nil
}
