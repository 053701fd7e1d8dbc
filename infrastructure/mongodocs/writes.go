package mongodocs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// entry is one put on its way.
type entry struct {
	id        string
	ifVersion int64
	version   int64
	stored    bson.Raw
	token     token
	applied   bool
	decided   bool
	doubtful  bool // an attempt ended without a word about it
}

// Write implements readmodels.Documents. Rows are written first; then each document by a command that names the
// version it replaces, many in one call. Which of them took hold is answered exactly, or not at all.
func (s *Store) Write(ctx context.Context, collection string, puts []readmodels.Put) ([]bool, error) {
	entries, err := prepare(puts)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, readmodels.StoreUnavailable(err)
	}
	if len(puts) == 0 {
		return []bool{}, nil
	}
	ctx, cancel := s.bounded(ctx)
	defer cancel()
	if err := s.exists(ctx, collection); err != nil {
		return nil, err
	}
	if err := s.writeRows(ctx, puts); err != nil {
		return nil, err // rows are only seen with their document, of which certainly none was written
	}
	ctx, sent := watchSending(ctx)
	err = s.alone(ctx, func(ctx context.Context) error {
		return s.onPrimary(ctx, func(ctx context.Context) error { return s.writeDocuments(ctx, collection, entries) })
	})
	switch {
	case err == nil:
	case isDefect(err):
		return nil, translate(err)
	case !sent.Load() && !errors.Is(err, errUnderWay):
		return nil, readmodels.StoreUnavailable(err)
	default:
		return nil, readmodels.StoreUnknown(err)
	}
	applied := make([]bool, len(entries))
	for i, e := range entries {
		applied[i] = e.applied
	}
	return applied, nil
}

func (s *Store) writeDocuments(ctx context.Context, collection string, entries []*entry) error {
	for chunk := range chunks(entries, s.options.Batch) {
		if err := s.writeChunk(ctx, collection, chunk); err != nil {
			return err
		}
	}
	return nil
}

// bounded gives a context with a deadline: all attempts together are one call.
func (s *Store) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.options.Timeout)
}

func prepare(puts []readmodels.Put) ([]*entry, error) {
	var by token
	if _, err := rand.Read(by[:12]); err != nil {
		return nil, fmt.Errorf("make a write token: %w", err)
	}
	entries := make([]*entry, len(puts))
	for i, put := range puts {
		if err := put.Check(); err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(by[12:], uint32(i))
		stored, err := encodeDocument(put.Document, by)
		if err != nil {
			return nil, err
		}
		entries[i] = &entry{id: put.Document.ID, ifVersion: put.IfVersion, version: put.Document.Version, stored: stored, token: by}
	}
	return entries, nil
}

// chunks cuts entries into commands; a document that is named again begins a new one, because within
// one there is no order.
func chunks(entries []*entry, size int) func(yield func([]*entry) bool) {
	return func(yield func([]*entry) bool) {
		start, named := 0, map[string]bool{}
		for i, e := range entries {
			if i-start == size || named[e.id] {
				if !yield(entries[start:i]) {
					return
				}
				start = i
				clear(named)
			}
			named[e.id] = true
		}
		if start < len(entries) {
			yield(entries[start:])
		}
	}
}

