package esnode

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
)

// shape writes the kinds and numbers of a read's answers in a line.
func shape(all []*streams.ReadResp) string {
	var out []string
	for _, resp := range all {
		switch c := resp.GetContent().(type) {
		case *streams.ReadResp_Event:
			out = append(out, fmt.Sprint(c.Event.GetEvent().GetStreamRevision()))
		case *streams.ReadResp_StreamNotFound_:
			out = append(out, "missing "+string(c.StreamNotFound.GetStreamIdentifier().GetStreamName()))
		case *streams.ReadResp_FirstStreamPosition:
			out = append(out, fmt.Sprintf("first %d", c.FirstStreamPosition))
		case *streams.ReadResp_LastStreamPosition:
			out = append(out, fmt.Sprintf("last %d", c.LastStreamPosition))
		default:
			out = append(out, fmt.Sprintf("%T", c))
		}
	}
	return strings.Join(out, " ")
}

// Sections 4.2 and 4.3; pitfalls 3, 9 and 10.
func TestStreamReads(t *testing.T) {
	r := start(t)
	r.append("five", events(5)...)
	r.append("cut", events(5)...)
	var cut esdb.StreamMetadata
	cut.SetTruncateBefore(3)
	_, err := r.client.SetStreamMetadata(r.ctx, "cut", esdb.AppendToStreamOptions{}, cut)
	r.must(err)
	r.append("empty", events(5)...)
	cut.SetTruncateBefore(5)
	_, err = r.client.SetStreamMetadata(r.ctx, "empty", esdb.AppendToStreamOptions{}, cut)
	r.must(err)
	r.prepare("only metadata", "meta")
	r.prepare("soft-deleted", "soft")
	for _, test := range []struct {
		name    string
		options *streams.ReadReq_Options
		want    string
	}{
		{"from the start", readOptions("five"), "0 1 2 3 4"},
		{"inclusive", readOptions("five", fromRevision(2)), "2 3 4"},
		{"counted", readOptions("five", count(2)), "0 1"},
		{"none asked for", readOptions("five", count(0)), ""},
		{"beyond the end", readOptions("five", fromRevision(9)), ""},
		{"forwards from the end", readOptions("five", fromTheEnd), ""},
		{"forwards from the end of nothing", readOptions("none", fromTheEnd), "missing none"},
		{"backwards from the end", readOptions("five", backwards, fromTheEnd), "4 3 2 1 0"},
		{"backwards, the largest number is the end", readOptions("five", backwards, fromRevision(noNumber), count(1)), "4"},
		{"backwards, inclusive", readOptions("five", backwards, fromRevision(2)), "2 1 0"},
		{"backwards beyond the end", readOptions("five", backwards, fromRevision(9), count(1)), "4"},
		{"backwards from the start", readOptions("five", backwards), "0"},
		{"truncated, from the start", readOptions("cut"), "3 4"},
		{"truncated, below the first", readOptions("cut", fromRevision(1)), "3 4"},
		{"truncated, backwards", readOptions("cut", backwards, fromTheEnd), "4 3"},
		{"all truncated is empty, not missing", readOptions("empty"), ""},
		{"missing", readOptions("none"), "missing none"},
		{"only metadata", readOptions("meta"), "missing meta"},
		{"soft-deleted", readOptions("soft"), "missing soft"},
		{"soft-deleted, backwards", readOptions("soft", backwards, fromTheEnd), "missing soft"},

		{"told to who understands", readOptions("five", compatible), "0 1 2 3 4 last 4"},
		{"told after a count as well", readOptions("five", compatible, count(2)), "0 1 last 4"},
		{"told backwards", readOptions("five", compatible, backwards, fromTheEnd, count(1)), "4 last 4"},
		{"told the first beyond the end", readOptions("five", compatible, fromRevision(9)), "first 5 last 4"},
		{"told nothing of the first with events", readOptions("cut", compatible), "3 4 last 4"},
		{"told the first where all are truncated", readOptions("empty", compatible), "first 5 last 4"},
		{"told nothing of a missing stream", readOptions("none", compatible), "missing none"},
	} {
		all, _, err := r.rawRead(test.options)
		if got := shape(all); err != nil || got != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.name, got, err, test.want)
		}
	}
}

