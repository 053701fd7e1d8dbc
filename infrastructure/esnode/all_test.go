package esnode

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc/codes"
)

// names are streams and revisions of events, in order.
func names(all []*esdb.ResolvedEvent) string {
	var out []string
	for _, e := range all {
		out = append(out, fmt.Sprintf("%d@%s", e.OriginalEvent().EventNumber, e.OriginalEvent().StreamID))
	}
	return strings.Join(out, " ")
}

// Section 4.4; pitfalls 9 and 13.
func TestReadsOfTheWholeLog(t *testing.T) {
	r := start(t)
	r.append("a", events(2)...)
	r.append("b", events(1)...)
	r.prepare("soft-deleted", "soft")
	r.prepare("tombstoned", "gone")
	r.append("$persistentsubscription-$all::g-checkpoint", event("$SubscriptionCheckpoint"))
	r.append("$persistentsubscription-$all::g-parked", event("x"))
	r.append("$persistentsubscription-order-1::g-checkpoint", event("$SubscriptionCheckpoint"))
	r.append("$epoch-information", event("x"))
	want := "0@a 1@a 0@b 0@soft 1@soft 2@soft 0@$$soft 0@gone 1@gone 2@gone 9223372036854775807@gone 0@$persistentsubscription-order-1::g-checkpoint"
	forwards, err := r.readAll(esdb.ReadAllOptions{From: esdb.Start{}}, 100)
	if r.must(err); names(forwards) != want {
		t.Fatalf("forwards %s\nwant     %s", names(forwards), want)
	}
	back, err := r.readAll(esdb.ReadAllOptions{From: esdb.End{}, Direction: esdb.Backwards}, 100)
	slices.Reverse(back)
	if r.must(err); names(back) != want {
		t.Fatalf("backwards %s", names(back))
	}
	var last uint64
	for _, e := range forwards {
		at := e.OriginalEvent().Position
		if at.Commit <= last || at.Commit != at.Prepare {
			t.Fatalf("positions %v behind %d", at, last)
		}
		last = at.Commit
	}
	at := forwards[1].OriginalEvent().Position
	for name, test := range map[string]struct {
		options esdb.ReadAllOptions
		want    string
	}{
		"forwards includes the event at the position":  {esdb.ReadAllOptions{From: at}, "1@a 0@b"},
		"backwards excludes the event at the position": {esdb.ReadAllOptions{From: at, Direction: esdb.Backwards}, "0@a"},
		"a place between events, forwards":             {esdb.ReadAllOptions{From: esdb.Position{Commit: 0, Prepare: 0}}, "0@a 1@a"},
		"from the end, forwards":                       {esdb.ReadAllOptions{From: esdb.End{}}, ""},
		"from the start, backwards":                    {esdb.ReadAllOptions{From: esdb.Start{}, Direction: esdb.Backwards}, ""},
		"position zero, backwards":                     {esdb.ReadAllOptions{From: esdb.Position{}, Direction: esdb.Backwards}, ""},
		"beyond the end, forwards":                     {esdb.ReadAllOptions{From: esdb.Position{Commit: 1 << 40, Prepare: 1 << 40}}, ""},
		"beyond the end, backwards": {esdb.ReadAllOptions{From: esdb.Position{Commit: 1 << 40, Prepare: 1 << 40}, Direction: esdb.Backwards},
			"0@$persistentsubscription-order-1::g-checkpoint 9223372036854775807@gone"},
	} {
		got, err := r.readAll(test.options, 2)
		if r.must(err); names(got) != test.want {
			t.Errorf("%s: %q, want %q", name, names(got), test.want)
		}
	}
	tomb := forwards[10].OriginalEvent()
	if tomb.EventType != "$streamDeleted" || len(tomb.Data) != 0 || tomb.ContentType != contentBinary {
		t.Errorf("the tombstone is %+v", tomb)
	}
}

