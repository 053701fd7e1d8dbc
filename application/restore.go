package application

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// readSnapshot gives the newest state at or before a revision that a snapshot holds. A snapshot with
// anything odd about it is left aside; only a store that fails to answer is an error.
func readSnapshot[S any](ctx context.Context, e *Executor, aggregate *Aggregate[S], empty Loaded[S], upTo int64) (Loaded[S], bool, error) {
	if e.options.SnapshotEvery < 0 {
		return Loaded[S]{}, false, nil
	}
	candidates, err := e.snapshotsOf(ctx, empty.Stream, upTo == newest)
	if err != nil {
		return Loaded[S]{}, false, err
	}
	for i := len(candidates) - 1; i >= 0; i-- {
		loaded, reason := restore(aggregate, empty, candidates[i])
		if reason != "" {
			e.hooks.SnapshotIgnored(empty.Stream, reason)
			continue
		}
		if loaded.Revision <= upTo {
			return loaded, true, nil
		}
	}
	return Loaded[S]{}, false, nil
}

// snapshotsOf reads the snapshots of a stream, oldest first, or only the last.
func (e *Executor) snapshotsOf(ctx context.Context, of string, onlyLast bool) ([]domain.Recorded, error) {
	patience, began := e.patienceOf(ctx), time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, patience.bears(), errSilent)
	defer cancel()
	failed := func(err error) error {
		patience.spend(time.Since(began))
		return e.readFailed(ctx, snapshotPrefix+of, err)
	}
	if onlyLast {
		last, ok, err := e.store.ReadLast(ctx, snapshotPrefix+of)
		switch {
		case err != nil && domain.KindOf(err) == domain.KindUndecodable:
			e.hooks.SnapshotIgnored(of, "it can't be decoded")
			return nil, nil
		case err != nil:
			return nil, failed(err)
		case !ok:
			return nil, nil
		}
		return []domain.Recorded{last}, nil
	}
	var all []domain.Recorded
	for r, err := range e.store.ReadStream(ctx, snapshotPrefix+of, 0) {
		if err != nil {
			if domain.KindOf(err) == domain.KindUndecodable {
				e.hooks.SnapshotIgnored(of, "it can't be decoded")
				continue
			}
			return nil, failed(err)
		}
		all = append(all[max(0, len(all)-snapshotsKept):], r) // an unbounded stream must not fill the memory
	}
	return all, nil
}

// restore makes a state of a snapshot, or says why it can't be trusted.
func restore[S any](aggregate *Aggregate[S], empty Loaded[S], r domain.Recorded) (loaded Loaded[S], reason string) {
	snapshot, ok := r.Event.(domain.SnapshotTaken)
	switch {
	case !ok:
		return loaded, "it is no snapshot"
	case snapshot.FoldVersion != aggregate.Fold:
		return loaded, "it is of another version of the fold"
	case snapshot.Checksum != checksum(empty.Stream, snapshot):
		return loaded, "its checksum is wrong"
	case snapshot.Revision < 0:
		return loaded, "it is of no event"
	}
	loaded = empty
	state, err := unpackState(snapshot.State)
	if err != nil {
		return loaded, "its state can't be unpacked"
	}
	decoder := json.NewDecoder(bytes.NewReader(state))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&loaded.State); err != nil {
		return loaded, "its state can't be read"
	}
	commands, err := unpackRecent(snapshot.Commands)
	if err != nil {
		return loaded, "its commands can't be read"
	}
	loaded.commands = commands
	loaded.Revision, loaded.Position, loaded.Meta.Hash = snapshot.Revision, snapshot.Position, snapshot.Hash
	loaded.snapshot, loaded.snapshotAt = snapshot.Revision, r.Meta.At
	return loaded, ""
}

// States from packedFrom bytes on are stored compressed: an account that has paid for thousands of orders
// would else outgrow what the store takes in one append. packedPrefix marks them; JSON can't begin so.
const (
	packedFrom   = 32 << 10
	packedPrefix = "gzip:"
	unpackedMost = 64 << 20 // bytes that a state may have unpacked
)

func packState(state []byte) (string, error) {
	if len(state) < packedFrom {
		return string(state), nil
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(state); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return packedPrefix + base64.StdEncoding.EncodeToString(packed.Bytes()), nil
}

func unpackState(text string) ([]byte, error) {
	encoded, packed := strings.CutPrefix(text, packedPrefix)
	if !packed {
		return []byte(text), nil
	}
	r, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, strings.NewReader(encoded)))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, unpackedMost))
}
