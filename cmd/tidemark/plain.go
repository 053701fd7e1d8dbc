package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainOut writes text for people. Names, reasons and data come from whoever writes events: what a terminal
// would obey instead of showing is spelt out.
type plainOut struct{ io.Writer }

// Write implements io.Writer. A character must not be split between two writes.
func (w plainOut) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.Writer, spelt(string(text), "\n\t")); err != nil {
		return 0, err
	}
	return len(text), nil
}

// bytes is where output goes that is no text for people.
func (p *program) bytes() io.Writer {
	if plain, ok := p.out.(plainOut); ok {
		return plain.Writer
	}
	return p.out
}

// spelt writes control characters, marks that turn the direction of writing, and bytes that are no characters
// as escapes, all but those to keep.
func spelt(text, keep string) string {
	odd := func(r rune) bool {
		return (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError) && !strings.ContainsRune(keep, r)
	}
	if !strings.ContainsFunc(text, odd) {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case !odd(r), r == utf8.RuneError && size > 1:
			b.WriteString(text[:size])
		case size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[size:]
	}
	return b.String()
}