func TestLargeReadsComeInPages(t *testing.T) {
	r := start(t)
	for range 10 {
		r.append("s", events(100)...)
	}
	all, err := r.read("s", esdb.ReadStreamOptions{}, 900)
	r.must(err)
	whole, err := r.readAll(esdb.ReadAllOptions{}, 900)
	r.must(err)
	for i := range 900 {
		if len(all) != 900 || len(whole) != 900 || all[i].Event.EventNumber != uint64(i) || whole[i].Event.EventNumber != uint64(i) {
			t.Fatalf("%d and %d events, in order up to %d", len(all), len(whole), i)
		}
	}
	back, err := r.read("s", esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1<<40)
	if r.must(err); len(back) != 1000 || back[999].Event.EventNumber != 0 {
		t.Fatalf("%d backwards", len(back))
	}
}

// Section 4.5.
func TestFiltersSelectByTheOriginalEvent(t *testing.T) {
	spec := func(regex string, prefixes ...string) *filterSpec {
		return &filterSpec{Regex: regex, Prefixes: prefixes}
	}
	byType := func(regex string, prefixes ...string) *filterSpec {
		return &filterSpec{ByType: true, Regex: regex, Prefixes: prefixes}
	}
	for _, test := range []struct {
		name   string
		filter *filterSpec
		yes    []string // "stream type"
		no     []string
	}{
		{"no filter", nil, []string{"a x", "$$a $metadata"}, nil},
		{"any of the prefixes", spec("", "order-", "stock-"), []string{"order-1 x", "stock-1 x"}, []string{"orders x", "x order-", "Order-1 x"}},
		{"no prefixes, nothing", spec(""), nil, []string{"a x", " x"}},
		{"an empty prefix is any", spec("", ""), []string{"a x"}, nil},
		{"prefix of the type", byType("", "Order"), []string{"x OrderPlaced"}, []string{"Order x"}},
		{"the clients' preset", byType(`^[^\$].*`), []string{"$x Placed", "x a"}, []string{"x $metadata", "x $>"}},
		{"another way to say it", byType(`^[^$].*`), []string{"x a"}, []string{"x $>"}},
		{"a regex wins over prefixes", spec("^a", "b"), []string{"a1 x"}, []string{"b1 x"}},
		{"a regex is searched for anywhere", spec("der-1"), []string{"order-1 x", "order-12 x"}, []string{"order-2 x"}},
		{"and is case-sensitive", spec("ORDER"), nil, []string{"order x"}},
		{"escaped characters in a plain prefix", spec(`^\$ce-a\.b.*`), []string{"$ce-a.b x", "$ce-a.bc x"}, []string{"$ce-axb x"}},
		{"look-ahead, as .NET has it", spec(`^(?!test-)\w+-\d+$`), []string{"order-1 x"}, []string{"test-1 x", "order-x x"}},
		{"back-references", spec(`^(\w)\1`), []string{"aab x"}, []string{"ab x"}},
	} {
		f, err := test.filter.compile()
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		for want, all := range map[bool][]string{true: test.yes, false: test.no} {
			for _, text := range all {
				stream, eventType, _ := strings.Cut(text, " ")
				if f.Match(stream, eventType) != want {
					t.Errorf("%s: %q matches %v", test.name, text, !want)
				}
			}
		}
		if f.err() != nil {
			t.Errorf("%s: %v", test.name, f.err())
		}
	}
}

func TestFilterThatRunsWildIsEnded(t *testing.T) {
	r := start(t)
	r.append(strings.Repeat("a", 60)+"!", events(1)...)
	_, _, err := r.rawRead(readOptions("", fromAll, func(o *streams.ReadReq_Options) {
		o.FilterOption = &streams.ReadReq_Options_Filter{Filter: &streams.ReadReq_Options_FilterOptions{
			Filter: &streams.ReadReq_Options_FilterOptions_StreamIdentifier{StreamIdentifier: &streams.ReadReq_Options_FilterOptions_Expression{Regex: `^(a+)+$`}},
			Window: &streams.ReadReq_Options_FilterOptions_Max{Max: 10},
		}}
	}))
	if statusOf(err) != codes.InvalidArgument {
		t.Fatalf("got %v, want INVALID_ARGUMENT", err)
	}
}

