package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

func importEvents(p *program) *cobra.Command {
	var yes bool
	command := &cobra.Command{
		Use: "import FILE", Short: "append exported events; refuses what would corrupt a stream", Args: cobra.ExactArgs(1),
		Long: `Append events from an export, in its order, to a store that has none of these streams yet, or has exactly
their beginning. Without --yes the file is only checked. Refused are: gaps and repeats of revisions, streams that
differ from what is stored, events whose content does not match their hash, event types that this release can't
read, and streams outside the shop's.`,
	}
	command.Flags().BoolVar(&yes, "yes", false, "append them")
	command.RunE = func(command *cobra.Command, args []string) error {
		survey, err := surveyEvents(args[0])
		if err != nil {
			return err
		}
		if !p.needsYes(yes, fmt.Sprintf("Import %d events of %d streams from %s.", survey.events, len(survey.streams), args[0])) {
			return nil
		}
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error { return p.importEvents(ctx, store, args[0], survey.events) })
	}
	return command
}

// eventSurvey is what a file holds: the last revision and hash seen of each stream.
type eventSurvey struct {
	events  int64
	streams map[string]domain.Tip
}

// surveyEvents reads the whole file and refuses it if any line could corrupt a stream.
func surveyEvents(path string) (eventSurvey, error) {
	survey := eventSurvey{streams: map[string]domain.Tip{}}
	err := eachEvent(path, func(number int64, raw codec.Raw) error {
		survey.events++
		tip, seen := survey.streams[raw.Stream]
		if !seen {
			tip.Revision = domain.NoStream
		}
		if !importable(raw.Stream) {
			return fmt.Errorf("%q is none of the shop's streams", raw.Stream)
		}
		if raw.Revision != tip.Revision+1 {
			return fmt.Errorf("%s has revision %d after %d", raw.Stream, raw.Revision, tip.Revision)
		}
		if _, err := codec.Decode(raw); err != nil {
			return err
		}
		next, err := codec.Check(tip.Hash, raw)
		if err != nil {
			return err
		}
		survey.streams[raw.Stream] = domain.Tip{Revision: raw.Revision, Hash: next}
		return nil
	})
	return survey, err
}

func importable(stream string) bool {
	for _, prefix := range domainPrefixes {
		if len(stream) > len(prefix) && stream[:len(prefix)] == prefix {
			return true
		}
	}
	return false
}

// eachEvent calls do for each line; errors name the line.
func eachEvent(path string, do func(number int64, raw codec.Raw) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	scanner := lineScanner(file)
	scanner.Buffer(nil, 32<<20) // an event may be larger than an order's line
	number := int64(0)
	for scanner.Scan() {
		number++
		var line eventLine
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			return fmt.Errorf("%s line %d is no event: %w", path, number, err)
		}
		if err := do(number, line.raw()); err != nil {
			return fmt.Errorf("%s line %d: %w", path, number, err)
		}
	}
	return scanner.Err()
}

// runEvents and runBytes bound the lines that are appended together. Stores take 1 MiB in one append.
const (
	runEvents = 100
	runBytes  = 512 << 10
)

// importEvents appends runs of lines of one stream together. An interrupted import is repeated as it is:
// what is there already is recognised event by event.
func (p *program) importEvents(ctx context.Context, store *esdb.Store, path string, total int64) error {
	shown := newBars(p.errs)
	bar := shown.add("events", total)
	defer func() { bar.finish(); shown.wait() }()
	var run []codec.Raw
	size := 0
	flush := func() error {
		if len(run) == 0 {
			return nil
		}
		err := appendRun(ctx, store, run)
		bar.increment(int64(len(run)))
		run, size = run[:0], 0
		return err
	}
	err := eachEvent(path, func(_ int64, raw codec.Raw) error {
		bytes := len(raw.Data) + len(raw.Metadata)
		if len(run) > 0 && (run[0].Stream != raw.Stream || len(run) == runEvents || size+bytes > runBytes) {
			if err := flush(); err != nil {
				return err
			}
		}
		run, size = append(run, raw), size+bytes
		return nil
	})
	if err = errors.Join(err, flush()); err != nil {
		return err
	}
	return p.say(map[string]any{"events": total, "done": true}, "%d events are in the log.", total)
}

// appendRun appends consecutive events of one stream at exactly their revisions. Events that are stored
// already, with the same ids and content, are passed over.
func appendRun(ctx context.Context, store *esdb.Store, run []codec.Raw) error {
	stream := run[0].Stream
	for stored, err := range store.ReadStreamRaw(ctx, stream, run[0].Revision) {
		if err != nil {
			return err
		}
		if len(run) == 0 {
			break
		}
		if stored.ID != run[0].ID || codec.Hash(stored) != codec.Hash(run[0]) {
			return fmt.Errorf("%s@%d is stored already, as another event", stream, stored.Revision)
		}
		run = run[1:]
	}
	if len(run) == 0 {
		return nil
	}
	_, err := store.AppendRaw(ctx, stream, run[0].Revision-1, run)
	return err
}
