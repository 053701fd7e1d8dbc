package mongodocs

import (
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// decodeDocument reads the stored form. Fields that it doesn't know are left alone, so that a
// newer release may add some.
func decodeDocument(raw bson.Raw) (readmodels.Document, error) {
	var d readmodels.Document
	elements, err := raw.Elements()
	if err != nil {
		return d, fmt.Errorf("read document: %w", err)
	}
	var body bson.Raw
	for _, element := range elements {
		value := element.Value()
		ok := true
		switch element.Key() {
		case fieldID:
			d.ID, ok = value.StringValueOK()
		case fieldVersion:
			d.Version, ok = value.AsInt64OK()
		case fieldHidden:
			d.Hidden, ok = value.BooleanOK()
		case fieldSources:
			d.Sources, err = decodeSources(value)
		case fieldText:
			_, d.Body, ok = value.BinaryOK()
			d.Body = append([]byte(nil), d.Body...) // the cursor uses its memory again
		case fieldBody:
			body, ok = value.DocumentOK()
		}
		if err != nil {
			return d, fmt.Errorf("document %q: field %s: %w", d.ID, element.Key(), err)
		}
		if !ok {
			return d, fmt.Errorf("document %q: field %s is a %s", d.ID, element.Key(), value.Type)
		}
	}
	if d.Body == nil && body != nil {
		if d.Body, err = appendObject(make([]byte, 0, len(body)), body); err != nil {
			return d, fmt.Errorf("document %q: %w", d.ID, err)
		}
	}
	return d, nil
}

func decodeSources(value bson.RawValue) (map[string]int64, error) {
	list, ok := value.ArrayOK()
	if !ok {
		return nil, fmt.Errorf("it is a %s", value.Type)
	}
	entries, err := list.Values()
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	sources := make(map[string]int64, len(entries))
	for _, entry := range entries {
		source, ok := entry.DocumentOK()
		if !ok {
			return nil, fmt.Errorf("an entry is a %s", entry.Type)
		}
		stream, named := source.Lookup(sourceStream).StringValueOK()
		revision, placed := source.Lookup(sourceAt).AsInt64OK()
		if !named || !placed {
			return nil, fmt.Errorf("an entry is %s", source)
		}
		sources[stream] = revision
	}
	return sources, nil
}

// appendObject writes a BSON document as JSON the way encoding/json writes it.
func appendObject(dst []byte, document bson.Raw) ([]byte, error) {
	elements, err := document.Elements()
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	dst = append(dst, '{')
	for i, element := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, unescapeKey(element.Key())), ':')
		if dst, err = appendValue(dst, element.Value()); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendValue(dst []byte, value bson.RawValue) ([]byte, error) {
	switch value.Type {
	case bson.TypeString:
		return appendQuoted(dst, value.StringValue()), nil
	case bson.TypeInt64:
		return strconv.AppendInt(dst, value.Int64(), 10), nil
	case bson.TypeInt32:
		return strconv.AppendInt(dst, int64(value.Int32()), 10), nil
	case bson.TypeDouble:
		f := value.Double()
		if math.IsInf(f, 0) || math.IsNaN(f) {
			return append(dst, "null"...), nil // the exact text stands beside it
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
	case bson.TypeBoolean:
		return strconv.AppendBool(dst, value.Boolean()), nil
	case bson.TypeNull:
		return append(dst, "null"...), nil
	case bson.TypeEmbeddedDocument:
		return appendObject(dst, value.Document())
	case bson.TypeArray:
		values, err := value.Array().Values()
		if err != nil {
			return nil, fmt.Errorf("read body: %w", err)
		}
		dst = append(dst, '[')
		for i, item := range values {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendValue(dst, item); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return nil, fmt.Errorf("read body: a value is a %s", value.Type)
}

const hexadecimal = "0123456789abcdef"

// appendQuoted quotes as encoding/json does by default, which also escapes what HTML gives a meaning.
func appendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		b := text[i]
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == '\u2028' || r == '\u2029' {
				dst = append(append(dst, text[start:i]...), `\u202`...)
				dst = append(dst, hexadecimal[r&0xF])
				start = i + size
			}
			i += size
			continue
		}
		if b >= ' ' && b != '"' && b != '\\' && b != '<' && b != '>' && b != '&' {
			i++
			continue
		}
		dst = append(dst, text[start:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexadecimal[b>>4], hexadecimal[b&0xF])
		}
		i++
		start = i
	}
	return append(append(dst, text[start:]...), '"')
}
