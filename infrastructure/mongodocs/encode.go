package mongodocs

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Fields of a stored document. The body is a BSON document, so that the server can search it; the
// exact text stands beside it only where the one can't be had from the other.
const (
	fieldID      = "_id"
	fieldVersion = "version"
	fieldHidden  = "hidden"
	fieldSources = "sources" // an array, because stream names are no field names
	fieldToken   = "token"   // of the write that put it there
	fieldText    = "text"
	fieldBody    = "body"
	sourceStream = "s"
	sourceAt     = "r"
)

// maxDepth keeps bodies within the server's limit of 100 levels, ours included.
const maxDepth = 90

// maxStored is what the server takes for one document, in bytes of its stored form. The driver refuses larger ones
// too, but with an error like that of a store that is away.
const maxStored = 16 << 20

var (
	errTooDeep  = fmt.Errorf("the body is nested more than %d levels deep", maxDepth)
	errTooLarge = fmt.Errorf("its stored form is larger than %d bytes", maxStored)
)

// token marks the write that put a document there, so that a lost answer can be made up for.
type token [16]byte

// encodeDocument makes the stored form.
func encodeDocument(d readmodels.Document, by token) (bson.Raw, error) {
	dst := make([]byte, 4, 256+2*len(d.Body))
	dst = appendString(appendKey(dst, bson.TypeString, fieldID), d.ID)
	dst = appendInt64(appendKey(dst, bson.TypeInt64, fieldVersion), d.Version)
	dst = appendBool(appendKey(dst, bson.TypeBoolean, fieldHidden), d.Hidden)
	dst = appendSources(dst, d.Sources)
	dst = appendBinary(appendKey(dst, bson.TypeBinary, fieldToken), by[:])
	if len(d.Body) > 0 {
		body, err := encodeBody(d.Body)
		if err != nil {
			return nil, fmt.Errorf("document %q: %w", d.ID, err)
		}
		text, err := appendObject(make([]byte, 0, len(d.Body)+16), body)
		if err != nil {
			return nil, fmt.Errorf("document %q: %w", d.ID, err)
		}
		if !bytes.Equal(text, d.Body) {
			dst = appendBinary(appendKey(dst, bson.TypeBinary, fieldText), d.Body)
		}
		dst = append(appendKey(dst, bson.TypeEmbeddedDocument, fieldBody), body...)
	}
	if dst = endDocument(dst, 0); len(dst) > maxStored {
		return nil, fmt.Errorf("document %q: %w", d.ID, errTooLarge)
	}
	return dst, nil
}

func appendSources(dst []byte, sources map[string]int64) []byte {
	streams := make([]string, 0, len(sources))
	for stream := range sources {
		streams = append(streams, stream)
	}
	slices.Sort(streams)
	dst = appendKey(dst, bson.TypeArray, fieldSources)
	list := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	for i, stream := range streams {
		dst = appendKey(dst, bson.TypeEmbeddedDocument, strconv.Itoa(i))
		start := len(dst)
		dst = append(dst, 0, 0, 0, 0)
		dst = appendString(appendKey(dst, bson.TypeString, sourceStream), stream)
		dst = appendInt64(appendKey(dst, bson.TypeInt64, sourceAt), sources[stream])
		dst = endDocument(dst, start)
	}
	return endDocument(dst, list)
}

func appendKey(dst []byte, kind bson.Type, key string) []byte {
	return append(append(append(dst, byte(kind)), key...), 0)
}

func appendString(dst []byte, text string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(text)+1))
	return append(append(dst, text...), 0)
}

func appendInt64(dst []byte, n int64) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(n))
}

func appendBool(dst []byte, b bool) []byte {
	if b {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func appendBinary(dst, content []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(content)))
	return append(append(dst, 0), content...)
}

// endDocument closes the document that began at start and fills in its length.
func endDocument(dst []byte, start int) []byte {
	dst = append(dst, 0)
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start))
	return dst
}

// encodeBody turns a JSON object, known to be valid, into a BSON document with its keys in their order.
// Integers become int64; other numbers, which bodies shouldn't have, doubles.
func encodeBody(text []byte) ([]byte, error) {
	p := &parser{text: text}
	p.space()
	dst, err := p.object(make([]byte, 0, len(text)+len(text)/2), 1)
	if err != nil {
		return nil, err
	}
	return dst, nil
}

// parser walks over valid JSON; it looks at no more than it needs to tell values apart.
type parser struct {
	text []byte
	at   int
}

