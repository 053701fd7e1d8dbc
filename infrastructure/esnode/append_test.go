package esnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/uuid"
	"google.golang.org/grpc/codes"
)

var expectations = map[string]esdb.ExpectedRevision{
	"any": esdb.Any{}, "no_stream": esdb.NoStream{}, "stream_exists": esdb.StreamExists{},
	"last": esdb.Revision(2), "older": esdb.Revision(1), "newer": esdb.Revision(3),
}

// prepare brings a stream into one of the states of section 2.2. Where it has events, they are three.
func (r *rig) prepare(state, stream string) {
	r.Helper()
	if state == "never written" {
		return
	}
	if state == "only metadata" {
		_, err := r.client.SetStreamMetadata(r.ctx, stream, esdb.AppendToStreamOptions{}, esdb.StreamMetadata{})
		r.must(err)
		return
	}
	r.append(stream, events(3)...)
	switch state {
	case "soft-deleted":
		_, err := r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{})
		r.must(err)
	case "tombstoned":
		_, err := r.client.TombstoneStream(r.ctx, stream, esdb.TombstoneStreamOptions{})
		r.must(err)
	}
}

// Section 2.2, the table of expected revisions; pitfalls 5 and 6.
func TestExpectedRevisionDecides(t *testing.T) {
	r := start(t)
	for state, row := range map[string]map[string]string{
		"tombstoned":    {"any": "deleted", "no_stream": "deleted", "stream_exists": "deleted", "last": "deleted", "older": "deleted", "newer": "deleted"},
		"never written": {"any": "at 0", "no_stream": "at 0", "stream_exists": "wrong", "last": "wrong", "older": "wrong", "newer": "wrong"},
		"only metadata": {"any": "at 0", "no_stream": "at 0", "stream_exists": "at 0", "last": "wrong", "older": "wrong", "newer": "wrong"},
		"written":       {"any": "at 3", "no_stream": "wrong", "stream_exists": "at 3", "last": "at 3", "older": "wrong", "newer": "wrong"},
		"soft-deleted":  {"any": "at 3", "no_stream": "at 3", "stream_exists": "deleted", "last": "at 3", "older": "wrong", "newer": "wrong"},
	} {
		for expectation, want := range row {
			t.Run(state+"/"+expectation, func(t *testing.T) {
				stream := "case-" + uuid.NewString()
				r := &rig{T: t, log: r.log, node: r.node, client: r.client, conn: r.conn, ctx: r.ctx}
				r.prepare(state, stream)
				done, err := r.client.AppendToStream(r.ctx, stream, esdb.AppendToStreamOptions{ExpectedRevision: expectations[expectation]}, event("x"))
				var got string
				switch {
				case err == nil:
					got = fmt.Sprintf("at %d", done.NextExpectedVersion)
				case codeOf(err) == esdb.ErrorCodeWrongExpectedVersion:
					got = "wrong"
				case codeOf(err) == esdb.ErrorCodeStreamDeleted:
					got = "deleted"
				default:
					got = err.Error()
				}
				if got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// Section 2.5: both generations of fields.
func TestWrongVersionIsAnAnswerWithAllFields(t *testing.T) {
	r := start(t)
	r.append("written", events(3)...)
	none, two := "none", "2"
	for _, test := range []struct {
		stream   string
		expected func(*streams.AppendReq_Options)
		current  string
		want     string
	}{
		{"written", func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_NoStream{NoStream: &shared.Empty{}}
		}, two, "no stream"},
		{"written", func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 7}
		}, two, "7"},
		{"written", func(o *streams.AppendReq_Options) { // 2^64-1 is no stream
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: noNumber}
		}, two, "no stream"},
		{"missing", func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_StreamExists{StreamExists: &shared.Empty{}}
		}, none, "exists"},
		{"missing", func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 0}
		}, none, "0"},
	} {
		resp, _, err := r.rawAppend(appendOptions(test.stream, test.expected), proposedMessage())
		r.must(err)
		w := resp.GetWrongExpectedVersion()
		if w == nil {
			t.Fatalf("%s: answered %v", test.want, resp)
		}
		current, old := none, none
		if _, ok := w.GetCurrentRevisionOption().(*streams.AppendResp_WrongExpectedVersion_CurrentRevision); ok {
			current = fmt.Sprint(w.GetCurrentRevision())
		}
		if _, ok := w.GetCurrentRevisionOption_20_6_0().(*streams.AppendResp_WrongExpectedVersion_CurrentRevision_20_6_0); ok {
			old = fmt.Sprint(w.GetCurrentRevision_20_6_0())
		}
		if current != test.current || old != test.current {
			t.Errorf("current %s and %s, want %s", current, old, test.current)
		}
		if got := wantedBy(w); got != test.want {
			t.Errorf("expected is told as %q, want %q", got, test.want)
		}
	}
}

