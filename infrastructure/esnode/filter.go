package esnode

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/dlclark/regexp2"
)

const (
	// matchWithin bounds one evaluation of a client's expression, which may backtrack without end.
	matchWithin = 100 * time.Millisecond
	maxPattern  = 8 << 10
	maxPrefixes = 1 << 10
)

// filter selects events of the log by stream or type. The zero filter selects all that anybody sees.
// One that ran out of time selects nothing any more and says so in failed.
type filter struct {
	byType   bool
	prefixes []string
	noSystem bool // everything that does not start with "$"
	pattern  *regexp2.Regexp
	failed   atomic.Bool
}

// filterSpec is a filter as clients send and groups store it.
type filterSpec struct {
	ByType   bool     `json:"byType,omitempty"`
	Regex    string   `json:"regex,omitempty"`
	Prefixes []string `json:"prefixes,omitempty"`
}

// compile prepares a filter; nil selects everything.
func (s *filterSpec) compile() (*filter, error) {
	if s == nil {
		return nil, nil
	}
	if len(s.Regex) > maxPattern || len(s.Prefixes) > maxPrefixes {
		return nil, invalid("the filter is too long")
	}
	f := &filter{byType: s.ByType, prefixes: s.Prefixes}
	if s.Regex == "" {
		return f, nil
	}
	f.prefixes = nil
	switch prefix, ok := literalPrefix(s.Regex); {
	case s.Regex == `^[^\$].*` || s.Regex == `^[^$].*` || s.Regex == `^[^\$]` || s.Regex == `^[^$]`:
		f.noSystem = true
	case ok:
		f.prefixes = []string{prefix}
	default:
		pattern, err := regexp2.Compile(s.Regex, regexp2.None)
		if err != nil {
			return nil, invalid("unsupported regular expression: %v", err)
		}
		pattern.MatchTimeout = matchWithin
		f.pattern = pattern
	}
	return f, nil
}

// literalPrefix recognises expressions that mean no more than "begins with": ^ and plain characters.
func literalPrefix(expr string) (string, bool) {
	rest, anchored := strings.CutPrefix(expr, "^")
	if !anchored {
		return "", false
	}
	rest = strings.TrimSuffix(rest, ".*")
	var b strings.Builder
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '\\' && i+1 < len(rest) && strings.IndexByte(`$.-|()[]{}*+?^\`, rest[i+1]) >= 0 {
			i++
			c = rest[i]
		} else if strings.IndexByte(`\$.|()[]{}*+?^#`, c) >= 0 {
			return "", false
		}
		b.WriteByte(c)
	}
	return b.String(), b.Len() > 0
}

// Match implements eventlog.Filter: the original event decides, never a link's target.
func (f *filter) Match(stream, eventType string) bool {
	if f == nil {
		return true
	}
	text := stream
	if f.byType {
		text = eventType
	}
	switch {
	case f.noSystem:
		return text != "" && text[0] != '$'
	case f.pattern != nil:
		if f.failed.Load() {
			return false
		}
		ok, err := f.pattern.MatchString(text)
		if err != nil {
			f.failed.Store(true)
		}
		return ok
	}
	for _, p := range f.prefixes {
		if strings.HasPrefix(text, p) {
			return true
		}
	}
	return false
}

// StreamPrefixes implements eventlog.Filter.
func (f *filter) StreamPrefixes() []string {
	if f == nil || f.byType || f.noSystem || f.pattern != nil {
		return nil
	}
	return f.prefixes
}

// err reports an expression that ran out of time; what it selected until then is not all.
func (f *filter) err() error {
	if f != nil && f.failed.Load() {
		return invalid("the filter's regular expression takes too long")
	}
	return nil
}

// readFilter takes a read's filter off the wire, with its window.
func readFilter(o *streams.ReadReq_Options_FilterOptions) (*filterSpec, int, error) {
	spec := &filterSpec{}
	switch by := o.GetFilter().(type) {
	case *streams.ReadReq_Options_FilterOptions_StreamIdentifier:
		spec.Regex, spec.Prefixes = by.StreamIdentifier.GetRegex(), by.StreamIdentifier.GetPrefix()
	case *streams.ReadReq_Options_FilterOptions_EventType:
		spec.ByType = true
		spec.Regex, spec.Prefixes = by.EventType.GetRegex(), by.EventType.GetPrefix()
	default:
		return nil, 0, invalid("the filter names neither stream nor event type")
	}
	switch window := o.GetWindow().(type) {
	case *streams.ReadReq_Options_FilterOptions_Max:
		return spec, int(max(window.Max, 1)), nil
	case *streams.ReadReq_Options_FilterOptions_Count:
		return spec, defaultWindow, nil
	default:
		return nil, 0, invalid("the filter names no window")
	}
}
