package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/codec"
	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// domainPrefixes are the streams that the shop's events are in.
var domainPrefixes = []string{"order-", "product-", "inventory-", "account-", "fulfilment-"}

// eventLine is one event of an export: everything that it takes to reproduce the stream elsewhere.
type eventLine struct {
	Stream   string          `json:"stream"`
	Revision int64           `json:"revision"`
	Position uint64          `json:"position"`
	ID       string          `json:"id"`
	Type     string          `json:"type"`
	Stored   time.Time       `json:"stored"`
	Data     json.RawMessage `json:"data,omitempty"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
	// Bytes that JSON would not give back unchanged.
	RawData     []byte `json:"rawData,omitempty"`
	RawMetadata []byte `json:"rawMetadata,omitempty"`
}

func eventsCommand(p *program) *cobra.Command {
	command := &cobra.Command{Use: "events", Short: "look at, export, import and prove the log", Args: cobra.NoArgs, RunE: groupUsage}
	command.AddCommand(showEvents(p), tailEvents(p), exportEvents(p), importEvents(p), checkEvents(p), verifyEvents(p), checkpointCommand(p))
	return command
}

// withEvents opens the event store: the configured one, or the node of the process that holds the data.
func (p *program) withEvents(ctx context.Context, do func(*esdb.Store) error) error {
	if p.config.Eventstore == "embedded" {
		if _, err := os.Stat(p.logPath()); p.config.API != "" && errors.Is(err, os.ErrNotExist) { // an empty answer would be taken for the service's
			return usageError{fmt.Errorf("these commands read the event store itself, and there is none in %s: name it with --eventstore or --data-dir; --api does not lead to it", p.config.DataDir)}
		}
		app, err := p.openForOperator(ctx)
		if err == nil {
			return errors.Join(do(app.store), stopApp(ctx, app))
		}
		if !errors.Is(err, errLocked) {
			return err
		}
		a, readErr := publishedAddresses(p.config.DataDir)
		if readErr != nil || a.Node == "" {
			return fmt.Errorf("%w and shows no node; name one with --eventstore", err)
		}
		p.config.Eventstore = a.Node
	}
	store, err := esdb.Open(p.config.Eventstore, esdb.Options{})
	if err != nil {
		return fmt.Errorf("TIDEMARK_EVENTSTORE: %w", err)
	}
	workErr := do(store)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(workErr, store.Close(closing))
}

func showEvents(p *program) *cobra.Command {
	var from int64
	command := &cobra.Command{Use: "show STREAM", Short: "one stream, decoded", Args: cobra.ExactArgs(1)}
	command.Flags().Int64Var(&from, "from", 0, "first revision")
	command.RunE = func(command *cobra.Command, args []string) error {
		if from < 0 {
			return usageError{fmt.Errorf("--from %d is below 0", from)}
		}
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error {
			found := false
			for raw, err := range store.ReadStreamRaw(ctx, args[0], from) {
				if err != nil {
					return err
				}
				found = true
				if err := p.printEvent(raw); err != nil {
					return err
				}
			}
			if !found {
				return fmt.Errorf("stream %s has no events from revision %d on", args[0], from)
			}
			return nil
		})
	}
	return command
}

// printEvent prints an event as a line of the export, or as two lines for a person.
func (p *program) printEvent(raw codec.Raw) error {
	if p.json {
		return json.NewEncoder(p.out).Encode(lineOf(raw))
	}
	recorded, err := codec.Decode(raw)
	note := ""
	if err != nil {
		note = "  (this release can't read it: " + domain.CodeOf(err) + ")"
	}
	_, err = fmt.Fprintf(p.out, "%s  %s@%d  %s v%d  by %s%s\n    %s\n", recorded.Meta.At.Format(time.RFC3339), spelt(raw.Stream, ""), raw.Revision,
		spelt(raw.Type, ""), recorded.Meta.SchemaVersion, spelt(orUnknown(recorded.Meta.Actor), ""), note, raw.Data)
	return err
}

func orUnknown(s string) string {
	if s == "" {
		return "?"
	}
	return s
}

func tailEvents(p *program) *cobra.Command {
	var from string
	var prefixes []string
	command := &cobra.Command{Use: "tail", Short: "follow the log until interrupted", Args: cobra.NoArgs}
	command.Flags().StringVar(&from, "from", "end", "start, end or a position")
	command.Flags().StringSliceVar(&prefixes, "prefix", domainPrefixes, "stream prefixes")
	command.RunE = func(command *cobra.Command, _ []string) error {
		start, err := parseFrom(from)
		if err != nil {
			return err
		}
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error {
			err := store.TailRaw(ctx, start, prefixes, func(raw codec.Raw, _ bool) error { return p.printEvent(raw) })
			if ctx.Err() != nil {
				return nil
			}
			return err
		})
	}
	return command
}

func parseFrom(text string) (domain.From, error) {
	switch text {
	case "start":
		return domain.From{}, nil
	case "end":
		return domain.From{End: true}, nil
	}
	position, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return domain.From{}, usageError{fmt.Errorf("--from %q is neither start, end nor a position", text)}
	}
	return domain.From{Position: position}, nil
}

func lineOf(raw codec.Raw) eventLine {
	line := eventLine{Stream: raw.Stream, Revision: raw.Revision, Position: raw.Position, ID: raw.ID, Type: raw.Type, Stored: raw.Stored}
	if unchangedByJSON(raw.Data) {
		line.Data = raw.Data
	} else {
		line.RawData = raw.Data
	}
	if unchangedByJSON(raw.Metadata) {
		line.Metadata = raw.Metadata
	} else {
		line.RawMetadata = raw.Metadata
	}
	return line
}

// unchangedByJSON says whether bytes come back the same after they were a value in a line of JSON.
func unchangedByJSON(text []byte) bool {
	var compact bytes.Buffer
	if len(text) == 0 || json.Compact(&compact, text) != nil {
		return false
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, compact.Bytes())
	return bytes.Equal(escaped.Bytes(), text)
}

func (l eventLine) raw() codec.Raw {
	raw := codec.Raw{Stream: l.Stream, Revision: l.Revision, Position: l.Position, ID: l.ID, Type: l.Type, Stored: l.Stored, Data: l.Data, Metadata: l.Metadata}
	if len(l.Data) == 0 {
		raw.Data = l.RawData
	}
	if len(l.Metadata) == 0 {
		raw.Metadata = l.RawMetadata
	}
	return raw
}

func exportEvents(p *program) *cobra.Command {
	var out, stream string
	var prefixes []string
	var mask bool
	command := &cobra.Command{
		Use: "export", Short: "write events as NDJSON with everything to reproduce them elsewhere", Args: cobra.NoArgs,
		Long: `Write events as NDJSON, one a line, in the order of the log, with everything that it takes to reproduce them
elsewhere. With --mask personal fields (customer ids, addresses, notes, references, actors) are replaced by stable
pseudonyms; such events carry no hashes, because their content is no longer what was hashed.`,
	}
	command.Flags().StringVar(&out, "out", "-", "file to write; - for standard output")
	command.Flags().StringVar(&stream, "stream", "", "only this stream")
	command.Flags().StringSliceVar(&prefixes, "prefix", domainPrefixes, "stream prefixes")
	command.Flags().BoolVar(&mask, "mask", false, "replace personal fields by pseudonyms")
	command.RunE = func(command *cobra.Command, _ []string) error {
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error {
			events := store.ReadAllRaw(ctx, domain.From{}, prefixes)
			if stream != "" {
				events = store.ReadStreamRaw(ctx, stream, 0)
			}
			count := int64(0)
			err := exportTo(out, p.bytes(), func(target io.Writer) (err error) {
				count, err = p.export(target, events, mask)
				if err == nil && count == 0 && stream != "" {
					err = fmt.Errorf("stream %s has no events", stream)
				}
				return err
			})
			if err != nil || out == "-" {
				return err
			}
			return p.say(map[string]any{"events": count, "file": out}, "%d events are in %s.", count, out)
		})
	}
	return command
}

// exportTo gives write a new file, which is removed again if writing fails, or standard output.
func exportTo(path string, standard io.Writer, write func(io.Writer) error) error {
	if path == "-" {
		return write(standard)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path)) // half an export looks like a whole one
	}
	return nil
}

func (p *program) export(target io.Writer, events iter.Seq2[codec.Raw, error], mask bool) (count int64, err error) {
	encoder := json.NewEncoder(target)
	masker := newMasker()
	shown := newBars(p.errs)
	line := shown.add("events", 0)
	defer func() { line.finish(); shown.wait() }()
	for raw, err := range events {
		if err == nil && mask {
			raw, err = masker.mask(raw)
		}
		if err == nil {
			err = encoder.Encode(lineOf(raw))
		}
		if err != nil {
			return count, err
		}
		count++
		line.increment(1)
	}
	return count, nil
}

func checkEvents(p *program) *cobra.Command {
	return &cobra.Command{Use: "check", Short: "look for events that this release can't read; exit code 1 if there are any", Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
		ctx := command.Context()
		return p.withEvents(ctx, func(store *esdb.Store) error {
			unreadable, total := []string{}, 0
			for raw, err := range store.ReadAllRaw(ctx, domain.From{}, domainPrefixes) {
				if err != nil {
					return err
				}
				total++
				if _, err := codec.Decode(raw); err != nil {
					unreadable = append(unreadable, fmt.Sprintf("%s@%d %s: %v", raw.Stream, raw.Revision, raw.Type, err))
				}
			}
			err := p.say(map[string]any{"events": total, "unreadable": unreadable},
				"%s%d events read, %d unreadable.", lines(unreadable), total, len(unreadable))
			if err == nil && len(unreadable) > 0 {
				err = errDrift
			}
			return err
		})
	}}
}
