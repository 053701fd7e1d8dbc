package application

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// snapshotPrefix stands before the name of the stream that a snapshot stream belongs to.
const snapshotPrefix = "snapshot-"

// snapshotsKept is how many snapshots of a stream stay readable. Those before the newest serve repeats of
// commands that were carried out before the newest was taken, and questions about the recent past.
const snapshotsKept = 8

// snapshotWait bounds one snapshot's way into the store.
const snapshotWait = 5 * time.Second

// snapshotter takes snapshots on one goroutine beside the commands: it neither delays nor fails them.
// What it can't keep up with it leaves out; the next command on the stream offers again.
type snapshotter struct {
	e       *Executor
	every   int64
	jobs    chan snapshotJob
	resting resting
}

type snapshotJob struct {
	stream string // of the aggregate
	take   func() (domain.SnapshotTaken, error)
	taken  func(cached) cached // notes it in a state in memory
}

func newSnapshotter(e *Executor) *snapshotter {
	return &snapshotter{e: e, every: int64(e.options.SnapshotEvery), jobs: make(chan snapshotJob, 64),
		resting: resting{noted: map[string]noted{}}}
}

func (s *snapshotter) run(ctx context.Context) {
	look := time.NewTicker(restFor / 5)
	defer look.Stop()
	for {
		select {
		case job := <-s.jobs:
			s.carryOut(ctx, job)
		case <-look.C:
			s.settle(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// due tells that a multiple of the distance lies behind the newest snapshot and not behind revision.
// Counting multiples and not distances keeps it right where a batch of events jumps over one.
func (s *snapshotter) due(revision, snapshot int64) bool {
	return s.every > 0 && (revision+1)/s.every > (snapshot+1)/s.every
}

// offerSnapshot asks for a snapshot of loaded if one is due, or once the stream rests if it has a long tail,
// and gives loaded back with what is certain to be taken noted.
func offerSnapshot[S any](e *Executor, aggregate *Aggregate[S], loaded Loaded[S]) Loaded[S] {
	due := e.snapshots.due(loaded.Revision, loaded.snapshot)
	if !due && !e.snapshots.tailed(loaded.Revision, loaded.snapshot) {
		return loaded
	}
	offered := loaded // a copy of its own for the other goroutine
	job := snapshotJob{
		stream: loaded.Stream,
		take:   func() (domain.SnapshotTaken, error) { return takeSnapshot(aggregate, offered) },
		taken: func(entry cached) cached {
			if l, ok := entry.loaded.(Loaded[S]); ok && l.snapshot < offered.Revision && l.Revision >= offered.Revision {
				l.snapshot = offered.Revision
				entry.loaded = l
			}
			return entry
		},
	}
	if !due {
		e.snapshots.resting.note(job, loaded.Revision)
		return loaded
	}
	select {
	case e.snapshots.jobs <- job:
		loaded.snapshot = loaded.Revision
		e.snapshots.resting.forget(loaded.Stream)
	default:
	}
	return loaded
}

func takeSnapshot[S any](aggregate *Aggregate[S], loaded Loaded[S]) (domain.SnapshotTaken, error) {
	state, err := json.Marshal(loaded.State)
	if err != nil {
		return domain.SnapshotTaken{}, fmt.Errorf("encode the state of %s: %w", loaded.Stream, err)
	}
	text, err := packState(state)
	if err != nil {
		return domain.SnapshotTaken{}, fmt.Errorf("compress the state of %s: %w", loaded.Stream, err)
	}
	snapshot := domain.SnapshotTaken{
		FoldVersion: aggregate.Fold, Revision: loaded.Revision, Position: loaded.Position,
		Hash: loaded.Meta.Hash, Commands: loaded.commands.pack(), State: text,
	}
	snapshot.Checksum = checksum(loaded.Stream, snapshot)
	return snapshot, nil
}

// checksum covers every other field and the stream that the snapshot is of.
func checksum(stream string, s domain.SnapshotTaken) string {
	content := make([]byte, 0, 256+len(stream)+len(s.Hash)+len(s.Commands)+len(s.State))
	content = fmt.Appendf(content, "%d %d %d ", s.FoldVersion, s.Revision, s.Position)
	for _, text := range []string{stream, s.Hash, s.Commands} {
		content = append(appendQuoted(content, text), ' ')
	}
	sum := sha256.Sum256(append(content, s.State...))
	return hex.EncodeToString(sum[:])
}

// appendQuoted is strconv.AppendQuote, quick where nothing has to be escaped: remembered commands are
// long and every load of a long stream checks them.
func appendQuoted(to []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return strconv.AppendQuote(to, text)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}

// write puts the snapshot into its stream, unless a newer one is there.
func (s *snapshotter) write(ctx context.Context, job snapshotJob) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	snapshot, err := job.take()
	if err != nil {
		return err
	}
	stream := snapshotPrefix + job.stream
	tip := domain.Tip{Revision: domain.NoStream}
	last, ok, err := s.e.store.ReadLast(ctx, stream)
	if err != nil && domain.KindOf(err) != domain.KindUndecodable {
		return fmt.Errorf("read the newest snapshot of %s: %w", job.stream, err)
	}
	if ok {
		tip = domain.Tip{Revision: last.Revision, Hash: last.Meta.Hash}
		have, readable := last.Event.(domain.SnapshotTaken)
		if readable && have.Revision >= snapshot.Revision && have.FoldVersion == snapshot.FoldVersion {
			return nil
		}
	}
	if err := s.append(ctx, stream, tip, snapshot); err != nil {
		if domain.KindOf(err) == domain.KindConflict {
			return nil // another process took one
		}
		return fmt.Errorf("take a snapshot of %s: %w", job.stream, err)
	}
	// Said at the start and now and then again, so that one lost attempt doesn't keep all for ever.
	if (tip.Revision+1)%16 == 0 {
		if err := s.e.store.KeepNewest(ctx, stream, snapshotsKept); err != nil {
			return fmt.Errorf("bound the snapshots of %s: %w", job.stream, err)
		}
	}
	return nil
}

func (s *snapshotter) append(ctx context.Context, stream string, tip domain.Tip, snapshot domain.SnapshotTaken) error {
	id := s.e.options.NewID().String()
	_, err := s.e.store.Append(ctx, stream, tip, []domain.Proposed{{
		ID: id, Event: snapshot,
		Meta: domain.Meta{
			CorrelationID: id, CausationID: id, CommandID: id, Actor: "process:snapshots",
			BatchSize: 1, At: stamp(s.e.options.Clock),
		},
	}})
	return err
}
