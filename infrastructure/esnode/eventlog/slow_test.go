package eventlog

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// slowly is a filter that takes a time for each event.
type slowly struct {
	clock    *atomic.Int64
	prefixes []string
}

func (f slowly) Match(stream, _ string) bool {
	f.clock.Add(int64(100 * time.Millisecond))
	return strings.HasPrefix(stream, "a")
}

func (f slowly) StreamPrefixes() []string { return f.prefixes }

// A filter that takes long ends pages early, and still sees every event once.
func TestSlowFilterEndsPagesEarly(t *testing.T) {
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(1_700_000_000, clock.Load()) }
	log := openLog(t, Options{Relaxed: true, Now: now, TailEvents: 10})
	for i := range 60 {
		stream := []string{"a-1", "b-1", "a-2"}[i%3]
		if _, err := log.Append(context.Background(), stream, Any, one(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for _, prefixes := range [][]string{nil, {"a-"}} {
		for _, backwards := range []bool{false, true} {
			q := AllQuery{Backwards: backwards, Filter: slowly{&clock, prefixes}}
			if backwards {
				q.From = -1
			}
			found, pages := 0, 0
			for end := false; !end; pages++ {
				page, err := log.ReadAll(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				found, end, q.From = found+len(page.Events), page.End, page.Next
			}
			if found != 40 || pages < 40/4 {
				t.Errorf("prefixes %q, backwards %v: %d events on %d pages, want 40 on many", prefixes, backwards, found, pages)
			}
		}
	}
}
