package esnode

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
)

func (r *rig) rawDelete(stream string, revision int64) (metadata.MD, error) {
	var trailers metadata.MD
	o := &streams.DeleteReq_Options{StreamIdentifier: streamID(stream), ExpectedStreamRevision: &streams.DeleteReq_Options_Any{Any: &shared.Empty{}}}
	if revision >= 0 {
		o.ExpectedStreamRevision = &streams.DeleteReq_Options_Revision{Revision: uint64(revision)}
	}
	_, err := r.streams().Delete(r.ctx, &streams.DeleteReq{Options: o}, grpc.Trailer(&trailers))
	return trailers, err
}

// Sections 6.1, 6.2 and 6.4; pitfall 5.
func TestDeleteChecksItsExpectation(t *testing.T) {
	r := start(t)
	for state, row := range map[string]map[string]string{
		"never written": {"any": "wrong", "no_stream": "wrong", "stream_exists": "wrong", "last": "wrong"},
		"only metadata": {"any": "ok", "no_stream": "ok", "stream_exists": "ok", "last": "wrong"},
		"written":       {"any": "ok", "no_stream": "wrong", "stream_exists": "ok", "last": "ok", "older": "wrong", "newer": "wrong"},
		"soft-deleted":  {"any": "ok", "stream_exists": "deleted", "last": "ok", "older": "wrong"},
		"tombstoned":    {"any": "deleted", "no_stream": "deleted", "stream_exists": "deleted", "last": "deleted"},
	} {
		for expectation, want := range row {
			stream := "case-" + state + expectation
			r.prepare(state, stream)
			done, err := r.client.DeleteStream(r.ctx, stream, esdb.DeleteStreamOptions{ExpectedRevision: expectations[expectation]})
			got := ""
			switch {
			case err == nil && done.Position.Commit > 0 && done.Position.Prepare > 0:
				got = "ok"
			case codeOf(err) == esdb.ErrorCodeStreamDeleted:
				got = "deleted"
			case err != nil:
				got = "wrong"
			}
			if got != want {
				t.Errorf("delete, %s, %s: %q (%v), want %q", state, expectation, got, err, want)
			}
		}
	}
}

