package mongodocs

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// Ensure implements readmodels.Documents. An index that is there but differs is an *IndexConflictError.
func (s *Store) Ensure(ctx context.Context, collection readmodels.Collection) error {
	if err := collection.Check(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	if _, ok := ctx.Deadline(); !ok {
		bounded, cancel := context.WithTimeout(ctx, indexWithin)
		defer cancel()
		ctx = bounded
	}
	if err := again(ctx, func() error { return s.ensure(ctx, collection) }); err != nil {
		return err
	}
	s.remember(collection.Name, true)
	return nil
}

func (s *Store) ensure(ctx context.Context, collection readmodels.Collection) error {
	err := s.db.CreateCollection(ctx, collection.Name)
	if err != nil && !hasCode(err, codeNamespaceExists) {
		return translate(fmt.Errorf("create collection %s: %w", collection.Name, err))
	}
	there, err := s.indexes(ctx, collection.Name)
	if err != nil {
		return err
	}
	var wanted []mongo.IndexModel
	for _, paths := range collection.Indexes {
		name, keys := indexName(paths), indexKeys(paths)
		found, ok := there[name]
		if ok {
			if err := sameIndex(collection.Name, name, found, keys); err != nil {
				return err
			}
			continue
		}
		there[name] = nil // named twice
		wanted = append(wanted, mongo.IndexModel{Keys: keys, Options: options.Index().SetName(name)})
	}
	if len(wanted) > 0 {
		if _, err := s.db.Collection(collection.Name).Indexes().CreateMany(ctx, wanted); err != nil {
			return s.judgeIndexes(collection.Name, err)
		}
	}
	return nil
}

// judgeIndexes tells a conflict, with an index of another name for instance, from a store that is away.
func (s *Store) judgeIndexes(collection string, err error) error {
	if hasCode(err, codeIndexOptions, codeIndexKeySpecs) {
		return &IndexConflictError{Collection: collection, Err: err}
	}
	return translate(fmt.Errorf("create indexes of collection %s: %w", collection, err))
}

// indexes gives the specifications of a collection's indexes by name.
func (s *Store) indexes(ctx context.Context, collection string) (map[string]bson.Raw, error) {
	cursor, err := s.db.Collection(collection).Indexes().List(ctx)
	if err != nil {
		return nil, translate(fmt.Errorf("list indexes of collection %s: %w", collection, err))
	}
	var list []bson.Raw
	if err := cursor.All(ctx, &list); err != nil {
		return nil, translate(fmt.Errorf("list indexes of collection %s: %w", collection, err))
	}
	byName := make(map[string]bson.Raw, len(list))
	for _, index := range list {
		name, _ := index.Lookup("name").StringValueOK()
		byName[name] = index
	}
	return byName, nil
}

// changing are options that make an index another one: it would not have all documents, or refuse some.
var changing = []string{"unique", "sparse", "partialFilterExpression", "collation", "expireAfterSeconds", "hidden"}

// sameIndex compares an index with what it must be; found is nil for one that is about to be made.
func sameIndex(collection, name string, found bson.Raw, keys bson.D) error {
	if found == nil {
		return nil
	}
	wanted, err := bson.Marshal(bson.D{{Key: "key", Value: keys}})
	if err != nil {
		return fmt.Errorf("index %s of collection %s: %w", name, collection, err)
	}
	same := sameKeys(found.Lookup("key"), keys)
	for _, option := range changing {
		if value := found.Lookup(option); value.Type != 0 && value.Type != bson.TypeBoolean || value.Type == bson.TypeBoolean && value.Boolean() {
			same = false
		}
	}
	if same {
		return nil
	}
	return &IndexConflictError{Collection: collection, Index: name, Found: found.String(), Wanted: bson.Raw(wanted).String()}
}

// sameKeys ignores in which type of number a server tells a direction.
func sameKeys(found bson.RawValue, keys bson.D) bool {
	document, ok := found.DocumentOK()
	if !ok {
		return false
	}
	elements, err := document.Elements()
	if err != nil || len(elements) != len(keys) {
		return false
	}
	for i, element := range elements {
		direction, ok := element.Value().AsInt64OK()
		if !ok || direction != 1 || element.Key() != keys[i].Key {
			return false
		}
	}
	return true
}

func indexName(paths []string) string {
	if len(paths) == 0 {
		return "by:id"
	}
	return "by:" + strings.Join(paths, ":")
}

// indexKeys has hidden in front: searches that leave hidden documents out never touch them, and those
// that don't merge two ranges.
func indexKeys(paths []string) bson.D {
	keys := bson.D{{Key: fieldHidden, Value: int32(1)}}
	for _, path := range append(slices.Clone(paths), fieldID) {
		field := fieldOf(path)
		if !slices.ContainsFunc(keys, func(e bson.E) bool { return e.Key == field }) {
			keys = append(keys, bson.E{Key: field, Value: int32(1)})
		}
	}
	return keys
}

// Drop implements readmodels.Documents.
func (s *Store) Drop(ctx context.Context, collection string) error {
	if err := readmodels.CheckCollectionName(collection); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return readmodels.StoreUnavailable(err)
	}
	s.remember(collection, false)
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	return again(ctx, func() error {
		err := s.db.Collection(collection).Drop(ctx)
		if err != nil && !hasCode(err, codeNamespaceNotFound) {
			return translate(fmt.Errorf("drop collection %s: %w", collection, err))
		}
		return nil
	})
}

// Collections implements readmodels.Documents. What can't be a collection of ours isn't listed.
func (s *Store) Collections(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	names, err := s.db.ListCollectionNames(ctx, bson.D{})
	if err != nil {
		return nil, translate(fmt.Errorf("list collections: %w", err))
	}
	names = slices.DeleteFunc(names, func(name string) bool { return readmodels.CheckCollectionName(name) != nil })
	slices.Sort(names)
	return names, nil
}

func (s *Store) remember(collection string, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there {
		s.known[collection] = true
	} else {
		delete(s.known, collection)
	}
}

// exists asks the server only about collections that this process hasn't seen. The server would make a missing one
// without its indexes at the first insert; one that another process drops meanwhile can still come back so.
func (s *Store) exists(ctx context.Context, collection string) error {
	s.mu.Lock()
	known := s.known[collection]
	s.mu.Unlock()
	if known {
		return nil
	}
	names, err := s.db.ListCollectionNames(ctx, bson.D{{Key: "name", Value: collection}})
	if err != nil {
		return readmodels.StoreUnavailable(fmt.Errorf("look for collection %s: %w", collection, err))
	}
	if !slices.Contains(names, collection) {
		return readmodels.CollectionMissing(collection)
	}
	s.remember(collection, true)
	return nil
}
