package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
)

// maxTags bounds how many entity tags a condition may list.
const maxTags = 16

// anyRevision is what If-Match: * asks for.
const anyRevision int64 = -1

// noRevision is what a tag asks for that is not a revision: it is never the current one.
const noRevision int64 = -2

// readIfMatch gives the revisions that If-Match names; nil without the header. W/ is tolerated, as
// proxies that compress put it there.
func readIfMatch(h http.Header) ([]int64, error) {
	values := h.Values("If-Match")
	if len(values) == 0 {
		return nil, nil
	}
	tags, ok := entityTags(strings.Join(values, ","))
	if !ok {
		return nil, domain.Invalid(domain.Field{Pointer: "/header/If-Match", Code: "invalid_format", Detail: `Must be a revision in quotes, such as "3", or *.`})
	}
	var revisions []int64
	for _, tag := range tags {
		if tag == "*" {
			return []int64{anyRevision}, nil
		}
		revision, err := parseInteger(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`))
		if err != nil || revision < 0 {
			revision = noRevision
		}
		revisions = append(revisions, revision)
	}
	return revisions, nil
}

// entityTags splits a list of entity tags, each as it was written; "*" only by itself.
func entityTags(text string) (tags []string, ok bool) {
	text = strings.TrimSpace(text)
	if text == "*" {
		return []string{"*"}, true
	}
	for len(tags) < maxTags {
		rest := strings.TrimPrefix(text, "W/")
		if !strings.HasPrefix(rest, `"`) {
			return nil, false
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 || strings.ContainsFunc(rest[1:1+end], func(r rune) bool { return r < '!' || r == 0x7f }) {
			return nil, false
		}
		length := len(text) - len(rest) + end + 2
		tags, text = append(tags, text[:length]), strings.TrimSpace(text[length:])
		if text == "" {
			return tags, true
		}
		if text, ok = strings.CutPrefix(text, ","); !ok {
			return nil, false
		}
		text = strings.TrimSpace(text)
	}
	return nil, false
}

// noneMatch says whether If-None-Match names the tag (in quotes), so that the answer is 304. The
// comparison is weak, as RFC 9110 wants it for GET. What can't be read matches nothing.
func noneMatch(h http.Header, tag string) bool {
	values := h.Values("If-None-Match")
	if len(values) == 0 || tag == "" {
		return false
	}
	tags, ok := entityTags(strings.Join(values, ","))
	if !ok {
		return false
	}
	for _, t := range tags {
		if t == "*" || strings.TrimPrefix(t, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}

// revisionTag is the entity tag of a revision.
func revisionTag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// idempotencyKey reads the key; empty if there is none.
func idempotencyKey(h http.Header) (string, error) {
	values := h.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	switch {
	case len(values) > 1:
		return "", domain.Invalid(domain.Field{Pointer: "/header/Idempotency-Key", Code: "repeated", Detail: "Must be given once."})
	case !visible(key, 255):
		return "", domain.Invalid(domain.Field{Pointer: "/header/Idempotency-Key", Code: "invalid_format", Detail: "Must be 1 to 255 visible ASCII characters."})
	}
	return key, nil
}

// visible says whether s is 1 to most visible ASCII characters.
func visible(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		if c < '!' || c > '~' {
			return false
		}
	}
	return true
}