var errSyntax = errors.New("the body is no valid JSON")

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// next skips space, takes one byte and skips the space behind it.
func (p *parser) next() byte {
	p.space()
	if p.at >= len(p.text) {
		return 0
	}
	b := p.text[p.at]
	p.at++
	p.space()
	return b
}

// peek is the byte that next would take.
func (p *parser) peek() byte {
	p.space()
	if p.at >= len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *parser) object(dst []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if p.next() != '{' {
		return nil, errSyntax
	}
	if p.peek() == '}' {
		p.next()
		return endDocument(dst, start), nil
	}
	for {
		key, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if p.next() != ':' {
			return nil, errSyntax
		}
		if dst, err = p.value(dst, escapeKey(key), depth, false); err != nil {
			return nil, err
		}
		switch p.next() {
		case ',':
		case '}':
			return endDocument(dst, start), nil
		default:
			return nil, errSyntax
		}
	}
}

func (p *parser) array(dst []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errTooDeep
	}
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	p.next()
	if p.peek() == ']' {
		p.next()
		return endDocument(dst, start), nil
	}
	var err error
	for i := 0; ; i++ {
		if dst, err = p.value(dst, strconv.Itoa(i), depth, true); err != nil {
			return nil, err
		}
		switch p.next() {
		case ',':
		case ']':
			return endDocument(dst, start), nil
		default:
			return nil, errSyntax
		}
	}
}

func (p *parser) value(dst []byte, key string, depth int, inArray bool) ([]byte, error) {
	switch p.peek() {
	case '{':
		return p.object(appendKey(dst, bson.TypeEmbeddedDocument, key), depth+1)
	case '[':
		kind := bson.TypeArray
		if inArray {
			kind = bson.TypeEmbeddedDocument // not every server has arrays in arrays; the text tells them apart
		}
		return p.array(appendKey(dst, kind, key), depth+1)
	case '"':
		text, err := p.quoted()
		return appendString(appendKey(dst, bson.TypeString, key), text), err
	case 't':
		p.at += len("true")
		return appendBool(appendKey(dst, bson.TypeBoolean, key), true), nil
	case 'f':
		p.at += len("false")
		return appendBool(appendKey(dst, bson.TypeBoolean, key), false), nil
	case 'n':
		p.at += len("null")
		return appendKey(dst, bson.TypeNull, key), nil
	}
	return p.number(dst, key)
}

func (p *parser) number(dst []byte, key string) ([]byte, error) {
	start := p.at
	for p.at < len(p.text) && strings.IndexByte("+-.0123456789eE", p.text[p.at]) >= 0 {
		p.at++
	}
	text := string(p.text[start:p.at])
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return appendInt64(appendKey(dst, bson.TypeInt64, key), n), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return nil, fmt.Errorf("%w: number %q", errSyntax, text)
	}
	return binary.LittleEndian.AppendUint64(appendKey(dst, bson.TypeDouble, key), math.Float64bits(f)), nil
}

// quoted takes a string.
func (p *parser) quoted() (string, error) {
	start := p.at
	if p.at >= len(p.text) || p.text[p.at] != '"' {
		return "", errSyntax
	}
	plain := true
	for p.at++; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '\\':
			plain = false
			p.at++
		case '"':
			p.at++
			if plain {
				return string(p.text[start+1 : p.at-1]), nil
			}
			var text string
			if err := json.Unmarshal(p.text[start:p.at], &text); err != nil {
				return "", fmt.Errorf("%w: %w", errSyntax, err)
			}
			return text, nil
		}
	}
	return "", errSyntax
}

// escapeKey makes any key one that every server takes and leaves in its place: no dot, no NUL, no "$" at the
// beginning, not empty, not "_id". Keys that can be searched by, which are plain words, stay as they are.
func escapeKey(key string) string {
	switch key {
	case "":
		return "%"
	case "_id":
		return "%5Fid"
	}
	if key[0] != '$' && !strings.ContainsAny(key, "%.\x00") {
		return key
	}
	escaped := strings.NewReplacer("%", "%25", ".", "%2E", "\x00", "%00").Replace(key)
	if escaped[0] == '$' {
		escaped = "%24" + escaped[1:]
	}
	return escaped
}

// unescapeKey undoes escapeKey.
func unescapeKey(key string) string {
	if strings.IndexByte(key, '%') < 0 {
		return key
	}
	if key == "%" {
		return ""
	}
	return strings.NewReplacer("%25", "%", "%2E", ".", "%00", "\x00", "%24", "$", "%5F", "_").Replace(key)
}
