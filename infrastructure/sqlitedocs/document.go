package sqlitedocs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/ncruces/go-sqlite3"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// scan reads a document from a row of the columns in their order. A text without a place in memory
// is nil: no body.
func scan(row *sqlite3.Stmt) (readmodels.Document, error) {
	document := readmodels.Document{
		ID:      row.ColumnText(0),
		Version: row.ColumnInt64(1),
		Hidden:  row.ColumnBool(2),
	}
	sources, err := parseSources(row.ColumnRawText(3))
	if err != nil {
		return document, fmt.Errorf("document %q: sources: %w", document.ID, err)
	}
	document.Sources = sources
	if body := row.ColumnRawText(4); len(body) > 0 {
		document.Body = bytes.Clone(body)
	}
	return document, nil
}

// sourcesText is a JSON object with its keys in order, nil without sources.
func sourcesText(sources map[string]int64) ([]byte, error) {
	if len(sources) == 0 {
		return nil, nil
	}
	streams := make([]string, 0, len(sources))
	for stream := range sources {
		streams = append(streams, stream)
	}
	slices.Sort(streams)
	text := []byte{'{'}
	for i, stream := range streams {
		if i > 0 {
			text = append(text, ',')
		}
		quoted, err := json.Marshal(stream)
		if err != nil {
			return nil, fmt.Errorf("encode stream name: %w", err)
		}
		text = append(append(text, quoted...), ':')
		text = strconv.AppendInt(text, sources[stream], 10)
	}
	return append(text, '}'), nil
}

// parseSources reads what sourcesText wrote; names without escapes, which is all that there are
// in practice, without the general decoder.
func parseSources(text []byte) (map[string]int64, error) {
	if len(text) == 0 {
		return nil, nil
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		var sources map[string]int64
		err := json.Unmarshal(text, &sources)
		return sources, err
	}
	if text[0] != '{' || text[len(text)-1] != '}' || len(text) < len(`{"":0}`) {
		return nil, fmt.Errorf("unexpected text %q", text)
	}
	sources := make(map[string]int64, 1)
	rest := text[1:]
	for len(rest) > 0 {
		end := bytes.Index(rest, []byte(`":`))
		stop := bytes.IndexAny(rest[max(end, 0):], ",}") + end
		if end < 1 || stop <= end {
			return nil, fmt.Errorf("unexpected text %q", text)
		}
		revision, err := strconv.ParseInt(string(rest[end+2:stop]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("revision: %w", err)
		}
		sources[string(rest[1:end])] = revision
		rest = rest[stop+1:]
	}
	return sources, nil
}
