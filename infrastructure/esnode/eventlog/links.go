package eventlog

import (
	"bytes"
	"context"
	"errors"
	"strconv"
)

// ParseLink reads the data of a link: "<revision>@<stream>". The stream's name may contain "@" too.
func ParseLink(data []byte) (revision int64, stream string, ok bool) {
	number, name, found := bytes.Cut(data, []byte("@"))
	if !found || len(number) == 0 || number[0] < '0' || number[0] > '9' {
		return 0, "", false
	}
	revision, err := strconv.ParseInt(string(number), 10, 64)
	return revision, string(name), err == nil
}

// Link writes the data of a link.
func Link(revision int64, stream string) []byte {
	return append(append(strconv.AppendInt(make([]byte, 0, len(stream)+8), revision, 10), '@'), stream...)
}

// resolve follows a link, one level deep. What doesn't read as a link is an ordinary event; a target that
// can't be read any more leaves the link alone.
func (v *view) resolve(e *Event) (Resolved, error) {
	if e.Type != TypeLink {
		return Resolved{Event: e}, nil
	}
	revision, stream, ok := ParseLink(e.Data)
	if !ok {
		return Resolved{Event: e}, nil
	}
	if checkStream(stream) != nil {
		return Resolved{Link: e}, nil
	}
	target, err := v.visible(stream, revision)
	var deleted *StreamDeleted
	if errors.Is(err, ErrNotFound) || errors.As(err, &deleted) {
		target, err = nil, nil
	}
	return Resolved{Event: target, Link: e}, err
}

// Resolve follows a link that is in hand, like a read with ResolveLinks would have.
func (l *Log) Resolve(ctx context.Context, e *Event) (Resolved, error) {
	v := l.view(ctx)
	defer v.close()
	resolved, err := v.resolve(e)
	return resolved, v.translate(err)
}
