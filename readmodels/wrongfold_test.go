package readmodels

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
)

// wrongFold is a fold that leaves one event out, as a defect of an earlier release might have.
type wrongFold struct {
	docKind
	event string // its id
}

func (k wrongFold) fold(state any, r domain.Recorded) (any, error) {
	if r.ID == k.event {
		return nil, nil
	}
	return k.docKind.fold(state, r)
}

// leaves are the plain values of a JSON value by their paths: another reading than the comparison's own.
func leaves(path string, value any, into map[string]any) {
	at := func(inner string) string {
		if path == "" {
			return inner
		}
		return path + "." + inner
	}
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.Map && v.Len() > 0:
		for _, key := range v.MapKeys() {
			leaves(at(key.String()), v.MapIndex(key).Interface(), into)
		}
	case v.Kind() == reflect.Slice && v.Len() > 0:
		for i := range v.Len() {
			leaves(at(strconv.Itoa(i)), v.Index(i).Interface(), into)
		}
	default:
		into[path] = value
	}
}

// wrongIn are the places where the documents of one generation differ from those they should be: "id field", and
// "id " where one side has no such document.
func wrongIn(t *testing.T, store, should *memory, g generation) []string {
	t.Helper()
	wrong := map[string]bool{}
	for _, collection := range []string{g.documents(), g.rows()} {
		is, ought := store.collections[collection], should.collections[collection]
		ids := slices.Collect(maps.Keys(is))
		for _, id := range slices.AppendSeq(ids, maps.Keys(ought)) {
			a, here := is[id]
			b, there := ought[id]
			if !here || !there {
				wrong[id+" "] = true
				continue
			}
			left, right := map[string]any{}, map[string]any{}
			for document, into := range map[*Document]map[string]any{&a.Document: left, &b.Document: right} {
				var body any
				if err := json.Unmarshal(document.Body, &body); err != nil {
					t.Fatal(err)
				}
				leaves("", body, into)
				if document.Hidden {
					into["_hidden"] = true
				}
			}
			for field := range maps.Keys(left) {
				if other, ok := right[field]; !ok || !reflect.DeepEqual(left[field], other) {
					wrong[id+" "+field] = true
				}
			}
			for field := range maps.Keys(right) {
				if _, ok := left[field]; !ok {
					wrong[id+" "+field] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(wrong))
}

// One event that was folded wrongly, in any read model: verify and the comparison of a rebuild name exactly the
// documents, rows and fields that are affected, and after the switch nothing is.
func TestOneWrongFoldIsFoundInEveryReadModel(t *testing.T) {
	t.Parallel()
	histories := rapid.Custom(func(t *rapid.T) *script {
		s := newScript()
		drawHistory(t, s, 150)
		return s
	})
	affected := map[string]int{}
	unproved := func(m *Model) bool { return affected[m.Name] == 0 }
	for seed := 0; seed < 8 || seed < 64 && slices.ContainsFunc(All(), unproved); seed++ {
		s := histories.Example(seed)
		should := newMemory()
		deliver(t, s.side(should), s.deliveries())
		for _, m := range All() {
			fed := slices.DeleteFunc(s.events(), func(r domain.Recorded) bool { return !m.Feeds(r.Stream) })
			if len(fed) == 0 || seed >= 8 && !unproved(m) {
				continue
			}
			victim := *m
			victim.kind = wrongFold{m.kind, fed[(seed*7+len(fed)/2)%len(fed)].ID}
			store := newMemory()
			defective := s.side(store, func(o *Options) { o.Models = []*Model{&victim} })
			deliver(t, defective, s.deliveries())
			want := wrongIn(t, store, should, generation{m, 1})
			affected[m.Name] += len(want)
			repaired := s.side(store, func(o *Options) { o.Models = []*Model{m} })
			stop := follow(t, repaired, false)
			for _, kind := range []string{"verify", "rebuild"} {
				start := repaired.Operations().Verify
				if kind == "rebuild" {
					start = func(ctx context.Context, name, actor string) (Job, error) {
						return repaired.Operations().Rebuild(ctx, name, actor, true)
					}
				}
				found := resultOf(t, done(t, repaired, must(start(t.Context(), m.Name, "olga"))))
				got := map[string]bool{}
				documents := map[string]bool{}
				for _, d := range found.Differences {
					got[d.Document+" "+d.Field], documents[d.Document] = true, true
				}
				if diff := cmp.Diff(want, slices.Sorted(maps.Keys(got))); diff != "" || int(found.Differing) != len(documents) {
					t.Errorf("seed %d: %s of %s, %d differing (-affected +reported):\n%s", seed, kind, m.Name, found.Differing, diff)
				}
			}
			if found := resultOf(t, done(t, repaired, must(repaired.Operations().Verify(t.Context(), m.Name, "olga")))); found.Differing != 0 {
				t.Errorf("seed %d: %s after the switch: %+v", seed, m.Name, found.Comparison)
			}
			stop()
		}
	}
	for _, m := range All() {
		if unproved(m) {
			t.Errorf("no wrong fold changed anything in %s: the test proves nothing there", m.Name)
		}
	}
}