func TestFilteredReadsCountWhatMatches(t *testing.T) {
	r := start(t)
	for i := range 300 {
		r.append(fmt.Sprintf("kind%d-%d", i%3, i), event(fmt.Sprintf("type%d", i%2)))
	}
	all, _, err := r.rawRead(readOptions("", fromAll, filtered("", 5, 0, "type1"), count(120)))
	if r.must(err); len(all) != 120 {
		t.Fatalf("%d events", len(all))
	}
	for _, resp := range all {
		if resp.GetEvent().GetEvent().GetMetadata()["type"] != "type1" {
			t.Fatalf("read %v", resp)
		}
	}
	all, _, err = r.rawRead(readOptions("", fromAll, backwards, filtered("", 5, 0, "type1"), count(1000), func(o *streams.ReadReq_Options) {
		o.GetAll().AllOption = &streams.ReadReq_Options_AllOptions_End{}
	}))
	if r.must(err); len(all) != 150 {
		t.Fatalf("%d events backwards, want 150", len(all))
	}
}

// Section 4.7; pitfall 14.
func TestLinks(t *testing.T) {
	r := start(t)
	r.append("target@x", events(3)...)
	r.prepare("soft-deleted", "soft")
	r.prepare("tombstoned", "gone")
	link := func(data string) esdb.EventData {
		return event("$>", func(e *esdb.EventData) { e.Data, e.ContentType = []byte(data), esdb.ContentTypeBinary })
	}
	r.append("cut", events(3)...)
	var m esdb.StreamMetadata
	m.SetTruncateBefore(2)
	_, err := r.client.SetStreamMetadata(r.ctx, "cut", esdb.AppendToStreamOptions{}, m)
	r.must(err)
	r.append("links", link("1@target@x"), link("9@target@x"), link("0@none"), link("0@soft"), link("0@gone"), link("0@cut"), link("2@cut"), link("neither"), event("plain"))
	const want = "1@target@x by 0, none by 1, none by 2, none by 3, none by 4, none by 5, 2@cut by 6, 7@links, 8@links"
	check := func(name string, all []*esdb.ResolvedEvent) {
		t.Helper()
		var out []string
		for _, e := range all {
			text := "none"
			if e.Event != nil {
				text = fmt.Sprintf("%d@%s", e.Event.EventNumber, e.Event.StreamID)
			}
			if e.Link != nil {
				text += fmt.Sprintf(" by %d", e.Link.EventNumber)
				if *e.Commit != e.Link.Position.Commit || e.Event != nil && e.Event.Position.Commit >= e.Link.Position.Commit {
					t.Errorf("%s: event and link don't have their own positions: %+v", name, e)
				}
			}
			out = append(out, text)
		}
		if got := strings.Join(out, ", "); got != want {
			t.Errorf("%s:\n got  %s\n want %s", name, got, want)
		}
	}
	all, err := r.read("links", esdb.ReadStreamOptions{ResolveLinkTos: true}, 100)
	r.must(err)
	check("read", all)
	sub, err := r.client.SubscribeToStream(r.ctx, "links", esdb.SubscribeToStreamOptions{From: esdb.Start{}, ResolveLinkTos: true})
	r.must(err)
	defer sub.Close()
	all = nil
	for range 9 {
		all = append(all, sub.Recv().EventAppeared)
	}
	check("subscription", all)
	plain, err := r.read("links", esdb.ReadStreamOptions{}, 2)
	if r.must(err); plain[0].Link != nil || plain[0].Event.EventType != "$>" || string(plain[0].Event.Data) != "1@target@x" {
		t.Errorf("unresolved: %+v", plain[0])
	}
	// Live as well, while the target is written and deleted in between.
	if sub.Recv().CaughtUp == nil {
		t.Fatal("not caught up")
	}
	r.append("links", link("0@target@x"), link("0@soft"))
	if e := sub.Recv().EventAppeared; e.Event == nil || e.Event.StreamID != "target@x" || e.Link.EventNumber != 9 {
		t.Errorf("live link: %+v", e)
	}
	if e := sub.Recv().EventAppeared; e.Event != nil || e.Link.EventNumber != 10 {
		t.Errorf("live link to nothing: %+v", e)
	}
}
