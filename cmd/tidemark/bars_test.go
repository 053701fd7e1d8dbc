package main

import (
	"io"
	"testing"
	"time"

	"github.com/vbauerster/mpb/v8"
)

// TestWaitingForBarsEndsWhateverCameOfTheWork: a command that fails half way must end, on a terminal too.
func TestWaitingForBarsEndsWhateverCameOfTheWork(t *testing.T) {
	for name, work := range map[string]func(*bars){
		"nothing done":          func(b *bars) { b.add("work", 10).finish() },
		"some done":             func(b *bars) { bar := b.add("work", 10); bar.increment(3); bar.finish() },
		"all done":              func(b *bars) { bar := b.add("work", 3); bar.increment(3); bar.finish() },
		"the total isn't known": func(b *bars) { bar := b.add("work", 0); bar.increment(3); bar.finish() },
		"the total came later":  func(b *bars) { bar := b.add("work", 0); bar.set(2, 5); bar.finish() },
		"one done, the next isn't": func(b *bars) {
			first, second := b.add("first", 1), b.add("second", 2)
			first.increment(1)
			first.finish()
			second.finish()
		},
	} {
		t.Run(name, func(t *testing.T) {
			shown := &bars{progress: mpb.New(mpb.WithOutput(io.Discard), mpb.WithAutoRefresh())}
			work(shown)
			ended := make(chan struct{})
			go func() { shown.wait(); close(ended) }()
			select {
			case <-ended:
			case <-time.After(30 * time.Second):
				t.Error("waiting does not end")
			}
		})
	}
}
