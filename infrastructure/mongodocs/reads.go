package mongodocs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// withoutToken leaves out what only writes need.
var withoutToken = bson.D{{Key: fieldToken, Value: int32(0)}}

// Load implements readmodels.Documents.
func (s *Store) Load(ctx context.Context, collection string, ids []string) ([]readmodels.Document, error) {
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	documents := make([]readmodels.Document, 0, len(ids))
	err := s.onPrimary(ctx, func(ctx context.Context) error {
		for chunk := range slices.Chunk(ids, idsPerCommand) {
			filter := bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: chunk}}}}
			if len(chunk) == 1 {
				filter = bson.D{{Key: fieldID, Value: chunk[0]}}
			}
			cursor, err := s.db.Collection(collection).Find(ctx, filter, options.Find().SetProjection(withoutToken).SetBatchSize(idsPerCommand))
			if err != nil {
				return err
			}
			if err := collect(ctx, cursor, &documents); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, translate(fmt.Errorf("load from %s: %w", collection, err))
	}
	return documents, nil
}

// collect appends the documents of a cursor and closes it.
func collect(ctx context.Context, cursor *mongo.Cursor, documents *[]readmodels.Document) error {
	defer func() { _ = cursor.Close(ctx) }() // what there is to say, Err has said
	for cursor.Next(ctx) {
		document, err := decodeDocument(cursor.Current)
		if err != nil {
			return unreadableError{err}
		}
		*documents = append(*documents, document)
	}
	return cursor.Err()
}

// Find implements readmodels.Documents.
func (s *Store) Find(ctx context.Context, collection string, find readmodels.Find) ([]readmodels.Document, error) {
	if err := find.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	keys := sortKeys(find.Sort)
	order := make(bson.D, len(keys))
	for i, key := range keys {
		order[i] = bson.E{Key: fieldOf(key.Path), Value: direction(key)}
	}
	terms := conditions(find.Where, find.Hidden)
	if find.After != nil {
		terms = append(terms, after(keys, cursorOf(find))...)
	}
	opts := options.Find().SetSort(order).SetLimit(int64(find.Limit)).SetBatchSize(int32(find.Limit)).SetProjection(withoutToken)
	documents := []readmodels.Document{}
	err := s.onAny(ctx, collection, func(ctx context.Context, c *mongo.Collection) error {
		documents = documents[:0] // this may be the second server that is asked
		cursor, err := c.Find(ctx, all(terms), opts)
		if err != nil {
			return err
		}
		return collect(ctx, cursor, &documents)
	})
	if err != nil {
		return nil, translate(fmt.Errorf("find in %s: %w", collection, err))
	}
	return documents, nil
}

// Group implements readmodels.Documents. A document without the path is in the group of the empty string; an
// integer in By is written in decimals; what is no integer adds nothing to a sum. A sum beyond
// int64 is an error.
func (s *Store) Group(ctx context.Context, collection string, grouping readmodels.Grouping) ([]readmodels.Total, error) {
	if err := grouping.Check(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	var by any
	if len(grouping.By) > 0 {
		keys := bson.D{}
		for i, path := range grouping.By {
			keys = append(keys, bson.E{Key: groupKey(i), Value: "$" + fieldOf(path)})
		}
		by = keys
	}
	match := bson.D{{Key: "$match", Value: all(conditions(grouping.Where, false))}}
	totals := []readmodels.Total{}
	err := s.onAny(ctx, collection, func(ctx context.Context, c *mongo.Collection) error {
		var rows []bson.Raw
		for _, accumulators := range s.accumulators(grouping) {
			group := bson.D{{Key: "$group", Value: append(bson.D{{Key: fieldID, Value: by}}, accumulators...)}}
			cursor, err := c.Aggregate(ctx, mongo.Pipeline{match, group})
			if err != nil {
				return err
			}
			var some []bson.Raw
			if err := cursor.All(ctx, &some); err != nil {
				return err
			}
			rows = append(rows, some...)
		}
		var err error
		totals, err = merge(rows, grouping)
		return err
	})
	if err != nil {
		return nil, translate(fmt.Errorf("group %s: %w", collection, err))
	}
	return totals, nil
}

// accumulators gives the count and the sums: all for one stage, but each for its own at FerretDB.
func (s *Store) accumulators(grouping readmodels.Grouping) []bson.D {
	wanted := bson.D{{Key: "count", Value: bson.D{{Key: "$sum", Value: int64(1)}}}}
	for i, path := range grouping.Sum {
		wanted = append(wanted, bson.E{Key: sumKey(i), Value: bson.D{{Key: "$sum", Value: "$" + fieldOf(path)}}})
	}
	if s.turn == nil {
		return []bson.D{wanted}
	}
	var single []bson.D
	for _, accumulator := range wanted {
		single = append(single, bson.D{accumulator})
	}
	return single
}

func groupKey(i int) string { return "k" + strconv.Itoa(i) }
func sumKey(i int) string   { return "s" + strconv.Itoa(i) }

// merge reads the server's groups, which may come in parts; to it the empty string and a missing field are two.
func merge(rows []bson.Raw, grouping readmodels.Grouping) ([]readmodels.Total, error) {
	totals := make([]readmodels.Total, 0, len(rows))
	places := map[string]int{}
	for _, row := range rows {
		total, err := decodeTotal(row, grouping)
		if err != nil {
			return nil, unreadableError{err}
		}
		key := strings.Join(total.By, "\x00")
		at, known := places[key]
		if !known {
			places[key] = len(totals)
			totals = append(totals, total)
			continue
		}
		totals[at].Count += total.Count
		for i, sum := range total.Sums {
			totals[at].Sums[i] += sum
		}
	}
	return totals, nil
}

func decodeTotal(row bson.Raw, grouping readmodels.Grouping) (readmodels.Total, error) {
	total := readmodels.Total{By: make([]string, len(grouping.By)), Sums: make([]int64, len(grouping.Sum))}
	for i := range grouping.By {
		value := row.Lookup(fieldID, groupKey(i))
		if text, ok := value.StringValueOK(); ok {
			total.By[i] = text
		} else if n, ok := integer(value); ok {
			total.By[i] = strconv.FormatInt(n, 10)
		}
	}
	if count, ok := integer(row.Lookup("count")); ok {
		total.Count = count
	}
	for i, path := range grouping.Sum {
		value := row.Lookup(sumKey(i))
		sum, ok := integer(value)
		if !ok && value.Type != 0 {
			return total, fmt.Errorf("the sum over %s leaves int64: it is a %s", path, value.Type)
		}
		total.Sums[i] = sum
	}
	return total, nil
}

// integer reads either size of integer and nothing else: a double is a sum that overflowed.
func integer(value bson.RawValue) (int64, bool) {
	switch value.Type {
	case bson.TypeInt32:
		return int64(value.Int32()), true
	case bson.TypeInt64:
		return value.Int64(), true
	}
	return 0, false
}
