package esnode

import (
	"errors"
	"math"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

const (
	// readPage is how many events a read takes from the log at once.
	readPage = 256
	// readWindow is how many events a filtered read looks at per step.
	readWindow = 4096
)

// reading is a checked read request.
type reading struct {
	stream    string // "" is the whole log
	from      int64  // revision or position; -1 is the end
	fromStart bool
	fromEnd   bool
	backwards bool
	resolve   bool
	count     uint64
	subscribe bool
	filter    *filter // of the whole log only
	filtered  bool
	window    int
	interval  int // events between checkpoints
	text      bool
	compat    uint32
}

// Read implements streams.StreamsServer: a read by count, or a subscription.
func (n *Node) Read(req *streams.ReadReq, call streams.Streams_ReadServer) error {
	r, err := parseRead(req.GetOptions())
	switch {
	case err != nil:
		return err
	case r.subscribe:
		return n.subscribe(r, call)
	case r.count == 0:
		return nil
	case r.stream == "":
		return n.readAll(r, call)
	default:
		return n.readStream(r, call)
	}
}

func parseRead(o *streams.ReadReq_Options) (*reading, error) {
	r := &reading{
		backwards: o.GetReadDirection() == streams.ReadReq_Options_Backwards, resolve: o.GetResolveLinks(),
		compat: o.GetControlOption().GetCompatibility(), window: defaultWindow,
	}
	if o.GetUuidOption() == nil {
		return nil, invalid("the UUID option is missing")
	}
	_, r.text = o.GetUuidOption().GetContent().(*streams.ReadReq_Options_UUIDOption_String_)
	switch d := o.GetReadDirection(); d {
	case streams.ReadReq_Options_Forwards, streams.ReadReq_Options_Backwards:
	default:
		return nil, invalid("unknown read direction %d", d)
	}
	if err := r.readCount(o); err != nil {
		return nil, err
	}
	if err := r.readFrom(o); err != nil {
		return nil, err
	}
	return r, r.readFilter(o)
}

func (r *reading) readCount(o *streams.ReadReq_Options) error {
	switch c := o.GetCountOption().(type) {
	case *streams.ReadReq_Options_Count:
		r.count = c.Count
	case *streams.ReadReq_Options_Subscription:
		r.subscribe = true
		if r.backwards {
			return invalid("a subscription reads forwards")
		}
	default:
		return invalid("neither a count nor a subscription is asked for")
	}
	return nil
}

func (r *reading) readFrom(o *streams.ReadReq_Options) (err error) {
	switch of := o.GetStreamOption().(type) {
	case *streams.ReadReq_Options_Stream:
		if r.stream, err = readStream(of.Stream.GetStreamIdentifier()); err != nil {
			return err
		}
		switch at := of.Stream.GetRevisionOption().(type) {
		case *streams.ReadReq_Options_StreamOptions_Revision:
			r.from, err = number(at.Revision)
		case *streams.ReadReq_Options_StreamOptions_Start:
			r.fromStart = true
		case *streams.ReadReq_Options_StreamOptions_End:
			r.fromEnd = true
		default:
			err = invalid("the revision to read from is missing")
		}
	case *streams.ReadReq_Options_All:
		switch at := of.All.GetAllOption().(type) {
		case *streams.ReadReq_Options_AllOptions_Position:
			r.from, err = position(at.Position.GetCommitPosition(), at.Position.GetPreparePosition())
		case *streams.ReadReq_Options_AllOptions_Start:
			r.fromStart = true
		case *streams.ReadReq_Options_AllOptions_End:
			r.fromEnd = true
		default:
			err = invalid("the position to read from is missing")
		}
	default:
		err = invalid("neither a stream nor $all is to be read")
	}
	r.fromEnd = r.fromEnd || r.from < 0
	return err
}

func (r *reading) readFilter(o *streams.ReadReq_Options) error {
	switch f := o.GetFilterOption().(type) {
	case *streams.ReadReq_Options_NoFilter:
		return nil
	case *streams.ReadReq_Options_Filter:
		if r.stream != "" {
			return invalid("only $all takes a filter")
		}
		spec, window, err := readFilter(f.Filter)
		if err != nil {
			return err
		}
		multiplier := int(f.Filter.GetCheckpointIntervalMultiplier())
		if r.subscribe && multiplier == 0 {
			return invalid("the checkpoint interval multiplier must be at least 1")
		}
		r.filtered, r.window = true, window
		r.interval = int(min(uint64(multiplier)*uint64(window), math.MaxInt32))
		r.filter, err = spec.compile()
		return err
	default:
		return invalid("the filter option is missing")
	}
}

func (n *Node) readAll(r *reading, call streams.Streams_ReadServer) error {
	q := eventlog.AllQuery{From: max(r.from, 0), Backwards: r.backwards, Window: readWindow, ResolveLinks: r.resolve, Filter: r.filter}
	switch {
	case r.fromEnd && !r.backwards, r.fromStart && r.backwards:
		return nil
	case r.fromEnd:
		q.From = -1
	case r.backwards && r.from == 0:
		return nil // nothing is before the beginning; the log takes 0 for no position
	}
	w := eventWriter{text: r.text}
	for left := r.count; left > 0; {
		q.Limit = int(min(left, readPage))
		page, err := n.store.ReadAll(call.Context(), q)
		if err == nil {
			err = r.filter.err()
		}
		if err != nil {
			return err
		}
		if err := sendAll(call, page.Events, &w); err != nil {
			return err
		}
		left -= uint64(len(page.Events))
		if page.End {
			return nil
		}
		q.From = page.Next
	}
	return nil
}

func (n *Node) readStream(r *reading, call streams.Streams_ReadServer) error {
	from := max(r.from, 0)
	if r.fromEnd {
		from = -1
	}
	if r.fromEnd && !r.backwards {
		return n.readNothing(r, call)
	}
	q := eventlog.StreamQuery{Stream: r.stream, From: from, Backwards: r.backwards, ResolveLinks: r.resolve}
	first := true
	var last int64
	w := eventWriter{text: r.text}
	for left := r.count; left > 0; {
		q.Limit = int(min(left, readPage))
		page, err := n.store.ReadStream(call.Context(), q)
		if errors.Is(err, eventlog.ErrNotFound) {
			if !first {
				return nil // deleted in between
			}
			return sendNotFound(call, r.stream)
		}
		if err != nil {
			return err
		}
		if first && len(page.Events) == 0 {
			if err := r.tellFirst(call, page, from); err != nil {
				return err
			}
		}
		if err := sendAll(call, page.Events, &w); err != nil {
			return err
		}
		first, last = false, page.Last
		left -= uint64(len(page.Events))
		if page.End {
			break
		}
		q.From = page.Next
	}
	return r.tellLast(call, last)
}

// readNothing answers a forward read from the end: no events, but the stream has to exist.
func (n *Node) readNothing(r *reading, call streams.Streams_ReadServer) error {
	last, err := n.lastOf(call.Context(), r.stream)
	if err != nil {
		return err
	}
	if last < 0 {
		return sendNotFound(call, r.stream)
	}
	return r.tellLast(call, last)
}

// tellFirst and tellLast speak only to clients that say they understand: the Go client panics on
// messages it does not know.
func (r *reading) tellFirst(call streams.Streams_ReadServer, page eventlog.StreamPage, from int64) error {
	if r.compat < 1 || r.backwards {
		return nil
	}
	first := page.First
	if from > page.Last {
		first = page.Last + 1
	}
	if first == from {
		return nil
	}
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_FirstStreamPosition{FirstStreamPosition: uint64(first)}})
}

func (r *reading) tellLast(call streams.Streams_ReadServer, last int64) error {
	if r.compat < 1 || last < 0 {
		return nil
	}
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_LastStreamPosition{LastStreamPosition: uint64(last)}})
}

func sendNotFound(call streams.Streams_ReadServer, stream string) error {
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: streamID(stream)}}})
}

func sendAll(call streams.Streams_ReadServer, events []eventlog.Resolved, w *eventWriter) error {
	for _, e := range events {
		if err := call.Send(w.readResp(e)); err != nil {
			return err
		}
	}
	return nil
}
