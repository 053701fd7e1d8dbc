package mongodocs

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// storedRow is a row on its way.
type storedRow struct {
	id     string
	stored bson.Raw
}

// writeRows writes the rows of all puts. They are functions of their streams, so an earlier one with the
// same id is the same, or one that a mended projection replaces. Sending them again does no harm, and a
// failure is that of the whole write, before its documents.
func (s *Store) writeRows(ctx context.Context, puts []readmodels.Put) error {
	places := map[string]map[string]bson.Raw{} // by collection and id; the last put wins
	for _, put := range puts {
		for _, row := range put.Rows {
			stored, err := encodeDocument(row, token{})
			if err != nil {
				return err
			}
			if places[put.RowsIn] == nil {
				places[put.RowsIn] = map[string]bson.Raw{}
			}
			places[put.RowsIn][row.ID] = stored
		}
	}
	for collection, byID := range places {
		if err := s.exists(ctx, collection); err != nil {
			return err
		}
		rows := make([]storedRow, 0, len(byID))
		for id, stored := range byID {
			rows = append(rows, storedRow{id, stored})
		}
		for chunk := range slices.Chunk(rows, s.options.Batch) {
			err := again(ctx, func() error { return translate(s.writeRowChunk(ctx, s.db.Collection(collection), chunk)) })
			if err != nil {
				return fmt.Errorf("write rows to %s: %w", collection, err)
			}
		}
	}
	return nil
}

// writeRowChunk inserts, which is the common case and the cheap one, and replaces what was there already.
func (s *Store) writeRowChunk(ctx context.Context, c *mongo.Collection, rows []storedRow) error {
	documents := make([]any, len(rows))
	for i, row := range rows {
		documents[i] = row.stored
	}
	_, err := c.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	taken, err := duplicates(err)
	if err != nil || len(taken) == 0 {
		return err
	}
	var models []mongo.WriteModel
	for i := range taken {
		models = append(models, mongo.NewReplaceOneModel().SetUpsert(true).
			SetFilter(bson.D{{Key: fieldID, Value: rows[i].id}}).SetReplacement(rows[i].stored))
	}
	_, err = c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	return err
}

// Delete implements readmodels.Documents.
func (s *Store) Delete(ctx context.Context, collection string, ids []string) error {
	if err := readmodels.CheckCollectionName(collection); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return again(ctx, func() error {
		return s.onPrimary(ctx, func(ctx context.Context) error {
			for chunk := range slices.Chunk(ids, idsPerCommand) {
				filter := bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: chunk}}}}
				_, err := s.db.Collection(collection).DeleteMany(ctx, filter)
				if err != nil && !hasCode(err, codeNamespaceNotFound) {
					return translate(fmt.Errorf("delete from %s: %w", collection, err))
				}
			}
			return nil
		})
	})
}
