package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlite"
)

// nodeCommand runs only the EventStoreDB-compatible node, and looks after its file.
func nodeCommand(p *program) *cobra.Command {
	var advertise string
	command := &cobra.Command{
		Use:   "node",
		Short: "run only the EventStoreDB-compatible node",
		Long: `Run only the embedded node: one EventStoreDB-compatible server over one SQLite file (DATA_DIR/events.db),
for developing and testing any EventStoreDB client without a container. It authenticates nobody, so keep it on
loopback. docs/node.md lists what it supports.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return p.runNode(command.Context(), advertise) },
	}
	command.Flags().StringVar(&advertise, "advertise", "", "host:port told to clients that discover nodes; empty: the address listened on")
	command.AddCommand(
		&cobra.Command{Use: "stats", Short: "what is in the file", Args: cobra.NoArgs, RunE: func(command *cobra.Command, _ []string) error {
			return p.withLog(p.logPath(), p.logStats)
		}},
		&cobra.Command{Use: "check [FILE]", Short: "prove that the file, or a backup, is sound", Args: cobra.MaximumNArgs(1), RunE: func(command *cobra.Command, args []string) error {
			return p.checkLog(command.Context(), args)
		}},
		&cobra.Command{Use: "backup FILE", Short: "copy the log to a new file, also while it is in use", Args: cobra.ExactArgs(1), RunE: func(command *cobra.Command, args []string) error {
			return p.backupLog(command.Context(), args[0])
		}},
		restoreCommand(p), scavengeCommand(p), compactCommand(p),
	)
	return command
}

func (p *program) logPath() string { return filepath.Join(p.config.DataDir, logFile) }

// runNode serves the node until it is told to stop.
func (p *program) runNode(ctx context.Context, advertise string) (err error) {
	began := time.Now()
	logger, err := p.logger()
	if err != nil {
		return err
	}
	addr := p.config.NodeAddr
	if addr == "off" {
		return usageError{errors.New("TIDEMARK_NODE_ADDR=off leaves nothing to run")}
	}
	listener, err := listen(addr, "TIDEMARK_NODE_ADDR")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closed(listener.Close())) }()
	data, err := openDataDir(p.config.DataDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	log, err := data.openLog()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	admin, err := p.nodeAdmin(data, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.server.Close()) }()

	ctx, shutdown := context.WithCancel(ctx)
	defer shutdown()
	node, err := esnode.New(log, esnode.Options{Log: logger, Advertise: advertise, Shutdown: shutdown})
	if err != nil {
		return usageError{err}
	}
	served := make(chan error, 1)
	go func() { served <- node.Serve(listener) }()
	reach := reachable(listener.Addr())
	if err := data.publish(addresses{Node: "esdb://" + reach + "?tls=false"}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "The node is ready after %s.\n\n  connect    esdb://%s?tls=false%s\n  data       %s\n",
		time.Since(began).Round(time.Millisecond), reach, openTo(p.config.NodeAddr), data.file(logFile))
	if admin.url != "" {
		fmt.Fprintf(p.out, "  metrics    %s/metrics%s\n", admin.url, openTo(p.config.AdminAddr))
	}
	select {
	case <-ctx.Done():
	case err = <-served:
	case err = <-admin.failed:
	case <-log.Failed():
		err = fmt.Errorf("the event log takes nothing any more: %w", log.Err())
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	return errors.Join(err, node.Stop(stopping))
}

// holdDirOf keeps other processes away from the directory of a log that is there.
func holdDirOf(path string) (*dataDir, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%s can't be read: %w", path, cause(err))
	}
	return openDataDir(filepath.Dir(path))
}

// withLog opens a log that no other process has.
func (p *program) withLog(path string, do func(*eventlog.Log) error) (err error) {
	data, err := holdDirOf(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	log, err := eventlog.Open(path, eventlog.Options{})
	if err != nil {
		return plainOpen(path, err)
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return do(log)
}

// checkLog checks a copy, so that neither a log in use nor a backup is touched by the check.
func (p *program) checkLog(ctx context.Context, args []string) error {
	path := p.logPath()
	if len(args) == 1 {
		path = args[0]
	}
	return withCopy(ctx, path, func(copied string) error {
		log, err := eventlog.Open(copied, eventlog.Options{})
		if err != nil {
			return plainOpen(path, err)
		}
		stats := log.Stats()
		if err := errors.Join(log.Check(ctx), log.Close()); err != nil {
			return fmt.Errorf("%s is not sound: %w", path, err)
		}
		return p.say(map[string]any{"file": path, "events": stats.Events, "streams": stats.Streams, "sound": true},
			"%s is sound: %d events in %d streams.", path, stats.Events, stats.Streams)
	})
}

// logStats prints what is in the file; what a running node counts besides is in its metrics.
func (p *program) logStats(log *eventlog.Log) error {
	s := log.Stats()
	return p.say(map[string]int64{"head": s.Head, "events": s.Events, "streams": s.Streams, "fileBytes": s.FileBytes, "walBytes": s.WALBytes},
		"%d events in %d streams; the newest is at position %d. The file has %d bytes, what is not merged into it yet %d.",
		s.Events, s.Streams, s.Head, s.FileBytes, s.WALBytes)
}

// backupLog writes a consistent copy; SQLite itself coordinates with the process that writes the log.
func (p *program) backupLog(ctx context.Context, target string) error {
	if err := sqlite.BackupFile(ctx, p.logPath(), target); err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	return p.say(map[string]any{"file": target, "bytes": info.Size()}, "%s: %d bytes.", target, info.Size())
}

// withCopy gives do a copy of a log in a directory that is removed afterwards.
func withCopy(ctx context.Context, path string, do func(copied string) error) (err error) {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("%s can't be read: %w", path, cause(err))
	}
	dir, err := os.MkdirTemp("", "tidemark-check-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, logFile)
	if err := sqlite.BackupFile(ctx, path, copied); err != nil {
		return err
	}
	return do(copied)
}

func restoreCommand(p *program) *cobra.Command {
	var yes bool
	command := &cobra.Command{Use: "restore FILE", Short: "put a backup in place; documents are made anew from it", Args: cobra.ExactArgs(1)}
	command.Flags().BoolVar(&yes, "yes", false, "do it")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		data, err := openDataDir(p.config.DataDir)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, data.Close()) }()
		if !p.needsYes(yes, fmt.Sprintf("Restore %s to %s; what is there is kept beside it, and documents are made anew.", args[0], data.file(logFile))) {
			return nil
		}
		return p.restore(command.Context(), data, args[0])
	}
	return command
}

// restore moves the old files aside and copies the backup in. The rename comes last: a crash before it
// leaves the old log aside and whole, never a half-copied one in place.
func (p *program) restore(ctx context.Context, data *dataDir, backup string) error {
	incoming := data.file(incomingFile)
	err := stage(backup, incoming)
	if err == nil {
		err = sound(ctx, incoming)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s is not put in place: %w", backup, err), unstage(incoming))
	}
	suffix := ".before-" + time.Now().UTC().Format("20060102T150405.000000Z")
	for _, name := range []string{logFile, logFile + walSuffix, logFile + shmSuffix, documentsFile, documentsFile + walSuffix, documentsFile + shmSuffix} {
		if err := ignoreMissing(os.Rename(data.file(name), data.file(name+suffix))); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Rename(incoming, data.file(logFile)), syncDir(data.path)); err != nil {
		return err
	}
	return p.say(map[string]any{"file": data.file(logFile), "before": suffix},
		"%s is in place; what was there has the ending %s.", data.file(logFile), suffix)
}

// stage copies a backup. One that was taken by copying the files of a log has its newest events in a write-ahead
// log beside it; what an earlier try left there would be taken for that.
func stage(backup, incoming string) error {
	if err := errors.Join(unstage(incoming), copyFile(backup, incoming)); err != nil {
		return err
	}
	return ignoreMissing(copyFile(backup+walSuffix, incoming+walSuffix))
}

func unstage(incoming string) error {
	return errors.Join(ignoreMissing(os.Remove(incoming)), ignoreMissing(os.Remove(incoming+walSuffix)), ignoreMissing(os.Remove(incoming+shmSuffix)))
}

// SQLite's files beside a database.
const (
	walSuffix = "-wal"
	shmSuffix = "-shm"
)

// syncDir puts the names in a directory on the disk.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// sound proves a log that nobody else has open; what is in its write-ahead log is in the file then.
func sound(ctx context.Context, path string) error {
	log, err := eventlog.Open(path, eventlog.Options{})
	if err != nil {
		return err
	}
	if err := errors.Join(log.Check(ctx), log.Close()); err != nil {
		return err
	}
	if _, err := os.Stat(path + walSuffix); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(errors.New("its write-ahead log could not be merged into it"), err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, copyErr := io.Copy(target, source)
	return errors.Join(copyErr, target.Sync(), target.Close())
}

func scavengeCommand(p *program) *cobra.Command {
	var yes bool
	command := &cobra.Command{Use: "scavenge", Short: "remove deleted, truncated and expired events from the file for good", Args: cobra.NoArgs}
	command.Flags().BoolVar(&yes, "yes", false, "do it")
	command.RunE = func(command *cobra.Command, _ []string) error {
		if !p.needsYes(yes, "Scavenge "+p.logPath()+": events that no stream shows any more are removed for good.") {
			return nil
		}
		return p.withLog(p.logPath(), func(log *eventlog.Log) error {
			result, err := log.Scavenge(command.Context())
			if err != nil {
				return err
			}
			return p.say(map[string]int64{"events": result.Events, "bytes": result.Bytes, "streams": result.Streams},
				"%d events (%d bytes) of %d streams removed.\nThe file keeps its size and uses the space again; \"tidemark node compact\" gives it back.",
				result.Events, result.Bytes, result.Streams)
		})
	}
	return command
}

func compactCommand(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "compact",
		Short: "give the space that scavenges have freed back to the file system",
		Long: `Rewrite DATA_DIR/events.db without the space that scavenges have freed. Nothing may be running on the data directory.
The new file is written beside the old one, so there has to be room for it: at most the old file's size. It takes the old
one's place when it is checked and on the disk; a crash at any time leaves one of the two there, whole, and at worst a
file events.db.compact, which may be removed and is by the next run.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return p.compactLog(command.Context(), p.logPath()) },
	}
}

func (p *program) compactLog(ctx context.Context, path string) (err error) {
	data, err := holdDirOf(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.Close()) }()
	before, after, err := eventlog.Compact(ctx, path)
	if err != nil {
		return plainOpen(path, err)
	}
	return p.say(map[string]any{"file": path, "bytes": after, "before": before}, "%s: %d bytes, %d before.", path, after, before)
}
