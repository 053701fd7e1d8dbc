package eventlog

import (
	"context"
	"fmt"

	"github.com/ncruces/go-sqlite3"
)

// projection is a built-in projection as the writer has it; its row in the file says the same.
type projection struct {
	ProjectionState
	rule    rule
	setting setting
	hiding  *string // a reset is putting older derived events out of sight; done up to this stream
}

// loadProjections reads where they stand. A new file gets all of them, some enabled from the start.
func (l *ledger) loadProjections(enabled []string) error {
	for _, name := range projectionOrder {
		p := &projection{rule: builtIn[name], ProjectionState: ProjectionState{Name: name, Epoch: -1, Query: builtIn[name].query}}
		for _, e := range enabled {
			p.Enabled = p.Enabled || e == name
		}
		found := false
		err := l.each(`SELECT query, enabled, live, position, version, epoch, hiding FROM projections WHERE name = ?1`,
			func(stmt *sqlite3.Stmt) bool {
				found = true
				p.Query, p.Enabled, p.Live = stmt.ColumnText(0), stmt.ColumnBool(1), stmt.ColumnBool(2)
				p.Position, p.Version, p.Epoch = stmt.ColumnInt64(3), stmt.ColumnInt64(4), stmt.ColumnInt64(5)
				if stmt.ColumnType(6) != sqlite3.NULL {
					hiding := stmt.ColumnText(6)
					p.hiding = &hiding
				}
				return false
			}, name)
		if err != nil {
			return err
		}
		if p.setting, err = p.rule.parse(p.Query); err != nil {
			return fmt.Errorf("the query of %s: %w", name, err)
		}
		if !found {
			if err := l.save(p); err != nil {
				return err
			}
		}
		l.projections = append(l.projections, p)
	}
	return nil
}

func (l *ledger) save(p *projection) error {
	l.dirty = true
	number := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	err := l.exec(`INSERT INTO projections(name, query, enabled, live, position, version, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
		ON CONFLICT DO UPDATE SET query = ?2, enabled = ?3, live = ?4, position = ?5, version = ?6, epoch = ?7, hiding = NULL`,
		p.Name, p.Query, number(p.Enabled), number(p.Live), p.Position, p.Version, p.Epoch)
	if err == nil && p.hiding != nil {
		err = l.exec(`UPDATE projections SET hiding = ?2 WHERE name = ?1`, p.Name, *p.hiding)
	}
	return err
}

// behind reports whether a projection has history to catch up with.
func (l *ledger) behind() bool {
	for _, p := range l.projections {
		if p.hiding != nil || p.Enabled && !p.Live {
			return true
		}
	}
	return false
}

// project lets those that have caught up handle what the request at hand wrote.
func (l *ledger) project() error {
	sources := l.sources
	l.sources = nil
	for _, e := range sources {
		s, ok := source{}, true
		for _, p := range l.projections {
			if !p.Enabled || !p.Live {
				continue
			}
			if s.Event == nil && ok {
				s, ok = newSource(e)
			}
			if !ok {
				break
			}
			if err := l.emit(p, s); err != nil {
				return err
			}
		}
	}
	return nil
}

const (
	// derivedMetadata lets everybody read a derived stream.
	derivedMetadata = `{"$acl":{"$r":"$all","$mr":"$all"}}`
	// catchUpStreams bounds the streams that one commit of a reset hides.
	catchUpStreams = 200
)

// emit writes what a projection makes of a source. A derived stream that somebody tombstoned stays so.
func (l *ledger) emit(p *projection, s source) error {
	d, ok := p.rule.derive(p.setting, s)
	if !ok || len(d.stream) > maxName {
		return nil
	}
	h, err := l.headOf(d.stream)
	if err != nil || h.tombstone > 0 {
		return err
	}
	if h.last < 0 && !h.described() {
		if err := l.describe(d.stream, []byte(derivedMetadata)); err != nil {
			return err
		}
	}
	event := Proposed{ID: l.newID(), Type: d.eventType, Data: d.data, Metadata: d.metadata(p.rule.id, p.Epoch, p.Version, s)}
	if h, err = l.headOf(d.stream); err != nil {
		return err
	}
	first := h.last + 1
	if h, err = l.write(d.stream, h, []Proposed{event}); err != nil {
		return err
	}
	p.Emitted++
	if h.softDeleted() {
		return l.describe(d.stream, withTruncateBefore(h.meta.Raw, first))
	}
	return nil
}

// catchUp does one bounded piece of what a projection is behind with, and the row in the same transaction
// says how far it came: nothing is lost or repeated whenever the process ends.
func (l *ledger) catchUp() error {
	for _, p := range l.projections {
		switch {
		case p.hiding != nil:
			return l.hide(p)
		case p.Enabled && !p.Live:
			return l.replay(p)
		}
	}
	return nil
}

