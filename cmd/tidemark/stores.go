package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode"
	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
	"github.com/tidemark-dev/tidemark/infrastructure/mongodocs"
	"github.com/tidemark-dev/tidemark/infrastructure/sqlitedocs"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
)

// Files of the embedded mode.
const (
	logFile       = "events.db"
	incomingFile  = logFile + ".incoming" // what a restore is about to put in place
	documentsFile = "documents.db"
	identityFile  = "identity"
)

// dataFiles are those that grow.
var dataFiles = []string{logFile, logFile + "-wal", documentsFile, documentsFile + "-wal"}

// reachWithin bounds how long a start waits for stores that are elsewhere.
const reachWithin = 15 * time.Second

// openStores opens the event store and the document store, embedded or elsewhere.
func (a *app) openStores(ctx context.Context) error {
	if a.config.Eventstore == "embedded" || a.config.Documents == "embedded" {
		data, err := openDataDir(a.config.DataDir)
		if err != nil {
			return err
		}
		a.data = data
		a.metrics.DataDir(data.path, dataFiles)
		a.onStop("data directory", func(context.Context) error { return data.Close() })
	}
	connection := a.config.Eventstore
	if connection == "embedded" {
		var err error
		if connection, err = a.openNode(); err != nil {
			return err
		}
	}
	store, err := esdb.Open(connection, esdb.Options{Logger: a.log, Hooks: a.storeHooks()})
	if err != nil {
		return fmt.Errorf("TIDEMARK_EVENTSTORE: %w", err)
	}
	a.onStop("event store", store.Close)
	a.store, a.events = store, telemetry.EventStore(store, a.metrics)
	if err := a.openDocuments(ctx); err != nil {
		return err
	}
	return a.reachStores(ctx)
}

// openNode starts the embedded node and gives the connection string of this process.
func (a *app) openNode() (string, error) {
	addr := a.config.NodeAddr
	if addr == "off" {
		// The official client can't be handed a connection, so the node listens on a port that nobody is told.
		addr = "127.0.0.1:0"
	}
	listener, err := listen(addr, "TIDEMARK_NODE_ADDR")
	if err != nil {
		return "", err
	}
	log, err := a.data.openLog()
	if err != nil {
		return "", errors.Join(err, closed(listener.Close()))
	}
	a.onStop("event log", func(context.Context) error { return log.Close() })
	a.metrics.Engine(engineState(log))
	node, err := esnode.New(log, esnode.Options{Log: a.log})
	if err != nil {
		return "", errors.Join(err, closed(listener.Close()))
	}
	a.onStop("node", node.Stop)
	go func() { // ends when the node stops
		if err := node.Serve(listener); err != nil {
			a.fail(fmt.Errorf("the embedded node ended: %w", err))
		}
	}()
	a.background(func(ctx context.Context) {
		select {
		case <-log.Failed():
			a.fail(fmt.Errorf("the event log takes nothing any more: %w", log.Err()))
		case <-ctx.Done():
		}
	})
	reach := reachable(listener.Addr())
	if a.config.NodeAddr != "off" {
		a.nodeAddr = reach
	}
	return "esdb://" + reach + "?tls=false", nil
}

// openLog opens the log of the node, or begins one. It refuses a directory in which a restore broke off between setting
// the old log aside and putting the new one in place: an empty log would take its place.
func (d *dataDir) openLog() (*eventlog.Log, error) {
	path := d.file(logFile)
	_, missing := os.Stat(path)
	if _, err := os.Stat(d.file(incomingFile)); err == nil && errors.Is(missing, os.ErrNotExist) {
		return nil, fmt.Errorf("data directory %s has no log, but one that a restore did not put in place; run tidemark node restore again", d.path)
	}
	log, err := eventlog.Open(path, eventlog.Options{Projections: builtinProjections})
	if err != nil {
		return nil, plainOpen(path, err)
	}
	return log, nil
}

// engineState tells metrics how a log is.
func engineState(log *eventlog.Log) func() telemetry.EngineState {
	return func() telemetry.EngineState {
		s := log.Stats()
		return telemetry.EngineState{Events: s.Events, Commits: s.Commits, CommitTime: s.CommitTime, Queued: s.Queued}
	}
}

