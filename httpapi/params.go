package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Bounds of a request line.
const (
	maxQuery = 16 << 10
	maxValue = 8 << 10
)

// readQuery parses the query string and holds it against the operation: unknown and repeated
// parameters, and values of another form, become findings.
func readQuery(o operation, r *http.Request) (map[string]string, []domain.Field, error) {
	raw := r.URL.RawQuery
	if raw == "" {
		return map[string]string{}, nil, nil
	}
	if len(raw) > maxQuery {
		return nil, nil, fail("malformed_request", "The query string is too long.")
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, nil, fail("malformed_request", "The query string is not well-formed.")
	}
	if values.Has("after") && values.Get("after") == "" {
		return nil, nil, fail("invalid_tidemark", "The tidemark in after is empty.")
	}
	if values.Has("cursor") && values.Get("cursor") == "" {
		return nil, nil, fail("invalid_cursor", "The cursor is empty; leave it out for the first page.")
	}
	params := make(map[string]string, len(values))
	var found []domain.Field
	for name, all := range values {
		pointer := "/query/" + escapePointer(name)
		p, known := o.parameter("query", name)
		switch {
		case !known:
			found = append(found, domain.Field{Pointer: pointer, Code: "unknown_parameter", Detail: "There is no such parameter here."})
		case len(all) != 1:
			found = append(found, domain.Field{Pointer: pointer, Code: "repeated", Detail: "Must be given once."})
		default:
			wrong := checkText(p.schema, all[0], pointer)
			if name == "cursor" && len(wrong) > 0 {
				return nil, nil, fail("invalid_cursor", "The cursor is none that a list gave.")
			}
			params[name] = all[0]
			found = append(found, wrong...)
		}
	}
	return params, found, nil
}

// checkText holds the text of a parameter against its schema.
func checkText(schema *openapi3.Schema, text, pointer string) []domain.Field {
	if len(text) > maxValue {
		return []domain.Field{{Pointer: pointer, Code: "too_long", Detail: "Is too long."}}
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return []domain.Field{{Pointer: pointer, Code: "invalid_characters", Detail: "Must be text without control characters."}}
	}
	var value any = text
	switch {
	case schema.Type.Permits("integer"):
		n, err := parseInteger(text)
		if err != nil {
			return []domain.Field{{Pointer: pointer, Code: "invalid_type", Detail: "Must be a whole number."}}
		}
		value = n
	case schema.Type.Permits("boolean"):
		if text != "true" && text != "false" {
			return []domain.Field{{Pointer: pointer, Code: "invalid_type", Detail: "Must be true or false."}}
		}
		value = text == "true"
	case text == "":
		return []domain.Field{{Pointer: pointer, Code: "required", Detail: "Must not be empty."}}
	}
	return checkValue(schema, value, pointer)
}