// Section 4.1: what goes together.
func TestReadOptionsThatDoNotFitAreRefused(t *testing.T) {
	r := start(t)
	r.append("s", events(1)...)
	for name, o := range map[string]*streams.ReadReq_Options{
		"nothing":                          nil,
		"no filter option":                 readOptions("s", func(o *streams.ReadReq_Options) { o.FilterOption = nil }),
		"no UUID option":                   readOptions("s", func(o *streams.ReadReq_Options) { o.UuidOption = nil }),
		"no count option":                  readOptions("s", func(o *streams.ReadReq_Options) { o.CountOption = nil }),
		"no stream option":                 readOptions("s", func(o *streams.ReadReq_Options) { o.StreamOption = nil }),
		"no revision":                      readOptions("s", func(o *streams.ReadReq_Options) { o.GetStream().RevisionOption = nil }),
		"no position":                      readOptions("s", fromAll, func(o *streams.ReadReq_Options) { o.GetAll().AllOption = nil }),
		"no name":                          readOptions(""),
		"a filter on a stream":             readOptions("s", filtered("x", 1, 1)),
		"a subscription backwards":         readOptions("s", subscribing, backwards),
		"a third direction":                readOptions("s", func(o *streams.ReadReq_Options) { o.ReadDirection = 2 }),
		"a revision beyond all":            readOptions("s", fromRevision(1<<63)),
		"a filter of nothing":              readOptions("s", fromAll, filtered("x", 1, 1), func(o *streams.ReadReq_Options) { o.GetFilter().Filter = nil }),
		"a filter without a window":        readOptions("s", fromAll, filtered("x", 1, 1), func(o *streams.ReadReq_Options) { o.GetFilter().Window = nil }),
		"a filter that is no regex":        readOptions("s", fromAll, filtered("(", 1, 1)),
		"a filter longer than any":         readOptions("s", fromAll, filtered(strings.Repeat("x", maxPattern+1), 1, 1)),
		"a subscription with multiplier 0": readOptions("s", fromAll, subscribing, filtered("x", 1, 0)),
		"prepare behind commit": readOptions("s", fromAll, func(o *streams.ReadReq_Options) {
			o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_Position{Position: &streams.ReadReq_Options_Position{CommitPosition: 1, PreparePosition: 2}}
		}),
	} {
		if _, trailers, err := r.rawRead(o); statusOf(err) != codes.InvalidArgument || len(trailers.Get("exception")) > 0 {
			t.Errorf("%s: %v %v, want INVALID_ARGUMENT", name, err, trailers)
		}
	}
}

// Section 4.6.
func TestEventsComeWithTheirOwnNumbers(t *testing.T) {
	r := start(t)
	done := r.append("s", event("x"))
	for _, text := range []bool{false, true} {
		all, _, err := r.rawRead(readOptions("s", func(o *streams.ReadReq_Options) {
			if text {
				o.UuidOption.Content = &streams.ReadReq_Options_UUIDOption_String_{String_: &shared.Empty{}}
			}
		}))
		r.must(err)
		e := all[0].GetEvent()
		if _, isText := e.GetEvent().GetId().GetValue().(*shared.UUID_String_); isText != text {
			t.Errorf("asked for text %v, got %v", text, e.GetEvent().GetId())
		}
		if at := done.CommitPosition; e.GetCommitPosition() != at || e.GetEvent().GetCommitPosition() != at || e.GetEvent().GetPreparePosition() != at {
			t.Errorf("positions of a stream read: %v, want %d", e, at)
		}
		if e.GetLink() != nil {
			t.Errorf("an ordinary event has a link: %v", e)
		}
	}
}

