package httpapi

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tidemark-dev/tidemark/domain"
)

// formats are the string formats of the document that are checked. They are passed with each
// validation: the library's own table is global and refuses UUIDs of version 7.
var formats = map[string]openapi3.StringFormatValidator{
	"uuid":      stringFormat(domain.ValidUUID),
	"currency":  stringFormat(domain.ValidCurrency),
	"date-time": stringFormat(func(s string) bool { _, err := parseTime(s); return err == nil }),
	"date":      stringFormat(func(s string) bool { _, err := time.Parse(time.DateOnly, s); return err == nil }),
	"duration": stringFormat(func(s string) bool {
		d, err := time.ParseDuration(s)
		return err == nil && d >= 0
	}),
}

var errFormat = errors.New("has another format")

func stringFormat(valid func(string) bool) openapi3.StringFormatValidator {
	return openapi3.NewCallbackValidator(func(s string) error {
		if valid(s) {
			return nil
		}
		return errFormat
	})
}

// parseTime reads RFC 3339 within the years that stamps can hold.
func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, err
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9998 {
		return time.Time{}, errFormat
	}
	return t, nil
}

// checkValue holds a value against a schema of the document and gives every finding.
func checkValue(schema *openapi3.Schema, value any, pointer string) []domain.Field {
	err := schema.VisitJSON(value, openapi3.MultiErrors(), openapi3.WithStringFormatValidators(formats))
	if err == nil {
		return nil
	}
	c := collector{named: map[string]bool{}}
	c.collect(err, pointer)
	return c.found
}

// collector gathers what is wrong with a value, in time linear in its size: anybody may send one with very many mistakes.
type collector struct {
	found []domain.Field
	named map[string]bool // objects, by pointer, whose unknown fields are among the findings
}

func (c *collector) collect(err error, pointer string) {
	if all, ok := err.(openapi3.MultiError); ok { //nolint:errorlint // the validator nests them bare
		for _, e := range all {
			c.collect(e, pointer)
		}
		return
	}
	e, ok := errors.AsType[*openapi3.SchemaError](err)
	if !ok {
		c.found = append(c.found, domain.Field{Pointer: pointer, Code: "invalid_format", Detail: "Is not valid."})
		return
	}
	for _, part := range e.JSONPointer() {
		pointer += "/" + escapePointer(part)
	}
	if e.SchemaField == "properties" {
		c.unknownFields(e, pointer)
		return
	}
	f := explain(e)
	f.Pointer = pointer
	c.found = append(c.found, f)
}

// unknownFields names the fields of an object that its schema lacks. The library reports one error for
// each, all at the object.
func (c *collector) unknownFields(e *openapi3.SchemaError, pointer string) {
	if c.named[pointer] {
		return
	}
	c.named[pointer] = true
	object, _ := e.Value.(map[string]any)
	var names []string
	for name := range object {
		if _, known := e.Schema.Properties[name]; !known {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		f := domain.Field{Pointer: pointer + "/" + escapePointer(name), Code: "unknown_field", Detail: "There is no such field."}
		for known := range e.Schema.Properties {
			if strings.EqualFold(known, name) {
				f.Detail = fmt.Sprintf("There is no such field; the case counts: %q.", known)
			}
		}
		c.found = append(c.found, f)
	}
}

// explain says in words of ours what a schema error means; values of the request are not repeated.
func explain(e *openapi3.SchemaError) domain.Field {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return domain.Field{Code: "required", Detail: "Must be given."}
	case "nullable":
		return domain.Field{Code: "null", Detail: "Must not be null; leave the field out instead."}
	case "type":
		if e.Value == nil && len(e.JSONPointer()) > 0 {
			return domain.Field{Code: "null", Detail: "Must not be null; leave the field out instead."}
		}
		return domain.Field{Code: "invalid_type", Detail: "Must be " + typeNames(s) + "."}
	case "enum":
		return domain.Field{Code: "unknown", Detail: "Must be one of " + choices(s.Enum) + "."}
	case "pattern":
		if strings.Contains(s.Pattern, `\x00`) {
			return domain.Field{Code: "invalid_characters", Detail: "Must be text without control characters."}
		}
		if words, ok := patternNames[s.Pattern]; ok {
			return domain.Field{Code: "invalid_format", Detail: "Must be " + words + "."}
		}
		return domain.Field{Code: "invalid_format", Detail: "Must match " + s.Pattern + "."}
	case "format":
		return domain.Field{Code: "invalid_format", Detail: "Must be " + formatNames[s.Format] + "."}
	case "minimum", "maximum":
		return domain.Field{Code: "out_of_range", Detail: "Must be " + bounds(s.Min, s.Max) + "."}
	case "minLength":
		return domain.Field{Code: "too_short", Detail: atLeast(s.MinLength, "character")}
	case "maxLength":
		return domain.Field{Code: "too_long", Detail: fmt.Sprintf("Must have at most %d characters.", deref(s.MaxLength))}
	case "minItems":
		return domain.Field{Code: "too_few", Detail: atLeast(s.MinItems, "item")}
	case "maxItems":
		return domain.Field{Code: "too_many", Detail: fmt.Sprintf("Must have at most %d items.", deref(s.MaxItems))}
	case "minProperties":
		return domain.Field{Code: "too_few", Detail: atLeast(s.MinProps, "field")}
	case "maxProperties":
		return domain.Field{Code: "too_many", Detail: fmt.Sprintf("Must have at most %d fields.", deref(s.MaxProps))}
	}
	return domain.Field{Code: "invalid_format", Detail: "Is not valid."}
}

