package eventlog

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestRandomHistories runs random operations against the log and against the model and compares every
// answer, every read and, at the end, everything. The logs differ in how much they keep in memory and are
// closed and opened again in between.
func TestRandomHistories(t *testing.T) {
	dir := t.TempDir()
	n, disk := 0, quickDisk(t)
	rapid.Check(t, func(rt *rapid.T) {
		n++
		h := &random{rt: rt, ctx: context.Background(), model: &model{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), known: map[string]map[string]Event{}},
			path: filepath.Join(dir, fmt.Sprintf("%d.db", n)), options: Options{VFS: disk, TailEvents: rapid.SampledFrom([]int{1, 3, 1000}).Draw(rt, "tail")}}
		h.options.Now = func() time.Time { return h.model.now }
		h.open()
		defer func() { h.must(h.log.Close()) }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": h.append, "append again": h.append, "describe": h.describe, "delete": h.delete, "tombstone": h.tombstone,
			"read": h.readStream, "read all": h.readAll, "wait": h.wait, "reopen": h.reopen, "scavenge": h.scavenge,
		})
		h.must(h.log.Check(h.ctx))
		h.everything()
	})
}

type random struct {
	rt      *rapid.T
	ctx     context.Context
	model   *model
	log     *Log
	path    string
	options Options
	known   int
}

func (h *random) must(err error) {
	if err != nil {
		h.rt.Fatal(err)
	}
}

func (h *random) open() {
	log, err := Open(h.path, h.options)
	h.must(err)
	h.log = log
}

func answer(err error, ok string) string {
	var wrong *WrongVersion
	var deleted *StreamDeleted
	switch {
	case err == nil:
		return ok
	case errors.As(err, &wrong):
		return fmt.Sprintf("wrong %d", wrong.Current)
	case errors.As(err, &deleted):
		return "deleted"
	case errors.Is(err, ErrNotFound):
		return "not found"
	}
	return err.Error()
}

func (h *random) same(what, got, want string) {
	if got != want {
		h.rt.Fatalf("%s: got %q, want %q", what, got, want)
	}
}

var (
	drawStream   = rapid.SampledFrom([]string{"order-1", "order-2", "account-1", "plain", "$system-1"})
	drawExpected = rapid.OneOf(rapid.SampledFrom([]int64{Any, NoStream, StreamExists}), rapid.Int64Range(0, 6))
	drawIDs      = rapid.SliceOfN(rapid.IntRange(1, 30), 0, 4)
)

// expected is often right, else anything.
func (h *random) expected(stream string) int64 {
	if rapid.IntRange(0, 2).Draw(h.rt, "right") > 0 {
		return h.model.last(stream)
	}
	return drawExpected.Draw(h.rt, "expected")
}

func (h *random) append(rt *rapid.T) {
	stream := drawStream.Draw(rt, "stream")
	var events []Proposed
	for _, n := range drawIDs.Draw(rt, "ids") {
		events = append(events, Proposed{ID: id(fmt.Sprint(n)), Type: "t" + fmt.Sprint(n%3), Data: []byte(strings.Repeat("x", n))})
	}
	expected := h.expected(stream)
	done, err := h.log.Append(h.ctx, stream, expected, events)
	got := fmt.Sprintf("ok %d %d", done.Revision, done.Position)
	if done.Repeated {
		got += " repeated"
	}
	h.same(fmt.Sprintf("append to %s expecting %d %d events", stream, expected, len(events)), answer(err, got), h.model.append(stream, expected, events))
}

func (h *random) describe(rt *rapid.T) {
	stream := "$$" + drawStream.Draw(rt, "stream")
	l := limits{count: rapid.Int64Range(0, 3).Draw(rt, "count"), before: rapid.Int64Range(0, 4).Draw(rt, "before"), seconds: rapid.SampledFrom([]int64{0, 0, 5}).Draw(rt, "seconds")}
	h.known++
	events := []Proposed{{ID: id(fmt.Sprintf("m%d", h.known)), Type: TypeMetadata, JSON: true, Data: []byte(l.text())}}
	done, err := h.log.Append(h.ctx, stream, Any, events)
	h.same("describe "+stream, answer(err, fmt.Sprintf("ok %d %d", done.Revision, done.Position)), h.model.append(stream, Any, events))
}

func (h *random) delete(rt *rapid.T) {
	stream := drawStream.Draw(rt, "stream")
	expected := h.expected(stream)
	position, err := h.log.Delete(h.ctx, stream, expected)
	h.same(fmt.Sprintf("delete %s expecting %d", stream, expected), answer(err, fmt.Sprintf("ok %d", position)), h.model.delete(stream, expected))
}

func (h *random) tombstone(rt *rapid.T) {
	stream := drawStream.Draw(rt, "stream")
	if rapid.IntRange(0, 3).Draw(rt, "spare") > 0 {
		rt.Skip("tombstones are for ever: seldom")
	}
	expected := h.expected(stream)
	position, err := h.log.Tombstone(h.ctx, stream, expected)
	h.same("tombstone "+stream, answer(err, fmt.Sprintf("ok %d", position)), h.model.tombstone(stream, expected))
}

