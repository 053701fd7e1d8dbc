package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tidemark-dev/tidemark/domain"
)

// Bounds of a body.
const (
	maxBody  = 1 << 20 // bytes, of a body or of a line of an import
	maxDepth = 32      // objects and arrays within each other
)

// readBody reads a JSON body of at most maxBody bytes, as far as held allows; nil for none. Its media type
// must be JSON.
func readBody(r *http.Request, held *share) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength > maxBody {
		drain(r.Body)
		return nil, tooLarge()
	}
	if err := checkMediaType(r, "application/json"); err != nil {
		if first := make([]byte, 1); r.ContentLength < 0 {
			if n, _ := r.Body.Read(first); n == 0 {
				return nil, nil // announced as a stream, but there is nothing in it
			}
		}
		return nil, err
	}
	room, most := int64(firstRead), int64(maxBody+1)
	if r.ContentLength > 0 {
		room, most = min(r.ContentLength, firstRead), r.ContentLength
	}
	if !held.fits(max(room, r.ContentLength)) {
		return nil, errNoRoom
	}
	var body []byte
	for ; ; room = min(2*room, most) {
		if !held.hold(room) {
			return nil, errNoRoom
		}
		text, ended, err := readUpTo(r.Body, body, room)
		body = text
		switch {
		case err != nil:
			return nil, fail("malformed_request", "The body broke off.")
		case len(body) > maxBody:
			held.giveBack()
			drain(r.Body)
			return nil, tooLarge()
		case ended || int64(len(body)) == r.ContentLength:
			return body, nil
		}
	}
}

// errNoRoom says that the budget of bodies has no room for this one.
var errNoRoom = errors.New("no room for the body")

// readUpTo reads on behind text until there are so many bytes in all or the body has ended.
func readUpTo(body io.Reader, text []byte, bytes int64) (_ []byte, ended bool, err error) {
	text = append(make([]byte, 0, bytes), text...)
	for len(text) < cap(text) && err == nil {
		var n int
		n, err = body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
	}
	if errors.Is(err, io.EOF) {
		return text, true, nil
	}
	return text, false, err
}

// maxDrain is how much of a body that is too large is read all the same.
const maxDrain = 8 << 20

// drain reads on for a while, so that a caller who is still sending gets to read why it was refused instead of
// finding the connection closed. The body's own read deadline bounds the time.
func drain(body io.Reader) {
	_, _ = io.CopyN(io.Discard, body, maxDrain) // the refusal stands whatever comes
}

func tooLarge() error { return fail("body_too_large", "A body may have at most %d bytes.", maxBody) }