// replay handles the next events of history. When there are no more, the projection is live: this
// happens inside the writer's transaction, so no append can slip in between.
func (l *ledger) replay(p *projection) error {
	var history []*Event
	n, bytes := 0, 0
	position := p.Position
	err := l.each(sqlHistory, func(stmt *sqlite3.Stmt) bool {
		n++
		position = stmt.ColumnInt64(columnPosition)
		if stream := stmt.ColumnText(columnName); isSource(stream) {
			e := l.event(stmt, stream)
			bytes += e.size()
			history = append(history, e)
		}
		return bytes < pageBytes
	}, p.Position, l.chunk)
	if err != nil {
		return err
	}
	for _, e := range history {
		s, ok := newSource(e)
		if !ok {
			continue
		}
		if err := l.emit(p, s); err != nil {
			return err
		}
	}
	p.Position = position
	if n < l.chunk && bytes < pageBytes {
		p.Position, p.Live = l.position, true
	}
	return l.save(p)
}

// hide puts the derived events of a projection that was reset out of sight, some streams at a time.
// Their numbering goes on.
func (l *ledger) hide(p *projection) error {
	var names []string
	end := p.rule.prefix + "\xff"
	if p.rule.exact {
		end = p.rule.prefix + "\x00"
	}
	err := l.each(`SELECT name FROM streams WHERE name >= ?1 AND name < ?2 AND name > ?3 ORDER BY name LIMIT ?4`,
		func(stmt *sqlite3.Stmt) bool {
			names = append(names, stmt.ColumnText(0))
			return true
		}, p.rule.prefix, end, *p.hiding, catchUpStreams)
	if err != nil {
		return err
	}
	for _, name := range names {
		h, err := l.headOf(name)
		if err != nil {
			return err
		}
		if h.last < h.low() || h.tombstone > 0 {
			continue
		}
		if err := l.describe(name, withTruncateBefore(h.meta.Raw, h.last+1)); err != nil {
			return err
		}
	}
	if p.hiding = nil; len(names) == catchUpStreams {
		p.hiding = &names[len(names)-1]
	}
	return l.save(p)
}

// publishProjections makes their state visible to Projections.
func (l *Log) publishProjections() {
	states := make([]ProjectionState, len(l.ledger.projections))
	for i, p := range l.ledger.projections {
		states[i] = p.ProjectionState
		if p.Live {
			states[i].Position = l.ledger.position
		}
	}
	l.projected.Store(&states)
}

// Projections lists the built-in projections.
func (l *Log) Projections() []ProjectionState {
	return append([]ProjectionState(nil), *l.projected.Load()...)
}

// command changes a projection in the writer's transaction.
func (l *Log) command(ctx context.Context, name string, f func(*ledger, *projection) error) error {
	return l.do(ctx, 0, func(w *ledger) error {
		for _, p := range w.projections {
			if p.Name == name {
				return f(w, p)
			}
		}
		return fmt.Errorf("%w: %q", ErrNoProjection, name)
	})
}

// EnableProjection starts a projection: it catches up with history, beside the appends, and from then on
// its events are written in each append's own transaction. Enabling an enabled one changes nothing.
// Errors: ErrNoProjection, and those of waiting as for Append; so for the next three.
func (l *Log) EnableProjection(ctx context.Context, name string) error {
	return l.command(ctx, name, func(w *ledger, p *projection) error {
		if p.Enabled {
			return nil
		}
		p.Enabled = true
		p.Version++
		return w.save(p)
	})
}

// DisableProjection stops a projection; it keeps its place.
func (l *Log) DisableProjection(ctx context.Context, name string) error {
	return l.command(ctx, name, func(w *ledger, p *projection) error {
		if !p.Enabled {
			return nil
		}
		if p.Live {
			p.Position = w.position
		}
		p.Enabled, p.Live = false, false
		p.Version++
		return w.save(p)
	})
}

// ResetProjection makes a projection start over: what it derived is put out of sight by "$tb" and, when
// it is enabled, derived anew behind that.
func (l *Log) ResetProjection(ctx context.Context, name string) error {
	return l.command(ctx, name, func(w *ledger, p *projection) error {
		p.Version++
		p.Epoch, p.Position, p.Live, p.Emitted = p.Version, 0, false, 0
		p.hiding = new(string)
		return w.save(p)
	})
}

// UpdateProjection changes a projection's query (a separator, or the name of the correlation property)
// from here on; its place is kept. ErrInvalid if it doesn't read.
func (l *Log) UpdateProjection(ctx context.Context, name, query string) error {
	return l.command(ctx, name, func(w *ledger, p *projection) error {
		s, err := p.rule.parse(query)
		if err != nil {
			return err
		}
		p.setting, p.Query = s, query
		p.Version++
		return w.save(p)
	})
}
