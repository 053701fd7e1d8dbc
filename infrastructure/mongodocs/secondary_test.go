package mongodocs

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/tidemark-dev/tidemark/readmodels"
)

// replicas are two wires to the same server that tell the driver to be the primary and the secondary of a
// replica set. Every answer of the primary has a later operation time than the one before.
type replicas struct {
	primary, secondary *wire

	mu     sync.Mutex
	now    uint32
	asked  []string                  // "secondary find@": who had to do what; @: with all up to an operation
	behind func(command string) fate // what becomes of commands at the secondary; nil: they are done
	wants  map[string]bool           // commands to note
}

func openReplicas(t *testing.T, options Options) (*Store, *replicas) {
	t.Helper()
	r := &replicas{now: 100, wants: map[string]bool{"find": true, "aggregate": true, "insert": true}}
	var primary, secondary string
	r.primary, primary = openWire(t, ferretURI(t))
	r.secondary, secondary = openWire(t, ferretURI(t))
	hosts := []string{hostOf(primary), hostOf(secondary)}
	r.primary.play(func(name string, body bson.Raw) fate {
		if greeting(name) {
			return fate{amend: member(hosts, 0)}
		}
		return fate{amend: bson.D{{Key: "operationTime", Value: r.done("primary", name, body)}}}
	})
	r.secondary.play(func(name string, body bson.Raw) fate {
		if greeting(name) {
			return fate{amend: member(hosts, 1)}
		}
		r.note("secondary", name, body)
		r.mu.Lock()
		behind := r.behind
		r.mu.Unlock()
		if behind != nil {
			return behind(name)
		}
		return fate{}
	})
	return open(t, "mongodb://"+hosts[0]+"/?replicaSet=rs0&retryWrites=false", options), r
}

func hostOf(uri string) string { return strings.Trim(strings.TrimPrefix(uri, "mongodb://"), "/") }

func greeting(command string) bool {
	return command == "hello" || command == "isMaster" || command == "ismaster"
}

// member is how one of the hosts tells of itself.
func member(hosts []string, which int) bson.D {
	return bson.D{
		{Key: "setName", Value: "rs0"}, {Key: "setVersion", Value: int32(1)}, {Key: "hosts", Value: hosts}, {Key: "primary", Value: hosts[0]}, {Key: "me", Value: hosts[which]},
		{Key: "ismaster", Value: which == 0}, {Key: "isWritablePrimary", Value: which == 0}, {Key: "secondary", Value: which == 1},
		{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
	}
}

func (r *replicas) done(who, name string, body bson.Raw) bson.Timestamp {
	r.note(who, name, body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now++
	return bson.Timestamp{T: r.now}
}

func (r *replicas) note(who, name string, body bson.Raw) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.wants[name] {
		return
	}
	if _, _, after := body.Lookup("readConcern", "afterClusterTime").TimestampOK(); after {
		name += "@"
	}
	r.asked = append(r.asked, who+" "+name)
}

// took gives what was asked since the last time.
func (r *replicas) took() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := strings.Join(r.asked, ", ")
	r.asked = nil
	return asked
}

func TestRelaxedSearchesGoToSecondariesThatAreFreshEnough(t *testing.T) {
	store, r := openReplicas(t, Options{SecondaryReads: true})
	ctx := t.Context()
	if err := store.Ensure(ctx, readmodels.Collection{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	r.took()
	find := func(ctx context.Context) {
		t.Helper()
		if found, err := store.Find(ctx, "orders", readmodels.Find{Limit: 5}); err != nil || len(found) != 1 {
			t.Errorf("found %d documents, %v", len(found), err)
		}
	}
	group := func(ctx context.Context) {
		t.Helper()
		if _, err := store.Group(ctx, "orders", readmodels.Grouping{}); err != nil {
			t.Error(err)
		}
	}
	relaxed := readmodels.Relaxed(ctx)
	store.clock.stale, store.patience = time.Hour, time.Minute // however slow the machine is
	silence := func() { store.clock.heard = store.clock.heard.Add(-time.Hour) }
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"a write", func() { _, _ = store.Write(ctx, "orders", []readmodels.Put{{Document: document("a", 1)}}) }, "primary insert"},
		{"a relaxed search after it", func() { find(relaxed) }, "secondary find@"},
		{"a relaxed count", func() { group(relaxed) }, "secondary aggregate@"},
		{"a search for somebody with a token", func() { find(ctx) }, "primary find@"},
		{"a projector's load", func() { _, _ = store.Load(relaxed, "orders", []string{"a"}) }, "primary find@"},
		{"a relaxed search after a long silence", func() { silence(); find(relaxed) }, "primary find@"},
		{"and the one after that", func() { find(relaxed) }, "secondary find@"},
	} {
		step.do()
		if got := r.took(); got != step.want {
			t.Errorf("%s: %q, want %q", step.name, got, step.want)
		}
	}
}

// A secondary that is behind for long, or gives up, costs a moment and no error: the primary is asked.
func TestRelaxedSearchesFallBackToThePrimary(t *testing.T) {
	store, r := openReplicas(t, Options{SecondaryReads: true})
	ctx := t.Context()
	if err := store.Ensure(ctx, readmodels.Collection{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Write(ctx, "orders", []readmodels.Put{{Document: document("a", 1)}}); err != nil {
		t.Fatal(err)
	}
	store.clock.stale = time.Hour
	caughtUp := make(chan struct{})
	t.Cleanup(sync.OnceFunc(func() { close(caughtUp) }))
	for name, behind := range map[string]fate{
		"it waits for what it lacks": {wait: caughtUp},
		"it recovers":                {answer: bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: "recovering"}, {Key: "code", Value: int32(13436)}, {Key: "codeName", Value: "NotPrimaryOrSecondary"}}},
		"its connection breaks":      {cut: true},
	} {
		if _, err := store.Load(ctx, "orders", []string{"a"}); err != nil { // the primary is heard from
			t.Fatal(err)
		}
		r.mu.Lock()
		r.behind = func(command string) fate {
			if command == "find" {
				return behind
			}
			return fate{}
		}
		r.mu.Unlock()
		r.took()
		found, err := store.Find(readmodels.Relaxed(ctx), "orders", readmodels.Find{Limit: 5})
		if asked := r.took(); err != nil || len(found) != 1 || !strings.HasSuffix(asked, "primary find@") {
			t.Errorf("%s: found %d documents, %v; asked: %s", name, len(found), err, asked)
		}
	}
}

// Without the option nothing goes to a secondary, whoever asks.
func TestSecondariesAreLeftAloneUnlessToldOtherwise(t *testing.T) {
	store, r := openReplicas(t, Options{})
	ctx := readmodels.Relaxed(t.Context())
	if err := store.Ensure(ctx, readmodels.Collection{Name: "orders"}); err != nil {
		t.Fatal(err)
	}
	r.took()
	for range 3 {
		if _, err := store.Find(ctx, "orders", readmodels.Find{Limit: 5}); err != nil {
			t.Fatal(err)
		}
	}
	if asked := r.took(); asked != "primary find, primary find, primary find" {
		t.Errorf("asked: %s", asked)
	}
}