var formatNames = map[string]string{
	"uuid": "a UUID in lower case", "currency": "the ISO 4217 code of a currency in use", "date-time": "a time in RFC 3339, such as 2026-03-01T09:15:00Z",
	"date": "a day such as 2026-03-01", "duration": "a duration such as 15m or 1h30m", "int64": "a whole number within 64 bits", "int32": "a whole number within 32 bits",
}

// patternNames are the patterns of the document in words.
var patternNames = map[string]string{
	`^[A-Z0-9][A-Z0-9._-]{0,63}$`:        "a SKU: 1 to 64 of A-Z, 0-9, \".\", \"_\" and \"-\", a letter or digit first",
	`^[A-Za-z0-9._:-]{1,64}$`:            "1 to 64 of A-Z, a-z, 0-9, \".\", \"_\", \":\" and \"-\"",
	`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`: "1 to 64 of A-Z, a-z, 0-9, \".\", \"_\", \":\" and \"-\", a letter or digit first",
	`^[A-Z]{3}$`:                         "an ISO 4217 code in capitals, such as EUR",
	`^(start|end)$`:                      "\"start\", \"end\" or a position",
	`^[a-z]+-[A-Za-z0-9._:-]+$`:          "the name of a stream, such as product-TEA",
}

// atLeast says how many of something there must be.
func atLeast(n uint64, what string) string {
	if n == 1 {
		return "Must not be empty."
	}
	return fmt.Sprintf("Must have at least %d %ss.", n, what)
}

func typeNames(s *openapi3.Schema) string {
	names := map[string]string{"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list", "object": "an object"}
	var all []string
	for _, t := range s.Type.Slice() {
		all = append(all, names[t])
	}
	return strings.Join(all, " or ")
}

func choices(values []any) string {
	all := make([]string, len(values))
	for i, v := range values {
		all[i] = fmt.Sprint(v)
	}
	return strings.Join(all, ", ")
}

func bounds(least, most *float64) string {
	switch {
	case least == nil:
		return "at most " + whole(*most)
	case most == nil:
		return "at least " + whole(*least)
	}
	return "between " + whole(*least) + " and " + whole(*most)
}

func whole(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func deref(n *uint64) uint64 {
	if n == nil {
		return 0
	}
	return *n
}

// invalid makes the refusal that lists findings: one per place, bounded in number and size, so that a
// hostile body can't make a large answer.
func invalid(found []domain.Field) error {
	kept := make([]domain.Field, 0, min(len(found), maxFindings))
	seen := map[string]bool{}
	for _, f := range found {
		if f.Pointer = clip(f.Pointer); seen[f.Pointer] || len(kept) == maxFindings {
			continue
		}
		seen[f.Pointer] = true
		kept = append(kept, f)
	}
	slices.SortStableFunc(kept, func(a, b domain.Field) int { return strings.Compare(a.Pointer, b.Pointer) })
	return domain.Invalid(kept...)
}

func clip(pointer string) string {
	const most = 200
	if len(pointer) <= most {
		return pointer
	}
	return strings.ToValidUTF8(pointer[:most], "") + "…"
}