// writeChunk sends entries, at most one for each document, until each is decided.
func (s *Store) writeChunk(ctx context.Context, collection string, chunk []*entry) error {
	wait := newBackoff()
	failed := errors.New("documents change faster than they can be looked at")
	for range attempts {
		open := undecided(chunk)
		if len(open) == 0 {
			return nil
		}
		err := s.attempt(ctx, collection, open)
		if err == nil && len(undecided(open)) == 0 {
			return nil
		}
		if err != nil {
			if isDefect(err) {
				return err
			}
			failed = err
			for _, e := range undecided(open) {
				e.doubtful = true
			}
		}
		if err := pause(ctx, wait.NextBackOff()); err != nil {
			return errors.Join(failed, err)
		}
		if err := s.review(ctx, collection, undecided(open)); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if len(undecided(chunk)) == 0 {
		return nil
	}
	return fmt.Errorf("no outcome after %d attempts: %w", attempts, failed)
}

func undecided(chunk []*entry) []*entry {
	return slices.DeleteFunc(slices.Clone(chunk), func(e *entry) bool { return e.decided })
}

// attempt sends entries once: new documents in one command, replacements in another.
func (s *Store) attempt(ctx context.Context, collection string, open []*entry) error {
	var fresh, next []*entry
	for _, e := range open {
		if e.ifVersion == 0 {
			fresh = append(fresh, e)
		} else {
			next = append(next, e)
		}
	}
	c := s.db.Collection(collection)
	return errors.Join(s.insert(ctx, c, fresh), s.replace(ctx, c, next))
}

// insert writes new documents; one whose id is taken isn't applied, unless it was an earlier attempt that took it.
func (s *Store) insert(ctx context.Context, c *mongo.Collection, fresh []*entry) error {
	if len(fresh) == 0 {
		return nil
	}
	documents := make([]any, len(fresh))
	for i, e := range fresh {
		documents[i] = e.stored
	}
	_, err := c.InsertMany(ctx, documents, options.InsertMany().SetOrdered(false))
	taken, err := duplicates(err)
	if err != nil {
		return fmt.Errorf("insert %d documents: %w", len(fresh), err)
	}
	var review []*entry
	for i, e := range fresh {
		switch {
		case !taken[i]:
			e.decided, e.applied = true, true
		case e.doubtful:
			review = append(review, e)
		default:
			e.decided = true
		}
	}
	return s.review(ctx, c.Name(), review)
}

// duplicates gives the places of documents whose id was taken, if that is all that went wrong.
func duplicates(err error) (map[int]bool, error) {
	if err == nil {
		return nil, nil
	}
	bulk, ok := errors.AsType[mongo.BulkWriteException](err)
	if !ok || bulk.WriteConcernError != nil || len(bulk.WriteErrors) == 0 {
		return nil, err
	}
	places := map[int]bool{}
	for _, failure := range bulk.WriteErrors {
		if failure.Code != codeDuplicateKey {
			return nil, err
		}
		places[failure.Index] = true
	}
	return places, nil
}

// replace writes over documents that are at the version named. The server says how many matched but not which: if
// it is neither all nor none, the tokens tell.
func (s *Store) replace(ctx context.Context, c *mongo.Collection, next []*entry) error {
	if len(next) == 0 {
		return nil
	}
	models := make([]mongo.WriteModel, len(next))
	for i, e := range next {
		filter := bson.D{{Key: fieldID, Value: e.id}, {Key: fieldVersion, Value: e.ifVersion}}
		models[i] = mongo.NewReplaceOneModel().SetFilter(filter).SetReplacement(e.stored)
	}
	result, err := c.BulkWrite(ctx, models, options.BulkWrite().SetOrdered(false))
	if err != nil {
		return fmt.Errorf("replace %d documents: %w", len(next), err)
	}
	sure := !slices.ContainsFunc(next, func(e *entry) bool { return e.doubtful })
	switch matched := int(result.MatchedCount); {
	case matched == len(next):
		settle(next, true)
		return nil
	case matched == 0 && sure:
		settle(next, false)
		return nil
	case !sure:
		return s.review(ctx, c.Name(), next)
	default:
		return s.tell(ctx, c.Name(), next, matched)
	}
}

func settle(entries []*entry, applied bool) {
	for _, e := range entries {
		e.decided, e.applied = true, applied
	}
}

// tell finds out which entries were applied, knowing how many. Somebody may already have written over one that was.
func (s *Store) tell(ctx context.Context, collection string, entries []*entry, matched int) error {
	there, err := s.standing(ctx, collection, entries)
	if err != nil {
		return err
	}
	var overtaken []*entry
	for _, e := range entries {
		now := there[e.id]
		switch {
		case now.token == e.token:
			settle([]*entry{e}, true)
			matched--
		case now.version < e.version:
			settle([]*entry{e}, false) // versions only grow: it was never there
		default:
			overtaken = append(overtaken, e)
		}
	}
	switch matched {
	case 0:
		settle(overtaken, false)
	case len(overtaken):
		settle(overtaken, true)
	default:
		return fmt.Errorf("%d of %d documents were written over before it could be seen by whom", matched, len(overtaken))
	}
	return nil
}

// review settles what can be settled of entries after an attempt without an outcome. What remains may be sent
// again: the condition and the token keep it from taking hold twice.
func (s *Store) review(ctx context.Context, collection string, entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	there, err := s.standing(ctx, collection, entries)
	if err != nil {
		return err
	}
	for _, e := range entries {
		now := there[e.id]
		switch {
		case now.token == e.token:
			settle([]*entry{e}, true)
		case now.version == e.ifVersion:
			// Its condition holds, or held a moment ago: send it again.
		case now.version < e.version:
			settle([]*entry{e}, false)
		default:
			err = errors.Join(err, fmt.Errorf("document %q was written over before it could be seen by whom", e.id))
		}
	}
	return err
}

// standing is where a document stands; the zero value is that it isn't there.
type standing struct {
	version int64
	token   token
}

func (s *Store) standing(ctx context.Context, collection string, entries []*entry) (map[string]standing, error) {
	ids := make([]string, len(entries))
	for i, e := range entries {
		ids[i] = e.id
	}
	filter := bson.D{{Key: fieldID, Value: bson.D{{Key: "$in", Value: ids}}}}
	projection := bson.D{{Key: fieldVersion, Value: int32(1)}, {Key: fieldToken, Value: int32(1)}}
	cursor, err := s.db.Collection(collection).Find(ctx, filter, options.Find().SetProjection(projection).SetBatchSize(idsPerCommand))
	if err != nil {
		return nil, fmt.Errorf("see who wrote: %w", err)
	}
	var rows []bson.Raw
	if err := cursor.All(ctx, &rows); err != nil {
		return nil, fmt.Errorf("see who wrote: %w", err)
	}
	there := make(map[string]standing, len(rows))
	for _, row := range rows {
		var at standing
		id, named := row.Lookup(fieldID).StringValueOK()
		version, placed := row.Lookup(fieldVersion).AsInt64OK()
		if _, by, ok := row.Lookup(fieldToken).BinaryOK(); ok {
			copy(at.token[:], by)
		}
		if !named || !placed {
			return nil, fmt.Errorf("see who wrote: unexpected document %s", row)
		}
		at.version = version
		there[id] = at
	}
	return there, nil
}