// builtinProjections run in the embedded node from its first start, as in compose.yaml.
var builtinProjections = []string{eventlog.ByCategory, eventlog.ByEventType, eventlog.Streams, eventlog.StreamByCategory, eventlog.ByCorrelationID}

// reachable is a listener's address as somebody on this machine dials it.
func reachable(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func (a *app) openDocuments(ctx context.Context) error {
	if a.config.Documents != "embedded" {
		store, err := mongodocs.Open(ctx, a.config.Documents, mongodocs.Options{
			SecondaryReads: a.config.DocumentsSecondaryReads == "on", Finished: a.documentCommand,
		})
		if err != nil {
			return a.silent("DOCUMENTS", a.config.Documents, err)
		}
		a.onStop("documents", func(context.Context) error { return store.Close() })
		a.documents = telemetry.Documents(store, a.metrics)
		return nil
	}
	store, err := sqlitedocs.Open(a.data.file(documentsFile), sqlitedocs.Options{Failed: a.fail})
	if err != nil {
		return plainOpen(a.data.file(documentsFile), err)
	}
	a.onStop("documents", func(context.Context) error { return store.Close() })
	a.documents = telemetry.Documents(store, a.metrics)
	if a.config.Eventstore != "embedded" {
		if a.private, err = a.data.identity(); err != nil {
			return err
		}
	}
	return nil
}

// identity is a short random name of the data directory, made at its first use. Private documents over a
// shared log need consumer groups of their own, or two processes would each get half of the events.
func (d *dataDir) identity() (string, error) {
	text, err := os.ReadFile(d.file(identityFile))
	if err == nil {
		return strings.TrimSpace(string(text)), nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	name := make([]byte, 4)
	if _, err := rand.Read(name); err != nil {
		return "", err
	}
	return hex.EncodeToString(name), os.WriteFile(d.file(identityFile), []byte(hex.EncodeToString(name)+"\n"), 0o600)
}

// plainOpen makes one line of a failure to open a file of ours.
func plainOpen(path string, err error) error { return fmt.Errorf("%s can't be opened: %w", path, err) }

// reachStores fails the start if a store does not answer: a process that can't work says so at once.
func (a *app) reachStores(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, reachWithin)
	defer cancel()
	if err := a.store.Ping(ctx); err != nil {
		select {
		case ended := <-a.fatal: // the embedded node knows better why
			return ended
		default:
			return a.silent("EVENTSTORE", a.config.Eventstore, err)
		}
	}
	if err := a.documents.Ping(ctx); err != nil {
		return a.silent("DOCUMENTS", a.config.Documents, err)
	}
	return nil
}

// documentCommand counts what the driver sends, its own retries included. Failures reach a caller who says more;
// those that a retry hides are only here.
func (a *app) documentCommand(_ context.Context, c mongodocs.Command) {
	a.metrics.DocumentCommand(c.Name, c.Took, c.Failure)
	if c.Failure != nil {
		a.log.Debug("a command of the document store failed", "command", c.Name, "collection", c.Collection, "took", c.Took, "error", c.Failure)
	}
}

// silent is one line about a store that can't be reached; what its driver says is long and for the log.
func (a *app) silent(setting, connection string, err error) error {
	a.log.Debug("a store does not answer", "setting", envPrefix+"_"+setting, "error", err)
	return fmt.Errorf("%s_%s=%s does not answer; TIDEMARK_LOG_LEVEL=debug tells more", envPrefix, setting, redact(connection))
}

func (a *app) storeHooks() esdb.Hooks {
	return esdb.Hooks{
		Abandoned:    a.metrics.Abandoned,
		Outcome:      a.metrics.Answered,
		Subscribed:   func(group string) { a.followed.Store(group, true) },
		Connected:    func() { a.metrics.Connected(true); a.metrics.Reconnected("client") },
		Disconnected: func(error) { a.metrics.Connected(false) },
		Panicked:     a.metrics.Panicked,
		Resubscribed: func(subscription string, _ error) { a.metrics.Reconnected(subscription) },
	}
}