func wantedBy(w *streams.AppendResp_WrongExpectedVersion) string {
	switch w.GetExpectedRevisionOption().(type) {
	case *streams.AppendResp_WrongExpectedVersion_ExpectedStreamExists:
		if w.GetStreamExists_20_6_0() != nil {
			return "exists"
		}
	case *streams.AppendResp_WrongExpectedVersion_ExpectedNoStream:
		if w.GetExpectedRevision_20_6_0() == noNumber {
			return "no stream"
		}
	case *streams.AppendResp_WrongExpectedVersion_ExpectedRevision:
		if w.GetExpectedRevision_20_6_0() == w.GetExpectedRevision() {
			return fmt.Sprint(w.GetExpectedRevision())
		}
	}
	return "nothing"
}

// Section 2.3; pitfall 7.
func TestRepeatedAppendsAreRecognisedWhereTheyAre(t *testing.T) {
	r := start(t)
	all := events(4)
	try := func(expected esdb.ExpectedRevision, e ...esdb.EventData) string {
		done, err := r.client.AppendToStream(r.ctx, "s", esdb.AppendToStreamOptions{ExpectedRevision: expected}, e...)
		if codeOf(err) == esdb.ErrorCodeWrongExpectedVersion {
			return "wrong"
		}
		r.must(err)
		return fmt.Sprintf("%d@%d", done.NextExpectedVersion, done.CommitPosition)
	}
	first := try(esdb.NoStream{}, all[:3]...)
	if again := try(esdb.NoStream{}, all[:3]...); again != first {
		t.Errorf("no stream, all repeated: %s, want the old answer %s", again, first)
	}
	if got := try(esdb.Any{}, all[:3]...); got != first {
		t.Errorf("any, all repeated: %s, want %s", got, first)
	}
	if got := try(esdb.Revision(0), all[1], all[2]); got != first {
		t.Errorf("older revision, repeated at its place: %s, want %s", got, first)
	}
	for name, got := range map[string]string{
		"a part that is new":       try(esdb.NoStream{}, append(slices.Clone(all[:3]), all[3])...),
		"another order":            try(esdb.NoStream{}, all[1], all[0]),
		"any, the second is new":   try(esdb.Any{}, all[0], event("new")),
		"another place":            try(esdb.Revision(1), all[0]),
		"beyond the end":           try(esdb.Revision(9), all[0]),
		"new at an older revision": try(esdb.Revision(0), event("new")),
	} {
		if got != "wrong" {
			t.Errorf("%s: %s, want a wrong version", name, got)
		}
	}
	if got := try(esdb.Revision(2), all[0]); strings.HasPrefix(got, "2@") {
		t.Errorf("at the last revision a repeat is written again, got %s", got)
	}
}

// Section 2.4.
func TestEmptyAppendChecksAndCreatesNothing(t *testing.T) {
	r := start(t)
	resp, _, err := r.rawAppend(appendOptions("nothing"))
	r.must(err)
	if resp.GetSuccess().GetNoStream() == nil {
		t.Errorf("answered %v, want no stream", resp)
	}
	if _, err := r.read("nothing", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Errorf("the stream was created: %v", err)
	}
	r.append("some", events(2)...)
	done, err := r.client.AppendToStream(r.ctx, "some", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Revision(1)})
	if r.must(err); done.NextExpectedVersion != 1 {
		t.Errorf("answered %+v, want revision 1", done)
	}
	if _, err := r.client.AppendToStream(r.ctx, "some", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}); codeOf(err) != esdb.ErrorCodeWrongExpectedVersion {
		t.Errorf("no stream on a stream: %v", err)
	}
}

// Section 2.1.
func TestMalformedAppendsAreRefusedAfterTheirEnd(t *testing.T) {
	r := start(t)
	many := func(m *streams.AppendReq_ProposedMessage) []*streams.AppendReq_ProposedMessage {
		all := []*streams.AppendReq_ProposedMessage{m}
		for range 2000 {
			all = append(all, proposedMessage())
		}
		return all
	}
	for _, test := range []struct {
		name      string
		options   *streams.AppendReq_Options
		messages  []*streams.AppendReq_ProposedMessage
		code      codes.Code
		exception string
	}{
		{"no options", nil, many(proposedMessage()), codes.Unknown, ""},
		{"no expectation", appendOptions("s", func(o *streams.AppendReq_Options) { o.ExpectedStreamRevision = nil }), many(proposedMessage()), codes.InvalidArgument, ""},
		{"no type", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "type") })), codes.InvalidArgument, "missing-required-metadata-property"},
		{"no content type", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) { delete(m.Metadata, "content-type") })), codes.InvalidArgument, "missing-required-metadata-property"},
		{"empty type", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) { m.Metadata["type"] = "" })), codes.Unknown, ""},
		{"no id", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) { m.Id = nil })), codes.Unknown, ""},
		{"zero id", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) { m.Id = writeUUID([16]byte{}, false) })), codes.Unknown, ""},
		{"garbage for an id", appendOptions("s"), many(proposedMessage(func(m *streams.AppendReq_ProposedMessage) {
			m.Id = &shared.UUID{Value: &shared.UUID_String_{String_: "seven"}}
		})), codes.InvalidArgument, ""},
		{"empty name", appendOptions(""), many(proposedMessage()), codes.InvalidArgument, ""},
		{"metadata of nothing", appendOptions("$$"), many(proposedMessage()), codes.InvalidArgument, ""},
		{"no text", appendOptions("\xff"), many(proposedMessage()), codes.InvalidArgument, ""},
		{"the whole log", appendOptions("$all"), many(proposedMessage()), codes.PermissionDenied, "access-denied"},
		{"a revision beyond all", appendOptions("s", func(o *streams.AppendReq_Options) {
			o.ExpectedStreamRevision = &streams.AppendReq_Options_Revision{Revision: 1 << 63}
		}), many(proposedMessage()), codes.InvalidArgument, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, trailers, err := r.rawAppend(test.options, test.messages...)
			if statusOf(err) != test.code || first(trailers, "exception") != test.exception {
				t.Errorf("got %v with %v", err, trailers)
			}
			if test.exception == "missing-required-metadata-property" && first(trailers, "required-metadata-properties") != "type,content-type" {
				t.Errorf("trailers %v", trailers)
			}
		})
	}
}

