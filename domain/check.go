package domain

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits that hold everywhere.
const (
	MaxAmount   int64 = 1<<53 - 1 // of money in minor units and of pieces on hand: what JSON numbers carry exactly
	MaxQuantity int64 = 1_000_000 // of pieces in one line or one stock movement
)

// Add is a+b; ok is false if the sum is beyond ±MaxAmount (or either already was).
func Add(a, b int64) (sum int64, ok bool) {
	if !withinAmount(a) || !withinAmount(b) || !withinAmount(a+b) {
		return 0, false
	}
	return a + b, true
}

// Mul is a·b; ok is false if the product is beyond ±MaxAmount (or either factor already was).
func Mul(a, b int64) (product int64, ok bool) {
	if !withinAmount(a) || !withinAmount(b) {
		return 0, false
	}
	if a == 0 || b == 0 {
		return 0, true
	}
	product = a * b
	if product/b != a || !withinAmount(product) {
		return 0, false
	}
	return product, true
}

func withinAmount(n int64) bool { return -MaxAmount <= n && n <= MaxAmount }

// ValidSKU says whether s may name a product: ^[A-Z0-9][A-Z0-9._-]{0,63}$.
func ValidSKU(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && (i == 0 || !strings.ContainsRune("._-", rune(c))) {
			return false
		}
	}
	return true
}

// ValidCustomerID says whether s may name a customer: 1–64 of [A-Za-z0-9._:-].
func ValidCustomerID(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && !strings.ContainsRune("._:-", rune(c)) {
			return false
		}
	}
	return true
}

// ValidUUID says whether s is a UUID of any version in its canonical form: lower case, with dashes.
func ValidUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return false
			}
		}
	}
	return true
}

// ValidCurrency says whether s is the upper-case code of a currency in use (ISO 4217).
func ValidCurrency(s string) bool {
	return len(s) == 3 && !strings.Contains(s, " ") && strings.Contains(currencies, " "+s+" ")
}

// The funds, metals and testing codes of the standard are left out: nobody pays with them.
const currencies = " AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD " +
	"HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD " +
	"MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG " +
	"QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS " +
	"UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG "

// Findings collects what is wrong with an input, so that the caller hears all of it at once.
// The zero value is ready to use.
type Findings struct {
	fields []Field
}

// Add records a finding. Pointer is a JSON pointer into the body, code one of required, too_long,
// too_many, out_of_range, invalid_format, invalid_characters, unknown, duplicate.
func (f *Findings) Add(pointer, code, format string, args ...any) {
	f.fields = append(f.fields, Field{Pointer: pointer, Code: code, Detail: fmt.Sprintf(format, args...)})
}

// Err is the refusal that says all findings, nil if there are none.
func (f *Findings) Err() error {
	if len(f.fields) == 0 {
		return nil
	}
	return Invalid(f.fields...)
}

// Range demands least ≤ n ≤ most.
func (f *Findings) Range(pointer string, n, least, most int64) {
	if n < least || n > most {
		f.Add(pointer, "out_of_range", "must be between %d and %d", least, most)
	}
}

// Text demands at most most characters, valid UTF-8 and no control characters but line breaks and
// tabs; where required also something other than space.
func (f *Findings) Text(pointer, s string, required bool, most int) {
	switch {
	case required && strings.TrimSpace(s) == "":
		f.Add(pointer, "required", "must not be empty")
	case !utf8.ValidString(s) || strings.ContainsFunc(s, forbidden):
		f.Add(pointer, "invalid_characters", "must be text without control characters")
	case utf8.RuneCountInString(s) > most:
		f.Add(pointer, "too_long", "must have at most %d characters", most)
	}
}

func forbidden(r rune) bool {
	return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
}

// SKU demands a valid SKU.
func (f *Findings) SKU(pointer, s string) {
	if !ValidSKU(s) {
		f.Add(pointer, "invalid_format", "must match ^[A-Z0-9][A-Z0-9._-]{0,63}$")
	}
}

// CustomerID demands a valid customer id.
func (f *Findings) CustomerID(pointer, s string) {
	if !ValidCustomerID(s) {
		f.Add(pointer, "invalid_format", "must be 1 to 64 of A-Z, a-z, 0-9, dot, underscore, colon and dash")
	}
}

// UUID demands a UUID in canonical form.
func (f *Findings) UUID(pointer, s string) {
	if !ValidUUID(s) {
		f.Add(pointer, "invalid_format", "must be a UUID in lower case")
	}
}

// Currency demands the upper-case code of a currency in use.
func (f *Findings) Currency(pointer, s string) {
	if !ValidCurrency(s) {
		f.Add(pointer, "unknown", "must be an ISO 4217 currency code in upper case")
	}
}
