package main

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bars draws progress on a terminal and nothing anywhere else.
type bars struct{ progress *mpb.Progress }

func newBars(w io.Writer) *bars {
	if !isTerminal(w) {
		return &bars{}
	}
	return &bars{progress: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))}
}

// bar is one line of progress; its zero value draws nothing.
type bar struct{ bar *mpb.Bar }

// add starts a bar of total steps; 0 means that the total isn't known yet.
func (b *bars) add(name string, total int64) *bar {
	if b.progress == nil {
		return &bar{}
	}
	return &bar{bar: b.progress.AddBar(total,
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 20, C: decor.DindentRight}), decor.CountersNoUnit("%d/%d", decor.WC{W: 14})),
		mpb.AppendDecorators(decor.AverageSpeed(0, "%.0f/s", decor.WC{W: 10}), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8})),
	)}
}

func (b *bar) increment(n int64) {
	if b.bar != nil {
		b.bar.IncrInt64(n)
	}
}

// set moves the bar to done of total.
func (b *bar) set(done, total int64) {
	if b.bar != nil {
		b.bar.SetTotal(max(total, 1), false)
		b.bar.SetCurrent(done)
	}
}

// finish ends the bar where it is, so that waiting for all bars ends. One of a known total can only be completed by
// its steps; where they weren't all done, it is aborted and stays on the screen.
func (b *bar) finish() {
	if b.bar == nil {
		return
	}
	b.bar.SetTotal(-1, true)
	b.bar.Abort(false)
}

func (b *bars) wait() {
	if b.progress != nil {
		b.progress.Wait()
	}
}

// isTerminal says whether a person sees what is written to w.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