func (h *random) wait(rt *rapid.T) {
	h.model.now = h.model.now.Add(time.Duration(rapid.IntRange(1, 4).Draw(rt, "seconds")) * time.Second)
}

func (h *random) reopen(*rapid.T) {
	h.must(h.log.Close())
	h.open()
	for _, ids := range h.model.known { // repeats of any are recognised until a restart
		clear(ids)
	}
}

func (h *random) scavenge(*rapid.T) {
	done, err := h.log.Scavenge(h.ctx)
	h.must(err)
	if want := h.model.scavenge(); int(done.Events) != want {
		h.rt.Fatalf("scavenge removed %d events, want %d", done.Events, want)
	}
}

// plain takes away what the model doesn't choose: the ids of the log's own events.
func plain(list []Event) []Event {
	out := make([]Event, len(list))
	for i, e := range list {
		if e.Type == TypeMetadata || e.Type == TypeStreamDeleted {
			e.ID = [16]byte{}
			e.Data = []byte(fmt.Sprint(scanLimits(string(e.Data))))
		}
		out[i] = e
	}
	return out
}

func (h *random) readStream(rt *rapid.T) {
	stream := drawStream.Draw(rt, "stream")
	if rapid.Bool().Draw(rt, "metadata") {
		stream = "$$" + stream
	}
	h.compareStream(stream, rapid.Int64Range(-1, 12).Draw(rt, "from"), rapid.Bool().Draw(rt, "backwards"), rapid.IntRange(1, 5).Draw(rt, "limit"))
}

func (h *random) compareStream(stream string, from int64, backwards bool, limit int) {
	list, ok := h.model.readable(stream)
	want := ""
	switch {
	case h.model.tombstoned(stream):
		want = "deleted"
	case !ok:
		want = "not found"
	}
	page, err := h.log.ReadStream(h.ctx, StreamQuery{Stream: stream, From: from, Backwards: backwards, Limit: limit})
	h.same("read "+stream, answer(err, ""), want)
	if want != "" {
		return
	}
	var matching []Event
	for i := range list {
		e := list[i]
		if backwards {
			e = list[len(list)-1-i]
		}
		if backwards && (from < 0 || e.Revision <= from) || !backwards && e.Revision >= from {
			matching = append(matching, e)
		}
	}
	h.comparePage(fmt.Sprintf("read %s from %d backwards %v limit %d", stream, from, backwards, limit), page.Events, page.End, matching, limit)
}

// comparePage accepts short pages, but only the right events and an end that is one.
func (h *random) comparePage(what string, got []Resolved, end bool, matching []Event, limit int) {
	events := make([]Event, 0, len(got))
	for _, r := range got {
		events = append(events, *r.Event)
	}
	if len(events) > limit || len(events) == 0 && len(matching) > 0 || end != (len(events) == len(matching)) || len(events) > len(matching) {
		h.rt.Fatalf("%s: %d events, end %v; %d match", what, len(events), end, len(matching))
	}
	if diff := cmp.Diff(plain(matching[:len(events)]), plain(events)); diff != "" {
		h.rt.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func (h *random) readAll(rt *rapid.T) {
	list := rapid.SampledFrom([][]string{nil, {"order-"}, {"order-1", "account-"}, {"pl", "$$ord"}, {"nothing-"}, {"order"}}).Draw(rt, "prefixes")
	q := AllQuery{Backwards: rapid.Bool().Draw(rt, "backwards"), Limit: rapid.IntRange(1, 5).Draw(rt, "limit"), Window: rapid.IntRange(1, 9).Draw(rt, "window")}
	if list != nil {
		q.Filter = prefixes{list: list, indexed: rapid.Bool().Draw(rt, "indexed")}
	}
	q.From = rapid.Int64Range(0, h.model.next+2).Draw(rt, "from")
	if q.Backwards {
		q.From--
	}
	h.compareAll(q)
}

// compareAll reads to the end by pages.
func (h *random) compareAll(q AllQuery) {
	var want, got []Event
	for i := range h.model.events {
		e := h.model.events[i]
		if q.Backwards {
			e = h.model.events[len(h.model.events)-1-i]
		}
		in := e.Position >= q.From
		if q.Backwards {
			in = q.From < 0 || e.Position < q.From
		}
		if in && (q.Filter == nil || q.Filter.Match(e.Stream, e.Type)) {
			want = append(want, e)
		}
	}
	what := fmt.Sprintf("read all %+v", q)
	for end := false; !end; {
		page, err := h.log.ReadAll(h.ctx, q)
		h.must(err)
		if len(page.Events) > q.Limit || !page.End && page.Next == q.From {
			h.rt.Fatalf("%s: %d events, next %d after %d", what, len(page.Events), page.Next, q.From)
		}
		for _, r := range page.Events {
			got = append(got, *r.Event)
		}
		q.From, end = page.Next, page.End
	}
	if diff := cmp.Diff(plain(want), plain(got)); diff != "" {
		h.rt.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func (h *random) everything() {
	h.compareAll(AllQuery{Limit: 7})
	for _, stream := range h.model.streams() {
		h.compareStream(stream, 0, false, 1000)
		h.compareStream(stream, -1, true, 1000)
	}
}
