package mongodocs

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// A watch is one change stream for as long as nothing breaks, however long nothing changes.
func TestWatchOutlastsSilence(t *testing.T) {
	t.Parallel()
	const within, await = 2 * time.Second, 100 * time.Millisecond
	silent := int(within/await) + 5 // answers without a change: together they take longer than any call may
	w, uri := openWire(t, ferretURI(t))
	store := open(t, uri, Options{Timeout: within})
	batch := func(which string, events ...any) bson.D {
		return bson.D{{Key: "ok", Value: 1.0}, {Key: "cursor", Value: bson.D{
			{Key: "id", Value: int64(7)}, {Key: "ns", Value: "tidemark.things"}, {Key: which, Value: append(bson.A{}, events...)},
			{Key: "postBatchResumeToken", Value: bson.D{{Key: "_data", Value: "8265"}}},
		}}}
	}
	change := bson.D{{Key: "_id", Value: bson.D{{Key: "_data", Value: "8266"}}}, {Key: "documentKey", Value: bson.D{{Key: "_id", Value: "a"}}}}
	w.play(func(command string, _ bson.Raw) fate {
		switch command {
		case "aggregate":
			return fate{answer: batch("firstBatch")}
		case "getMore":
			silent--
			if silent == 0 {
				return fate{answer: batch("nextBatch", change)}
			}
			over := make(chan struct{})
			time.AfterFunc(await, func() { close(over) })
			return fate{answer: batch("nextBatch"), wait: over}
		case "killCursors":
			return fate{answer: bson.D{{Key: "ok", Value: 1.0}}}
		}
		return fate{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen, ended := make(chan []string, 10), make(chan error, 1)
	go func() { ended <- store.Watch(ctx, "things", func(ids []string) { seen <- ids }) }()
	for _, want := range [][]string{nil, {"a"}} {
		select {
		case ids := <-seen:
			if !slices.Equal(ids, want) {
				t.Fatalf("told of %v, want %v", ids, want)
			}
		case err := <-ended:
			t.Fatalf("the watch ended: %v", err)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the watch ended with %v", err)
	}
	if n := w.count("aggregate"); n != 1 {
		t.Errorf("%d change streams", n)
	}
}