// parseInteger reads plain decimal digits with an optional minus: no plus, no spaces, no leading zeros.
func parseInteger(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

// readPath takes the path's parameters. One that has another form than any id can have names nothing:
// 404. Where a command would make the thing (a SKU's first receipt) it is a finding instead.
func readPath(o operation, c echo.Context, params map[string]string) ([]domain.Field, error) {
	var found []domain.Field
	for _, p := range o.params {
		if p.in != "path" {
			continue
		}
		value := c.Param(p.name)
		if c.Request().URL.RawPath != "" { // then the router matched, and cut out, the escaped path
			var err error
			if value, err = url.PathUnescape(value); err != nil {
				return nil, fail("malformed_request", "The path is not well-formed.")
			}
		}
		params[p.name] = value
		wrong := checkText(p.schema, value, "/path/"+p.name)
		if len(wrong) > 0 && o.id != "receiveStock" {
			return nil, fail("not_found", "There is nothing at this path.")
		}
		found = append(found, wrong...)
	}
	return found, nil
}

// question is what the parameters and headers of a query ask for.
type question struct {
	ask     readmodels.Ask
	waits   bool   // it names a tidemark
	applied string // Preference-Applied
}

// takesLong says whether the answer may be long in coming: once the read model has what is asked for, or once
// a list of the past is folded, few at a time.
func (q question) takesLong() bool { return q.waits || !q.ask.AsOf.IsZero() }

// Bounds of Prefer: wait.
const (
	defaultWait = 5 * time.Second
	maxWait     = 30 * time.Second
)

// readQuestion reads a query. Tokens come first: a malformed one is 400 whatever else is wrong, and
// even if the thing asked for does not exist.
func readQuestion(o operation, c echo.Context, who access) (question, error) {
	request := c.Request()
	var q question
	params, found, err := readQuery(o, request)
	if err != nil {
		return q, err
	}
	tokens := append(slices.Clone(request.Header.Values("Tidemark")), params["after"])
	tokens = slices.DeleteFunc(tokens, func(t string) bool { return t == "" })
	if q.ask.After, err = readmodels.ParseTidemark(strings.Join(tokens, ",")); err != nil {
		return q, err
	}
	missing, err := readPath(o, c, params)
	if err != nil {
		return q, err
	}
	found = append(found, missing...)
	if params["asOf"] != "" && params["revision"] != "" {
		found = append(found, domain.Field{Pointer: "/query/revision", Code: "contradiction", Detail: "Give asOf or revision, not both."})
	}
	if from, to := params["from"], params["to"]; from != "" && to != "" && len(found) == 0 && before(to, from) {
		found = append(found, domain.Field{Pointer: "/query/to", Code: "out_of_range", Detail: "Must not be before from."})
	}
	if len(found) > 0 {
		return q, invalid(found)
	}
	q.waits = len(q.ask.After) > 0
	wait, asked := preferredWait(request.Header.Values("Prefer"))
	if q.ask.Wait = wait; asked && q.waits {
		q.applied = "wait=" + strconv.Itoa(int(wait/time.Second))
	}
	q.ask.Customer = who.customer
	q.fill(params)
	return q, nil
}

// fill sets what has a field of its own in the question; all else stays a parameter.
func (q *question) fill(params map[string]string) {
	if t, err := parseTime(params["asOf"]); err == nil {
		q.ask.AsOf = t
	}
	if n, err := parseInteger(params["revision"]); err == nil {
		q.ask.Revision = &n
	}
	q.ask.Limit = 50
	if n, err := parseInteger(params["limit"]); err == nil {
		q.ask.Limit = int(n)
	}
	q.ask.Cursor = params["cursor"]
	q.ask.Explain = params["explain"] == "true"
	for _, name := range []string{"asOf", "revision", "limit", "cursor", "explain", "after"} {
		delete(params, name)
	}
	q.ask.Params = params
}

// before compares two times or two days, already checked for their form.
func before(a, b string) bool {
	ta, errA := parseTime(a)
	tb, errB := parseTime(b)
	if errA != nil || errB != nil {
		return a < b
	}
	return ta.Before(tb)
}

// preferredWait reads Prefer: wait=<seconds> as RFC 7240 has it: the first wait counts, what is not
// understood is ignored. More than maxWait is cut down to it.
func preferredWait(values []string) (wait time.Duration, asked bool) {
	for _, value := range values {
		for preference := range strings.SplitSeq(value, ",") {
			preference, _, _ = strings.Cut(preference, ";")
			name, text, _ := strings.Cut(preference, "=")
			if !strings.EqualFold(strings.TrimSpace(name), "wait") {
				continue
			}
			seconds, err := parseInteger(strings.Trim(strings.TrimSpace(text), `"`))
			if err != nil || seconds < 0 {
				continue
			}
			if seconds > int64(maxWait/time.Second) {
				return maxWait, true
			}
			return time.Duration(seconds) * time.Second, true
		}
	}
	return defaultWait, false
}
