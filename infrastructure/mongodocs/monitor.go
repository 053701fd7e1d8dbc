package mongodocs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/event"
)

// Command is one command sent to a server, for traces and metrics. It never has content.
type Command struct {
	Name       string // "find", "update"
	Collection string // empty where the command has none
	Request    int64  // ties the start to the end
	Took       time.Duration
	Failure    error // nil if the server answered that it did it
}

// sentKey carries an *atomic.Bool in a context; it becomes true when a command that writes goes out. As long as it is
// false, certainly nothing was done.
type sentKey struct{}

func watchSending(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

// monitor listens to the driver.
func monitor(started, finished func(context.Context, Command)) *event.CommandMonitor {
	var collections sync.Map // request id → collection
	ended := func(ctx context.Context, e event.CommandFinishedEvent, failure error) {
		collection, _ := collections.LoadAndDelete(e.RequestID)
		name, _ := collection.(string)
		finished(ctx, Command{Name: e.CommandName, Collection: name, Request: e.RequestID, Took: e.Duration, Failure: failure})
	}
	m := &event.CommandMonitor{Started: func(ctx context.Context, e *event.CommandStartedEvent) {
		if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok && (e.CommandName == "insert" || e.CommandName == "update" || e.CommandName == "delete") {
			sent.Store(true)
		}
		if started == nil && finished == nil {
			return
		}
		collection, _ := e.Command.Lookup(e.CommandName).StringValueOK()
		if finished != nil {
			collections.Store(e.RequestID, collection)
		}
		if started != nil {
			started(ctx, Command{Name: e.CommandName, Collection: collection, Request: e.RequestID})
		}
	}}
	if finished != nil {
		m.Succeeded = func(ctx context.Context, e *event.CommandSucceededEvent) { ended(ctx, e.CommandFinishedEvent, nil) }
		m.Failed = func(ctx context.Context, e *event.CommandFailedEvent) {
			ended(ctx, e.CommandFinishedEvent, e.Failure)
		}
	}
	return m
}
