package readmodels

import (
	"context"
	"fmt"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// Rebuild builds a new generation from history beside the live one, compares the two and, if told so,
// switches. A build that was interrupted goes on where it was.
func (o *Operations) Rebuild(ctx context.Context, name, actor string, autoSwitch bool) (Job, error) {
	return o.begin(ctx, "rebuild", name, actor, autoSwitch)
}

// Switch makes the generation that was built serve, in one step; the old one stays for a rollback.
func (o *Operations) Switch(ctx context.Context, name, actor string) (Job, error) {
	if err := o.refuseUnless(ctx, name, func(g generations) bool { return g.Building != 0 && g.Ready }, "not_ready", "There is no generation that is ready to serve; rebuild first."); err != nil {
		return Job{}, err
	}
	return o.begin(ctx, "switch", name, actor, false)
}

// Rollback makes the previous generation serve again, in one step.
func (o *Operations) Rollback(ctx context.Context, name, actor string) (Job, error) {
	if err := o.refuseUnless(ctx, name, func(g generations) bool { return g.Previous != 0 }, "nothing_to_roll_back", "There is no previous generation."); err != nil {
		return Job{}, err
	}
	return o.begin(ctx, "rollback", name, actor, false)
}

// Verify recomputes the read model on the side and compares it with what is live.
func (o *Operations) Verify(ctx context.Context, name, actor string) (Job, error) {
	return o.begin(ctx, "verify", name, actor, false)
}

// Pause stops applying events to the read model; it goes on serving what it has.
func (o *Operations) Pause(ctx context.Context, name, actor string) (Job, error) {
	return o.begin(ctx, "pause", name, actor, false)
}

// Resume applies events again, those missed first.
func (o *Operations) Resume(ctx context.Context, name, actor string) (Job, error) {
	return o.begin(ctx, "resume", name, actor, false)
}

// Drop removes every generation but the live one: the previous, and with it the way back, and one that
// was built or begun and is not wanted.
func (o *Operations) Drop(ctx context.Context, name, actor string) (Job, error) {
	if err := o.refuseUnless(ctx, name, func(g generations) bool { return g.Previous != 0 || g.Building != 0 }, "nothing_to_roll_back", "There is no generation but the live one."); err != nil {
		return Job{}, err
	}
	return o.begin(ctx, "drop", name, actor, false)
}

func (o *Operations) refuseUnless(ctx context.Context, name string, holds func(generations) bool, code, message string) error {
	m, err := lookup(o.engine.options.Models, name)
	if err != nil {
		return err
	}
	record, err := o.engine.registry.fresh(ctx, m)
	if err == nil && !holds(record) {
		err = &domain.Error{Kind: domain.KindRefused, Code: code, Message: message}
	}
	return err
}

// work does what the job says. Every kind may be done again from the start after an interruption.
func (o *Operations) work(ctx context.Context, m *Model, j *runningJob) (any, error) {
	switch j.job.Kind {
	case "rebuild":
		return o.rebuild(ctx, m, j)
	case "verify":
		return o.verify(ctx, m, j)
	case "switch":
		return o.switchOver(ctx, m, j)
	case "rollback":
		return o.rollback(ctx, m, j)
	case "drop":
		return o.edit(ctx, m, func(g *generations) error {
			g.retire(g.Previous, o.now())
			g.retire(g.Building, o.now())
			g.Previous, g.Building, g.Ready = 0, 0, false
			return nil
		})
	case "pause":
		defer rest(ctx, 2*o.engine.options.RegistryAge) // until every process has noticed
		return o.edit(ctx, m, func(g *generations) error { g.Paused = true; return nil })
	case "resume":
		return o.edit(ctx, m, func(g *generations) error { g.Paused = false; return nil })
	}
	return nil, fmt.Errorf("a job of kind %q is not known to this release", j.job.Kind)
}

func (o *Operations) now() time.Time { return o.engine.options.Clock.Now() }

// Standing is how a read model's generations stand after an operation.
type Standing struct {
	Live     int  `json:"generation"`
	Previous int  `json:"previousGeneration,omitempty"`
	Building int  `json:"buildingGeneration,omitempty"`
	Paused   bool `json:"paused"`
}

func (o *Operations) edit(ctx context.Context, m *Model, edit func(g *generations) error) (Standing, error) {
	record, err := o.engine.registry.change(ctx, m, edit)
	return Standing{record.Live, record.Previous, record.Building, record.Paused}, err
}

// Rebuilt is the result of a rebuild.
type Rebuilt struct {
	Generation int   `json:"generation"` // the new one
	Events     int64 `json:"events"`     // folded into it
	Millis     int64 `json:"millis"`     // that took
	Switched   bool  `json:"switched"`
	Comparison
}

func (o *Operations) rebuild(ctx context.Context, m *Model, j *runningJob) (Rebuilt, error) {
	record, err := o.engine.registry.change(ctx, m, func(g *generations) error {
		if g.Building != 0 && !g.Ready && g.fold(g.Building) == m.Version {
			return errUnchanged // interrupted: it goes on
		}
		g.retire(g.Building, o.now())
		g.Building, g.Ready = g.take(m), false
		return nil
	})
	if err != nil {
		return Rebuilt{}, err
	}
	g := generation{m, record.Building}
	rebuilt := Rebuilt{Generation: g.number}
	began := time.Now()
	// Once every projector knows of the generation, what is appended reaches it; what was before is in the log that is read now.
	if err := g.ensure(ctx, o.documents()); err != nil {
		return rebuilt, err
	}
	rest(ctx, 2*o.engine.options.RegistryAge)
	if rebuilt.Events, err = o.fill(ctx, g, j); err != nil {
		return rebuilt, err
	}
	rebuilt.Millis = time.Since(began).Milliseconds()
	rebuilt.Comparison, err = o.compare(ctx, generation{m, record.Live}, g, j)
	if err != nil {
		return rebuilt, err
	}
	if _, err := o.edit(ctx, m, func(r *generations) error {
		if r.Building != g.number {
			return domain.Refuse("superseded", "Another rebuild has replaced generation %d.", g.number)
		}
		r.Ready = true
		return nil
	}); err != nil {
		return rebuilt, err
	}
	if j.job.Switch {
		if _, err := o.switchOver(ctx, m, j); err != nil {
			return rebuilt, err
		}
		rebuilt.Switched = true
	}
	return rebuilt, nil
}

// fill builds a generation up to the head of the log.
func (o *Operations) fill(ctx context.Context, g generation, j *runningJob) (events int64, err error) {
	err = o.engine.build(ctx, g, func(done int64) {
		events = done
		j.report("folding", done, o.engine.lag.now(g.model.Name).Counted)
	})
	return events, err
}

// switchOver brings the built generation up to the head once more, in case a delivery was lost, and
// then lets it serve: from that write on every query reads it.
func (o *Operations) switchOver(ctx context.Context, m *Model, j *runningJob) (Standing, error) {
	record, err := o.engine.registry.fresh(ctx, m)
	if err != nil {
		return Standing{}, err
	}
	if record.Building == 0 || !record.Ready {
		return Standing{}, domain.Refuse("not_ready", "There is no generation that is ready to serve; rebuild first.")
	}
	built := record.Building
	if _, err := o.fill(ctx, generation{m, built}, j); err != nil {
		return Standing{}, err
	}
	defer rest(ctx, 2*o.engine.options.RegistryAge) // every process has noticed when the job ends
	return o.edit(ctx, m, func(g *generations) error {
		if g.Building != built || !g.Ready {
			return domain.Refuse("not_ready", "Another operation has changed the generations.")
		}
		g.retire(g.Previous, o.now())
		g.Live, g.Previous, g.Building, g.Ready, g.Held = built, g.Live, 0, false, false
		return nil
	})
}

// rollback does the same with the previous generation, which is kept up to date: a lost delivery aside,
// there is nothing to bring up.
func (o *Operations) rollback(ctx context.Context, m *Model, j *runningJob) (Standing, error) {
	record, err := o.engine.registry.fresh(ctx, m)
	if err != nil {
		return Standing{}, err
	}
	previous := record.Previous
	if previous == 0 {
		return Standing{}, domain.Refuse("nothing_to_roll_back", "There is no previous generation.")
	}
	if record.fold(previous) == m.Version { // another fold's documents serve as they are
		if _, err := o.fill(ctx, generation{m, previous}, j); err != nil {
			return Standing{}, err
		}
	}
	defer rest(ctx, 2*o.engine.options.RegistryAge)
	return o.edit(ctx, m, func(g *generations) error {
		if g.Previous != previous {
			return domain.Refuse("nothing_to_roll_back", "Another operation has changed the generations.")
		}
		g.Live, g.Previous, g.Held = g.Previous, g.Live, true
		return nil
	})
}

// verify builds a side generation with the code that runs live, compares, and drops it.
func (o *Operations) verify(ctx context.Context, m *Model, j *runningJob) (Comparison, error) {
	record, err := o.engine.registry.change(ctx, m, func(g *generations) error {
		g.retire(g.Side, o.now()) // left behind by one that was interrupted
		g.Side = g.take(m)
		return nil
	})
	if err != nil {
		return Comparison{}, err
	}
	side := generation{m, record.Side}
	defer func() {
		after, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_, _ = o.engine.registry.change(after, m, func(g *generations) error {
			if g.Side != side.number {
				return errUnchanged
			}
			g.retire(g.Side, o.now())
			g.Side = 0
			return nil
		})
	}()
	if _, err := o.fill(ctx, side, j); err != nil {
		return Comparison{}, err
	}
	return o.compare(ctx, generation{m, record.Live}, side, j)
}

// forgetAfter is how long a retired generation stays, for processes that remember it as the live one.
const forgetAfter = 10 * time.Second

// drop removes generations that were retired long enough ago.
func (o *Operations) drop(ctx context.Context, m *Model, record generations) {
	for _, r := range record.Retired {
		if o.now().Sub(ParseStamp(r.At)) < max(forgetAfter, 4*o.engine.options.RegistryAge) {
			continue
		}
		g := generation{m, r.Generation}
		if err := o.remove(ctx, g); err != nil {
			o.engine.options.Logger.Warn("a retired generation could not be dropped", "readmodel", m.Name, "generation", g.number, "error", err)
			continue
		}
		_, _ = o.engine.registry.change(ctx, m, func(record *generations) error {
			kept := record.Retired[:0]
			for _, other := range record.Retired {
				if other.Generation != g.number {
					kept = append(kept, other)
				}
			}
			record.Retired = kept
			return nil
		})
	}
}

func (o *Operations) remove(ctx context.Context, g generation) error {
	if err := o.documents().Drop(ctx, g.documents()); err != nil {
		return err
	}
	if err := o.documents().Drop(ctx, g.rows()); err != nil {
		return err
	}
	all, err := o.engine.blocks.list(ctx, g, maxBlockedKnown)
	if err != nil {
		return err
	}
	var streams []string
	for _, b := range all {
		streams = append(streams, b.Stream)
	}
	if err := o.engine.blocks.clear(ctx, g, streams); err != nil {
		return err
	}
	return o.documents().Delete(ctx, tailNotes, []string{g.id()})
}
