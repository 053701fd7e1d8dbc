package esnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

const (
	// configStream holds, in its last event, the settings of all groups.
	configStream = "$persistentSubscriptionConfig"
	configType   = "$PersistentConfig"
	// storeWithin bounds each write that the node makes for itself.
	storeWithin = 10 * time.Second
)

// manager owns the groups of the node: their settings in the log and their runners.
type manager struct {
	node *Node

	change   sync.Mutex // held while groups come, change or go
	revision int64      // of configStream

	mu      sync.RWMutex
	groups  map[groupKey]*runner
	streams map[string]bool // that have or had a group
	running sync.WaitGroup
}

func newManager(n *Node) *manager {
	return &manager{node: n, revision: eventlog.NoStream, groups: map[groupKey]*runner{}, streams: map[string]bool{}}
}

// load starts the groups that the log knows.
func (m *manager) load(ctx context.Context) error {
	m.change.Lock()
	defer m.change.Unlock()
	newest, err := m.node.store.ReadEvent(ctx, configStream, -1)
	if errors.Is(err, eventlog.ErrNotFound) {
		return nil
	} else if err != nil {
		return err
	}
	m.revision = newest.Revision
	var stored groupConfigs
	if err := json.Unmarshal(newest.Data, &stored); err != nil {
		return fmt.Errorf("read %s: %w", configStream, err)
	}
	for _, c := range stored.Groups {
		if err := m.start(ctx, c); err != nil {
			return fmt.Errorf("start group %s: %w", c.key().subscription(), err)
		}
	}
	return nil
}

// store writes the settings of all groups, with one changed or removed.
func (m *manager) store(changed groupConfig, remove bool) error {
	all := groupConfigs{Version: "2", Updated: m.node.now().UTC()}
	for _, r := range m.list() {
		if r.config.key() != changed.key() {
			all.Groups = append(all.Groups, r.config)
		}
	}
	if !remove {
		all.Groups = append(all.Groups, changed)
	}
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	// Whether the caller still waits or not, its change is made or it is not.
	ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
	defer cancel()
	events := []eventlog.Proposed{{ID: uuid.New(), Type: configType, JSON: true, Data: data}}
	done, err := m.node.store.Append(ctx, configStream, m.revision, events)
	var wrong *eventlog.WrongVersion
	if errors.As(err, &wrong) { // a client wrote there as well; what the node knows counts
		done, err = m.node.store.Append(ctx, configStream, wrong.Current, events)
	}
	if err != nil {
		return err
	}
	m.revision = done.Revision
	return nil
}

func (m *manager) create(c groupConfig) error {
	m.change.Lock()
	defer m.change.Unlock()
	if m.find(c.key()) != nil {
		return groupExists(c.Stream, c.Group)
	}
	if err := c.check(m.node.store.Head()); err != nil {
		return err
	}
	if err := m.store(c, false); err != nil {
		return err
	}
	return m.start(m.node.life, c)
}

// update replaces all settings but the filter. Consumers are dropped, and the group goes on from its
// last checkpoint.
func (m *manager) update(c groupConfig) error {
	m.change.Lock()
	defer m.change.Unlock()
	old := m.find(c.key())
	if old == nil {
		return groupMissing(c.Stream, c.Group)
	}
	c.Filter = old.config.Filter
	if err := c.check(m.node.store.Head()); err != nil {
		return err
	}
	if err := m.store(c, false); err != nil {
		return err
	}
	return m.replace(old, c)
}

func (m *manager) delete(key groupKey) error {
	m.change.Lock()
	defer m.change.Unlock()
	old := m.find(key)
	if old == nil {
		return groupMissing(key.stream, key.group)
	}
	if err := m.store(old.config, true); err != nil {
		return err
	}
	m.end(old)
	ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
	defer cancel()
	for _, stream := range []string{key.checkpointStream(), key.parkedStream()} {
		_, err := m.node.store.Delete(ctx, stream, eventlog.Any)
		var wrong *eventlog.WrongVersion
		if err != nil && !errors.As(err, &wrong) && !absent(err) { // wrong: it was never written
			return err
		}
	}
	return nil
}

// restart drops all consumers and begins again from the checkpoints.
func (m *manager) restart() error {
	m.change.Lock()
	defer m.change.Unlock()
	var errs []error
	for _, old := range m.list() {
		errs = append(errs, m.replace(old, old.config))
	}
	return errors.Join(errs...)
}

// replace ends a runner and starts another in its place. If that fails, the old one stays on the list although
// it does nothing: what is not there is left out of the settings when they are written next.
func (m *manager) replace(old *runner, c groupConfig) error {
	m.end(old)
	err := m.start(m.node.life, c)
	if err != nil {
		m.mu.Lock()
		m.groups[c.key()] = old
		m.mu.Unlock()
	}
	return err
}

func (m *manager) start(ctx context.Context, c groupConfig) error {
	r, err := newRunner(ctx, m.node, c)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.groups[c.key()] = r
	m.streams[c.Stream] = true
	m.mu.Unlock()
	m.running.Go(r.run)
	return nil
}

// end stops a runner and waits for it.
func (m *manager) end(r *runner) {
	m.mu.Lock()
	delete(m.groups, r.config.key())
	m.mu.Unlock()
	r.stop()
	<-r.ended
}

func (m *manager) find(key groupKey) *runner {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.groups[key]
}

// list has the groups in order of stream and name.
func (m *manager) list() []*runner {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := make([]*runner, 0, len(m.groups))
	for _, r := range m.groups {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b *runner) int {
		if c := strings.Compare(a.config.Stream, b.config.Stream); c != 0 {
			return c
		}
		return strings.Compare(a.config.Group, b.config.Group)
	})
	return all
}

// listOf has the groups of one stream, and whether there ever was one.
func (m *manager) listOf(stream string) (groups []*runner, ever bool) {
	for _, r := range m.list() {
		if r.config.Stream == stream {
			groups = append(groups, r)
		}
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return groups, m.streams[stream]
}

// wait returns when all runners have ended; the node's life is over then.
func (m *manager) wait() { m.running.Wait() }