// Pitfall 11, section 4.3.
func TestMetadataStreamsShowTheirLatestEvent(t *testing.T) {
	r := start(t)
	for i := range 3 {
		var m esdb.StreamMetadata
		m.SetMaxCount(uint64(i + 1))
		_, err := r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{}, m)
		r.must(err)
	}
	got, err := r.client.GetStreamMetadata(r.ctx, "s", esdb.ReadStreamOptions{})
	if r.must(err); *got.MaxCount() != 3 {
		t.Errorf("max count %d, want that of the latest", *got.MaxCount())
	}
	all, err := r.read("$$s", esdb.ReadStreamOptions{From: esdb.Start{}}, 1)
	if r.must(err); !slices.Equal(numbers(all), []uint64{2}) {
		t.Errorf("a forward read of one begins at %v", numbers(all))
	}
}

// Section 6.5.
func TestMetadataLimitsStreamReadsOnly(t *testing.T) {
	r := start(t)
	for name, test := range map[string]struct {
		metadata string
		want     []uint64
	}{
		"max count":        {`{"$maxCount":2}`, []uint64{3, 4}},
		"truncate before":  {`{"$tb":4}`, []uint64{4}},
		"both":             {`{"$tb":1,"$maxCount":3}`, []uint64{2, 3, 4}},
		"zero is ignored":  {`{"$maxCount":0,"$maxAge":0}`, []uint64{0, 1, 2, 3, 4}},
		"less than zero":   {`{"$maxCount":-1}`, []uint64{0, 1, 2, 3, 4}},
		"wrong type":       {`{"$tb":"4","$maxCount":2}`, []uint64{0, 1, 2, 3, 4}},
		"not JSON":         {`{"$tb":4`, []uint64{0, 1, 2, 3, 4}},
		"others are kept":  {`{"$maxCount":1,"shop":"north","$tmp":true}`, []uint64{4}},
		"max age, younger": {`{"$maxAge":1000}`, []uint64{0, 1, 2, 3, 4}},
	} {
		stream := "s-" + strings.ReplaceAll(name, " ", "-")
		r.append(stream, events(5)...)
		r.append("$$"+stream, event("$metadata", func(e *esdb.EventData) { e.Data = []byte(test.metadata) }))
		all, err := r.read(stream, esdb.ReadStreamOptions{}, 10)
		if r.must(err); !slices.Equal(numbers(all), test.want) {
			t.Errorf("%s: %v, want %v", name, numbers(all), test.want)
		}
	}
	whole, err := r.readAll(esdb.ReadAllOptions{}, 1000)
	if r.must(err); len(whole) != 9*6 {
		t.Errorf("$all has %d events, want all %d", len(whole), 9*6)
	}
}

// All that the official client knows of metadata comes back as it was set.
func TestMetadataComesBackAsSet(t *testing.T) {
	r := start(t)
	var m esdb.StreamMetadata
	m.SetMaxCount(7)
	m.SetMaxAge(90 * time.Second)
	m.SetTruncateBefore(3)
	m.SetCacheControl(45 * time.Second)
	m.AddCustomProperty("shop", "north")
	var acl esdb.Acl
	acl.AddReadRoles("$all")
	acl.AddWriteRoles("clerk")
	acl.AddDeleteRoles("chief")
	acl.AddMetaReadRoles("$all")
	acl.AddMetaWriteRoles("chief")
	m.SetAcl(acl)
	_, err := r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{}, m)
	r.must(err)
	got, err := r.client.GetStreamMetadata(r.ctx, "s", esdb.ReadStreamOptions{})
	r.must(err)
	if diff := cmp.Diff(m, *got, cmp.Exporter(func(reflect.Type) bool { return true })); diff != "" {
		t.Error(diff)
	}
	state, err := r.log.StreamState(r.ctx, "s")
	if r.must(err); state.Metadata.CacheControl != 45*time.Second || !slices.Equal(state.Metadata.ACL.Write, []string{"clerk"}) {
		t.Errorf("the log reads %+v", state.Metadata)
	}
}

func TestMaxAgeIsEvaluatedWhenRead(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.append("s", events(2)...)
	var m esdb.StreamMetadata
	m.SetMaxAge(time.Second)
	_, err := r.client.SetStreamMetadata(r.ctx, "s", esdb.AppendToStreamOptions{}, m)
	r.must(err)
	eventually(t, "the events are too old", func() bool {
		all, err := r.read("s", esdb.ReadStreamOptions{}, 10)
		r.must(err)
		return len(all) == 0
	})
}
