package esnode

import (
	"context"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// A read near the head that fails has taken nothing: a group would never see again what it passes over.
func TestFailedReadTakesNothing(t *testing.T) {
	r := start(t)
	r.close()
	var err error
	r.log, err = eventlog.Open(r.path, eventlog.Options{Relaxed: true, TailEvents: 1}) // so links are followed in the file
	r.must(err)
	r.serve()
	r.append("target", event("t"))
	s := &source{node: r.node, stream: "links", resolve: true}
	r.must(s.fromEnd(r.ctx))
	link := event(eventlog.TypeLink, func(e *esdb.EventData) {
		e.Data, e.ContentType = eventlog.Link(0, "target"), esdb.ContentTypeBinary
	})
	r.append("links", event("plain"), link, event("last"))
	eventually(t, "the feed has them", func() bool {
		_, head, _, ok := r.node.feed.after(s.position)
		return ok && head == r.log.Head()
	})
	gone, cancel := context.WithCancel(r.ctx)
	cancel()
	if got, _, err := s.readFeed(gone, readPage, readWindow); err == nil {
		t.Fatalf("the link was followed for a caller that has gone: %+v", got)
	}
	got, err := s.read(r.ctx, readPage, readWindow)
	r.must(err)
	if len(got.events) != 3 || got.events[1].Event == nil || got.events[1].Event.Stream != "target" || !got.end {
		t.Errorf("after the failure: %d events, %+v", len(got.events), got)
	}
}
