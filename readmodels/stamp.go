package readmodels

import "time"

// stampForm is RFC 3339 with a fixed number of digits, so that stamps sort as bytes like their times.
const stampForm = "2006-01-02T15:04:05.000000Z"

// Stamp writes a time the way documents and answers hold it: UTC, whole microseconds; "" for the zero time.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stampForm)
}

// ParseStamp reads what Stamp wrote; the zero time for "" and for anything else.
func ParseStamp(s string) time.Time {
	t, err := time.Parse(stampForm, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// Day is the UTC day of a time: "2026-03-01".
func Day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}