// Section 2.6; pitfall 2: the whole request is read before it fails, and the limits count type as UTF-16.
func TestSizeLimits(t *testing.T) {
	r := start(t, func(o *Options) { o.MaxAppendSize, o.MaxEventSize = 1000, 400 })
	sized := func(data, meta int, eventType string) *streams.AppendReq_ProposedMessage {
		return proposedMessage(func(m *streams.AppendReq_ProposedMessage) {
			m.Data, m.CustomMetadata, m.Metadata["type"] = make([]byte, data), make([]byte, meta), eventType
		})
	}
	if _, _, err := r.rawAppend(appendOptions("fits"), sized(200, 190, "aé€𝄞"), sized(390, 8, "b"), sized(100, 98, "b")); err != nil {
		t.Fatalf("1000 bytes exactly: %v", err)
	}
	tooLarge := sized(200, 191, "aé€𝄞")
	_, trailers, err := r.rawAppend(appendOptions("event"), tooLarge)
	if statusOf(err) != codes.InvalidArgument || first(trailers, "exception") != "maximum-append-event-size-exceeded" ||
		first(trailers, "maximum-append-event-size") != "400" || first(trailers, "proposed-append-event-size") != "401" ||
		first(trailers, "event-id") != tooLarge.GetId().GetString_() {
		t.Errorf("an event of 401 bytes: %v %v", err, trailers)
	}
	_, trailers, err = r.rawAppend(appendOptions("sum"), sized(390, 8, "b"), sized(390, 8, "b"), sized(100, 99, "b"))
	if statusOf(err) != codes.InvalidArgument || first(trailers, "exception") != "maximum-append-size-exceeded" || first(trailers, "maximum-append-size") != "1000" {
		t.Errorf("an append of 1001 bytes: %v %v", err, trailers)
	}
	// The official client sends megabytes after the limit is passed, and still sees the reason.
	huge := event("x", func(e *esdb.EventData) { e.Data = make([]byte, 300) })
	_, err = r.client.AppendToStream(r.ctx, "huge", esdb.AppendToStreamOptions{}, append(slices.Repeat([]esdb.EventData{huge}, 5000), huge)...)
	if err == nil || !strings.Contains(err.Error(), "Maximum Append Size") {
		t.Errorf("the client sees %v", err)
	}
}

// Pitfalls 8 and 25, sections 2.1 and 4.6.
func TestContentTypeIsAFlagAndCreatedIsInTicksOf1970(t *testing.T) {
	r := start(t)
	for contentType, want := range map[string]string{contentJSON: contentJSON, "text/plain": contentBinary, contentBinary: contentBinary} {
		stream := "s-" + strings.ReplaceAll(contentType, "/", "-")
		m := proposedMessage(func(m *streams.AppendReq_ProposedMessage) {
			m.Metadata["content-type"], m.Metadata["other"], m.Data, m.CustomMetadata = contentType, "gone", []byte("{not json"), []byte("mine")
		})
		_, _, err := r.rawAppend(appendOptions(stream), m)
		r.must(err)
		all, _, err := r.rawRead(readOptions(stream))
		r.must(err)
		e := all[0].GetEvent().GetEvent()
		if e.GetMetadata()["content-type"] != want || len(e.GetMetadata()) != 3 || e.GetMetadata()["type"] != "t" {
			t.Errorf("%s reads back as %v", contentType, e.GetMetadata())
		}
		if string(e.GetCustomMetadata()) != "mine" || string(e.GetData()) != "{not json" {
			t.Errorf("payload reads back as %q, %q", e.GetData(), e.GetCustomMetadata())
		}
	}
	got, err := r.read("s-text-plain", esdb.ReadStreamOptions{}, 1)
	r.must(err)
	if age := r.node.now().Sub(got[0].Event.CreatedDate); age < 0 || age > patience {
		t.Errorf("created %v", got[0].Event.CreatedDate)
	}
}
