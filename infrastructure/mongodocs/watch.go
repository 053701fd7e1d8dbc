package mongodocs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// awaitChange is how long the server waits for a change before it says that there is none.
const awaitChange = time.Second

var errWatchEnded = errors.New("the collection was dropped or renamed")

// Watch implements readmodels.Watcher by a change stream, which hears of every process's writes. The first call of
// changed has no ids: it says that the watch has begun. A server without change streams (one that is not in
// a replica set, FerretDB) gives an error that is errors.ErrUnsupported; then readers have to poll.
func (s *Store) Watch(ctx context.Context, collection string, changed func(ids []string)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.life, cancel)()
	pipeline := mongo.Pipeline{
		{{Key: "$match", Value: bson.D{{Key: "operationType", Value: bson.D{{Key: "$in", Value: bson.A{"insert", "replace", "update", "drop", "rename", "invalidate"}}}}}}},
		{{Key: "$project", Value: bson.D{{Key: "documentKey", Value: 1}}}},
	}
	stream, err := s.db.Collection(collection).Watch(ctx, pipeline, options.ChangeStream().SetBatchSize(idsPerCommand).SetMaxAwaitTime(awaitChange))
	if err != nil {
		if hasCode(err, codeUnknownStage, codeNotReplicaSet, codeNotImplemented, codeCommandUnsupported) {
			return fmt.Errorf("watch %s: %w: %w", collection, errors.ErrUnsupported, err)
		}
		return s.watchEnded(ctx, err)
	}
	defer func() { _ = stream.Close(context.WithoutCancel(ctx)) }() // the client's timeout bounds it
	changed(nil)
	var ids []string
	for {
		// Next would take all of the silence for one call and give up when the client's timeout is over.
		if !stream.TryNext(ctx) {
			if stream.Err() != nil || stream.ID() == 0 {
				return s.watchEnded(ctx, stream.Err())
			}
			continue
		}
		if id, ok := stream.Current.Lookup("documentKey", fieldID).StringValueOK(); ok {
			ids = append(ids, id)
		}
		if stream.RemainingBatchLength() == 0 && len(ids) > 0 {
			changed(ids)
			ids = nil
		}
	}
}

func (s *Store) watchEnded(ctx context.Context, err error) error {
	if s.life.Err() != nil {
		return readmodels.StoreUnavailable(mongo.ErrClientDisconnected)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		err = errWatchEnded
	}
	return readmodels.StoreUnavailable(err)
}
