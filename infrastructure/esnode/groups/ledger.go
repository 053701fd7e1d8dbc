package groups

import "time"

type (
	// ledger knows up to where everything is settled. Each message has a mark, in source order; runs of
	// events that did not pass the filter share one.
	ledger struct {
		marks    []mark
		head     int
		first    uint64 // number of the mark at head
		frontier int64  // everything up to here is settled
		passed   int64  // how many the frontier passed since the last checkpoint
	}

	mark struct {
		seq   int64
		count int64
		open  bool
	}
)

func (l *ledger) len() int { return len(l.marks) - l.head }

// open notes an unsettled message and returns the number to settle it by.
func (l *ledger) open(seq int64) uint64 {
	if l.head > 64 && l.head*2 > len(l.marks) {
		l.marks = l.marks[:copy(l.marks, l.marks[l.head:])]
		l.head = 0
	}
	l.marks = append(l.marks, mark{seq: seq, count: 1, open: true})
	return l.first + uint64(l.len()) - 1
}

// skip notes count events up to seq that nobody has to settle.
func (l *ledger) skip(seq, count int64) {
	if l.len() == 0 {
		l.frontier, l.passed = max(l.frontier, seq), l.passed+count
		return
	}
	if last := &l.marks[len(l.marks)-1]; !last.open && l.len() > 1 {
		last.seq, last.count = max(last.seq, seq), last.count+count
		return
	}
	l.marks = append(l.marks, mark{seq: seq, count: count})
}

func (l *ledger) settle(number uint64) {
	l.marks[l.head+int(number-l.first)].open = false
	for l.len() > 0 && !l.marks[l.head].open {
		l.frontier = max(l.frontier, l.marks[l.head].seq)
		l.passed += l.marks[l.head].count
		l.head++
		l.first++
	}
}

// checkpoint asks for one when enough is settled: at once from the upper count on, from the lower count
// on when the timer finds the last one long ago.
func (g *Group) checkpoint(now time.Time, timer bool) {
	passed := g.ledger.passed
	if g.storing || passed <= 0 || g.hasSaved && g.ledger.frontier <= g.saved {
		return
	}
	due := passed >= int64(g.settings.MaxCheckpointCount)
	if timer && g.settings.CheckpointAfter > 0 && passed >= int64(g.settings.MinCheckpointCount) {
		due = due || now.Sub(g.storedAt) >= g.settings.CheckpointAfter
	}
	if !due {
		return
	}
	g.storing, g.storingPos, g.storingN = true, g.ledger.frontier, passed
	g.ledger.passed = 0
	g.effects.Checkpoint, g.effects.Store = g.ledger.frontier, true
}

// Checkpointed answers a Store. One that failed is asked for again when a checkpoint is next due.
func (g *Group) Checkpointed(now time.Time, stored bool) {
	if !g.storing {
		return
	}
	g.storing, g.storedAt = false, now
	if !stored {
		g.ledger.passed += g.storingN
		return
	}
	g.saved, g.hasSaved = g.storingPos, true
	g.checkpoint(now, false)
}

// Saved is the last checkpoint stored, if there is one.
func (g *Group) Saved() (int64, bool) { return g.saved, g.hasSaved }
