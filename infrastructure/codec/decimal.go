package codec

import (
	"errors"
	"strconv"
	"strings"
)

var (
	errNotNumber = errors.New("not a number")
	errNotWhole  = errors.New("has more digits than can be kept exactly")
	errTooLarge  = errors.New("too large")
)

// maxAmount is the largest amount and quantity anywhere: the largest integer that every JSON reader keeps.
const maxAmount = 1<<53 - 1

// scaled reads a JSON number and multiplies it by 10^scale, exactly: no binary fraction is ever
// involved, and a number that would need rounding is refused. The result is within ±maxAmount.
func scaled(number string, scale int) (int64, error) {
	if len(number) > 40 {
		return 0, errTooLarge
	}
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(number), "e")
	if hasExponent {
		shift, err := strconv.Atoi(exponent)
		if err != nil {
			return 0, errNotNumber
		}
		if shift < -40 || shift > 40 {
			return 0, errTooLarge
		}
		scale += shift
	}
	negative := strings.HasPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	digits := whole + fraction
	if whole == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, errNotNumber
	}
	switch shift := scale - len(fraction); {
	case shift >= 0:
		digits += strings.Repeat("0", shift)
	default:
		cut := max(0, len(digits)+shift)
		if strings.Trim(digits[cut:], "0") != "" {
			return 0, errNotWhole
		}
		digits = digits[:cut]
	}
	digits = strings.TrimLeft(digits, "0")
	if digits == "" {
		return 0, nil
	}
	value, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || value > maxAmount {
		return 0, errTooLarge
	}
	if negative {
		value = -value
	}
	return value, nil
}