// Section 7.1.
func TestFaultsCarryTheirTrailers(t *testing.T) {
	r := start(t)
	r.append("order-1", events(3)...)
	trailers, err := r.rawDelete("order-1", 1)
	if statusOf(err) != codes.FailedPrecondition || first(trailers, "exception") != "wrong-expected-version" || first(trailers, "stream-name") != "order-1" ||
		first(trailers, "expected-version") != "1" || first(trailers, "actual-version") != "2" {
		t.Errorf("wrong version: %v %v", err, trailers)
	}
	trailers, err = r.rawDelete("nothing", -1)
	if first(trailers, "expected-version") != "-2" || first(trailers, "actual-version") != "-1" {
		t.Errorf("nothing to delete: %v %v", err, trailers)
	}
	if _, err := r.rawDelete("$all", -1); statusOf(err) != codes.PermissionDenied {
		t.Errorf("deleting $all: %v", err)
	}
	// Pitfall 4: the name is told whatever is in it, or the Go client panics or sees a broken call.
	for name, want := range map[string]string{"plain": "plain", "new\nline\x7f": "new%0Aline%7F", "naïve 流": "naïve 流"} {
		r.prepare("tombstoned", name)
		for what, call := range map[string]func() (metadata.MD, error){
			"append": func() (metadata.MD, error) {
				_, md, err := r.rawAppend(appendOptions(name), proposedMessage())
				return md, err
			},
			"empty append": func() (metadata.MD, error) { _, md, err := r.rawAppend(appendOptions(name)); return md, err },
			"read":         func() (metadata.MD, error) { _, md, err := r.rawRead(readOptions(name)); return md, err },
			"subscribe":    func() (metadata.MD, error) { _, md, err := r.rawRead(readOptions(name, subscribing)); return md, err },
			"delete":       func() (metadata.MD, error) { return r.rawDelete(name, -1) },
		} {
			trailers, err := call()
			if statusOf(err) != codes.FailedPrecondition || first(trailers, "exception") != "stream-deleted" || first(trailers, "stream-name") != want {
				t.Errorf("%s of %q: %v %v", what, name, err, trailers)
			}
		}
		if _, err := r.read(name, esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeStreamDeleted {
			t.Errorf("the official client reads %q: %v", name, err)
		}
	}
	if _, trailers, err = r.rawRead(readOptions("$$plain")); first(trailers, "stream-name") != "$$plain" {
		t.Errorf("metadata of a tombstoned stream: %v %v", err, trailers)
	}
	if _, _, err := r.rawAppend(appendOptions("$$plain"), proposedMessage()); statusOf(err) != codes.FailedPrecondition {
		t.Errorf("metadata of a tombstoned stream is written: %v", err)
	}
}

func (r *rig) metadataOf(stream string) map[string]any {
	r.Helper()
	all, err := r.read("$$"+stream, esdb.ReadStreamOptions{From: esdb.End{}, Direction: esdb.Backwards}, 1)
	r.must(err)
	var m map[string]any
	r.must(json.Unmarshal(all[0].Event.Data, &m))
	return m
}

// Pitfall 12, sections 2.2, 6.2 and 6.3.
func TestSoftDeleteAndRecreation(t *testing.T) {
	r := start(t)
	r.append("s", events(3)...)
	r.append("$$s", event("$metadata", func(e *esdb.EventData) { e.Data = []byte(`{"$maxCount":7,"shop":"north"}`) }))
	_, err := r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{})
	r.must(err)
	all, err := r.read("$$s", esdb.ReadStreamOptions{}, 1)
	if r.must(err); string(all[0].Event.Data) != `{"$tb":9223372036854775807}` || all[0].Event.EventType != "$metadata" || all[0].Event.ContentType != contentJSON {
		t.Fatalf("the delete wrote %+v", all[0].Event)
	}
	if _, err := r.read("s", esdb.ReadStreamOptions{}, 1); codeOf(err) != esdb.ErrorCodeResourceNotFound {
		t.Fatalf("a deleted stream reads %v", err)
	}
	done, err := r.client.AppendToStream(r.ctx, "s", esdb.AppendToStreamOptions{ExpectedRevision: esdb.NoStream{}}, events(2)...)
	if r.must(err); done.NextExpectedVersion != 4 {
		t.Fatalf("recreated at %d, want numbering to go on", done.NextExpectedVersion)
	}
	all, err = r.read("s", esdb.ReadStreamOptions{}, 10)
	if r.must(err); !slices.Equal(numbers(all), []uint64{3, 4}) {
		t.Errorf("readable %v, want only the new", numbers(all))
	}
	if tb := r.metadataOf("s")["$tb"]; tb != 3.0 {
		t.Errorf("truncated before %v, want 3", tb)
	}
	whole, err := r.readAll(esdb.ReadAllOptions{}, 100)
	if r.must(err); names(whole) != "0@s 1@s 2@s 0@$$s 1@$$s 3@s 4@s 2@$$s" {
		t.Errorf("the log is %s", names(whole))
	}
	// Metadata alone undeletes as well; the stream is empty then.
	_, err = r.client.DeleteStream(r.ctx, "s", esdb.DeleteStreamOptions{})
	r.must(err)
	r.append("$$s", event("$metadata", func(e *esdb.EventData) { e.Data = []byte(`{"shop":"south"}`) }))
	all, err = r.read("s", esdb.ReadStreamOptions{}, 10)
	if r.must(err); len(all) != 0 {
		t.Errorf("undeleted by metadata: %v", numbers(all))
	}
	if m := r.metadataOf("s"); m["$tb"] != 5.0 || m["shop"] != "south" {
		t.Errorf("metadata after it: %v", m)
	}
}

func TestTombstonesAreForGood(t *testing.T) {
	r := start(t)
	if _, err := r.client.TombstoneStream(r.ctx, "never", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.NoStream{}}); err != nil {
		t.Fatalf("a stream that never was: %v", err)
	}
	r.append("s", events(1)...)
	if _, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(7)}); err == nil {
		t.Error("a wrong revision was taken")
	}
	done, err := r.client.TombstoneStream(r.ctx, "s", esdb.TombstoneStreamOptions{ExpectedRevision: esdb.Revision(0)})
	if r.must(err); done.Position.Commit == 0 || done.Position.Prepare == 0 {
		t.Errorf("answered %+v", done)
	}
	for _, stream := range []string{"s", "never"} {
		if _, err := r.client.TombstoneStream(r.ctx, stream, esdb.TombstoneStreamOptions{}); codeOf(err) != esdb.ErrorCodeStreamDeleted {
			t.Errorf("again: %v", err)
		}
	}
}