// checkMediaType refuses bodies of another type, charset or encoding.
func checkMediaType(r *http.Request, want string) error {
	if len(r.Header.Values("Content-Type")) != 1 {
		return fail("unsupported_media_type", "The body must come with one Content-Type, %s.", want)
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != want {
		return fail("unsupported_media_type", "The body must be %s.", want)
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return fail("unsupported_media_type", "The body must be in UTF-8.")
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return fail("unsupported_media_type", "The body must not be compressed.")
	}
	return nil
}

// decoded is a JSON value with what its text already tells to be wrong.
type decoded struct {
	value any // objects are map[string]any, numbers json.Number
	found []domain.Field
}

// maxFindings bounds how many findings an answer lists.
const maxFindings = 100

// Bounds of what of a value is held against a schema: more than any schema here takes, so that a body with more is
// refused by what is kept of it, and refusing it costs little.
const (
	maxKeptItems  = 1001 // of an array
	maxKeptFields = 64   // of an object
)

// decodeJSON reads one JSON value: UTF-8, no repeated keys, no lone surrogates, nothing behind it,
// bounded in depth. Numbers that are not whole or don't fit 64 bits become findings, not errors: they
// are JSON, but never valid here.
func decodeJSON(text []byte) (decoded, error) {
	if !utf8.Valid(text) {
		return decoded{}, malformed("it is not UTF-8")
	}
	if err := checkDepth(text); err != nil {
		return decoded{}, err
	}
	if !json.Valid(text) {
		return decoded{}, malformed("it is not JSON")
	}
	reader := jsonReader{Decoder: json.NewDecoder(bytes.NewReader(text)), text: text}
	reader.UseNumber()
	value, err := reader.value("")
	if err != nil {
		return decoded{}, err
	}
	return decoded{value: value, found: reader.found}, nil
}

func malformed(why string) error {
	return fail("malformed_json", "The body can't be read: %s.", why)
}

// checkDepth looks at brackets outside of strings, before anything recursive does.
func checkDepth(text []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			if i+5 < len(text) && text[i+1] == 'u' && loneSurrogate(text[i:]) {
				return malformed("a string has half of a surrogate pair")
			}
			if i+11 < len(text) && text[i+1] == 'u' && surrogate(text[i+2:i+6]) == 'h' {
				i += 10 // the second half belongs to the first
			}
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return malformed("it is nested more than " + strconv.Itoa(maxDepth) + " deep")
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// loneSurrogate says whether text, which starts with \uXXXX, starts with half of a pair.
// encoding/json would replace it in silence.
func loneSurrogate(text []byte) bool {
	switch surrogate(text[2:6]) {
	case 'l':
		return true
	case 'h':
		return len(text) < 12 || text[6] != '\\' || text[7] != 'u' || surrogate(text[8:12]) != 'l'
	}
	return false
}

// surrogate says whether four hexadecimal digits are a high ('h') or a low ('l') surrogate.
func surrogate(hex []byte) byte {
	n, err := strconv.ParseUint(string(hex), 16, 16)
	switch {
	case err != nil || n < 0xd800 || n > 0xdfff:
		return 0
	case n < 0xdc00:
		return 'h'
	}
	return 'l'
}

type jsonReader struct {
	*json.Decoder
	text  []byte
	found []domain.Field
}

func (r *jsonReader) value(pointer string) (any, error) {
	token, err := r.Token()
	if err != nil {
		return nil, malformed("it is not JSON")
	}
	switch t := token.(type) {
	case json.Delim:
		if t == '{' {
			return r.object(pointer)
		}
		return r.array(pointer)
	case json.Number:
		r.number(pointer, string(t))
	}
	return token, nil
}

func (r *jsonReader) object(pointer string) (any, error) {
	object, keys := map[string]any{}, map[string]bool{}
	for r.More() {
		token, err := r.Token()
		key, ok := token.(string)
		if err != nil || !ok {
			return nil, malformed("it is not JSON")
		}
		if keys[key] {
			return nil, malformed("a key is repeated in an object")
		}
		keys[key] = true
		value, err := r.value(pointer + "/" + escapePointer(key))
		if err != nil {
			return nil, err
		}
		if len(object) < maxKeptFields {
			object[key] = value
		}
	}
	_, err := r.Token()
	return object, err
}

func (r *jsonReader) array(pointer string) (any, error) {
	array := []any{}
	for i := 0; r.More(); i++ {
		value, err := r.value(pointer + "/" + strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		if i < maxKeptItems {
			array = append(array, value)
		}
	}
	_, err := r.Token()
	return array, err
}

// number notes numbers that are written as anything but a whole number within 64 bits.
func (r *jsonReader) number(pointer, text string) {
	if len(r.found) >= maxFindings {
		return
	}
	if strings.ContainsAny(text, ".eE") {
		r.found = append(r.found, domain.Field{Pointer: pointer, Code: "not_an_integer", Detail: "Must be a whole number, written without a fraction or an exponent."})
		return
	}
	if _, err := strconv.ParseInt(text, 10, 64); errors.Is(err, strconv.ErrRange) {
		r.found = append(r.found, domain.Field{Pointer: pointer, Code: "out_of_range", Detail: "Must fit 64 bits."})
	}
}

func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
