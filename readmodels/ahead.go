package readmodels

// Generations that don't serve are written before the one that does: one that is being built, and one that
// is kept for a rollback. A watch tells what the serving generation shows, so it says nothing of their
// events until the serving one has them too, or they serve. ahead holds these events meanwhile: few,
// since the next write is about to bring them.
type ahead struct {
	serving int // when last looked at
	noted   []aheadChange
	missed  bool // more than aheadQueue were ahead at once
}

type aheadChange struct {
	generation int
	document   string
	event      placed
}

const aheadQueue = 1024

// note holds an event that a generation has and the serving one does not.
func (a *ahead) note(generation int, document string, event placed) {
	if len(a.noted) >= aheadQueue {
		a.noted, a.missed = nil, true
	}
	a.noted = append(a.noted, aheadChange{generation, document, event})
}

// caughtUp forgets what the serving generation has now.
func (a *ahead) caughtUp(at Mark) {
	kept := a.noted[:0]
	for _, c := range a.noted {
		if c.event.Stream != at.Stream || c.event.Revision > at.Revision {
			kept = append(kept, c)
		}
	}
	a.noted = kept
}

// serves gives the events that a generation brings along that serves from now on; missed says that there
// were more than could be held.
func (a *ahead) serves(generation int) (changes []aheadChange, missed bool) {
	if generation == 0 || generation == a.serving {
		return nil, false
	}
	if a.serving != 0 {
		for _, c := range a.noted {
			if c.generation == generation {
				changes = append(changes, c)
			}
		}
		missed = a.missed
		a.noted, a.missed = nil, false
	}
	a.serving = generation
	return changes, missed
}
