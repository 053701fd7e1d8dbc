package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/protos/serverfeatures"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/shared"
	"github.com/EventStore/EventStore-Client-Go/v4/protos/streams"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/google/uuid"
	"github.com/tidemark-dev/tidemark/domain"
)

// stub is a server that misbehaves as no real one should and every real one might; the real behaviour
// is tested against the embedded node.
type stub struct {
	streams.UnimplementedStreamsServer
	serverfeatures.UnimplementedServerFeaturesServer

	appends atomic.Int64
	append  func(attempt int64, call streams.Streams_AppendServer) error
	read    func(call streams.Streams_ReadServer) error
}

func (s *stub) GetSupportedMethods(context.Context, *shared.Empty) (*serverfeatures.SupportedMethods, error) {
	return &serverfeatures.SupportedMethods{EventStoreServerVersion: "24.10.0"}, nil
}

func (s *stub) Append(call streams.Streams_AppendServer) error {
	return s.append(s.appends.Add(1), call)
}

func (s *stub) Read(request *streams.ReadReq, call streams.Streams_ReadServer) error {
	if s.read != nil && string(request.GetOptions().GetStream().GetStreamIdentifier().GetStreamName()) != pingStream {
		return s.read(call)
	}
	return call.Send(&streams.ReadResp{Content: &streams.ReadResp_StreamNotFound_{
		StreamNotFound: &streams.ReadResp_StreamNotFound{StreamIdentifier: &shared.StreamIdentifier{}}}})
}

// drain reads a request to its end, as a server does that is going to answer it.
func drain(call streams.Streams_AppendServer) {
	for {
		if _, err := call.Recv(); err != nil {
			return
		}
	}
}

func succeed(call streams.Streams_AppendServer, revision uint64) error {
	drain(call)
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_Success_{Success: &streams.AppendResp_Success{
		CurrentRevisionOption: &streams.AppendResp_Success_CurrentRevision{CurrentRevision: revision},
		PositionOption:        &streams.AppendResp_Success_Position{Position: &streams.AppendResp_Position{CommitPosition: 7, PreparePosition: 7}},
	}}})
}

// serve runs a stub and gives a Store on it.
func serve(t *testing.T, s *stub) *Store {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	streams.RegisterStreamsServer(server, s)
	serverfeatures.RegisterServerFeaturesServer(server, s)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	store := open(t, listener.Addr().String(), Options{Backoff: 50 * time.Millisecond})
	if err := store.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	return store
}

// open gives a Store that must close within its time at the end of the test. Unless told otherwise it waits for
// its connection as long as tests wait for anything.
func open(t *testing.T, address string, options Options) *Store {
	t.Helper()
	if !strings.Contains(address, "?") {
		address += "?"
	}
	if options.Patience == 0 {
		options.Patience = patience
	}
	store, err := Open("esdb://"+address+"&tls=false", options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := store.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return store
}

func claims(n int) []domain.Proposed {
	proposed := make([]domain.Proposed, n)
	for i := range proposed {
		proposed[i] = domain.Proposed{ID: uuid.NewString(), Event: domain.KeyClaimed{Operation: "o", Stream: "s", RequestHash: "h"}}
	}
	return proposed
}

var newStream = domain.Tip{Revision: domain.NoStream}

func TestAnAppendEndsDoneNotDoneOrUnknown(t *testing.T) {
	answer := func(code codes.Code) func(int64, streams.Streams_AppendServer) error {
		return func(_ int64, call streams.Streams_AppendServer) error {
			drain(call)
			return status.Error(code, "as told")
		}
	}
	cases := map[string]struct {
		append   func(attempt int64, call streams.Streams_AppendServer) error
		want     domain.Kind
		attempts int64
	}{
		"it goes away before it answers":      {answer(codes.Unavailable), domain.KindUnknown, 3},
		"it takes too long":                   {answer(codes.Aborted), domain.KindUnknown, 3},
		"it fails somewhere":                  {answer(codes.Unknown), domain.KindUnknown, 3},
		"it does not like the request":        {answer(codes.InvalidArgument), domain.KindInternal, 1},
		"it does not like the caller":         {answer(codes.PermissionDenied), domain.KindUnavailable, 3},
		"the stream is gone for good":         {deleted(true), domain.KindRefused, 1},
		"it says gone in a way that panics":   {deleted(false), domain.KindUnknown, 3},
		"it answers with an other revision":   {func(_ int64, call streams.Streams_AppendServer) error { return succeed(call, 5) }, domain.KindUnknown, 1},
		"somebody was first, it doesn't know": {wrongVersion, domain.KindConflict, 1},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &stub{append: test.append}
			_, err := serve(t, s).Append(t.Context(), "order-1", newStream, claims(2))
			if err == nil || domain.KindOf(err) != test.want || s.appends.Load() != test.attempts {
				t.Errorf("%v after %d attempts, want kind %d after %d", err, s.appends.Load(), test.want, test.attempts)
			}
		})
	}
}

func deleted(named bool) func(int64, streams.Streams_AppendServer) error {
	return func(_ int64, call streams.Streams_AppendServer) error {
		drain(call)
		trailer := metadata.Pairs("exception", "stream-deleted")
		if named {
			trailer.Append("stream-name", "order-1")
		}
		call.SetTrailer(trailer)
		return status.Error(codes.FailedPrecondition, "deleted")
	}
}

func wrongVersion(_ int64, call streams.Streams_AppendServer) error {
	drain(call)
	return call.SendAndClose(&streams.AppendResp{Result: &streams.AppendResp_WrongExpectedVersion_{WrongExpectedVersion: &streams.AppendResp_WrongExpectedVersion{}}})
}

func TestADoubtfulAppendIsAskedForAgain(t *testing.T) {
	s := &stub{append: func(attempt int64, call streams.Streams_AppendServer) error {
		if attempt == 1 {
			drain(call)
			return status.Error(codes.Unavailable, "written, but nobody heard")
		}
		return succeed(call, 1)
	}}
	appended, err := serve(t, s).Append(t.Context(), "order-1", newStream, claims(2))
	if err != nil || appended.Revision != 1 || appended.Position != 7 || appended.Hash == "" {
		t.Errorf("%+v, %v", appended, err)
	}
}

func TestASilentServerHoldsNobodyBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	defer close(release)
	silent := func(call grpc.ServerStream) error {
		select {
		case <-release:
		case <-call.Context().Done():
		}
		return errors.New("released")
	}
	s := &stub{
		append: func(_ int64, call streams.Streams_AppendServer) error { return silent(call) },
		read:   func(call streams.Streams_ReadServer) error { return silent(call) },
	}
	store := serve(t, s)
	err := unanswered(t, func(ctx context.Context) error {
		_, err := store.Append(ctx, "order-1", newStream, claims(1))
		return err
	})
	if domain.KindOf(err) != domain.KindUnknown {
		t.Errorf("append: %v", err)
	}
	for name, read := range map[string]func(ctx context.Context) error{
		"last": func(ctx context.Context) error {
			_, _, err := store.ReadLast(ctx, "order-1")
			return err
		},
		"stream": func(ctx context.Context) error {
			for _, err := range store.ReadStream(ctx, "order-1", 0) {
				return err
			}
			return nil
		},
	} {
		if err := bounded(t, 150*time.Millisecond, read); domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("read %s: %v", name, err)
		}
	}
}

func TestMessagesThatTheClientPanicsOnAreFailures(t *testing.T) {
	s := &stub{read: func(call streams.Streams_ReadServer) error {
		return call.Send(&streams.ReadResp{Content: &streams.ReadResp_CaughtUp_{CaughtUp: &streams.ReadResp_CaughtUp{}}})
	}}
	store := serve(t, s)
	for _, err := range store.ReadStream(t.Context(), "order-1", 0) {
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Errorf("read: %v", err)
		}
	}
	if _, _, err := store.ReadLast(t.Context(), "order-1"); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("read last: %v", err)
	}
	if err := store.Ping(t.Context()); err != nil {
		t.Errorf("the store does not recover: %v", err)
	}
}

func TestWithoutAServerCallsFailAsSoonAsPatienceEnds(t *testing.T) {
	// A port that is taken, so that nobody else can be found behind it, and refuses to connect.
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(socket) //nolint:errcheck // the test is over
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	bound, err := syscall.Getsockname(socket)
	if err != nil {
		t.Fatal(err)
	}
	turnedAway(t, fmt.Sprintf("127.0.0.1:%d", bound.(*syscall.SockaddrInet4).Port))
}

func TestAServerThatOnlyListensIsNoServer(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // the test is over
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	turnedAway(t, listener.Addr().String())
}

// turnedAway expects calls to wait for the connection once, and afterwards not at all.
func turnedAway(t *testing.T, address string) {
	t.Helper()
	store := open(t, address+"?gossipTimeout=1", impatient)
	turned := func() time.Duration {
		begun := time.Now()
		_, err := store.Append(t.Context(), "order-1", newStream, claims(1))
		if domain.KindOf(err) != domain.KindUnavailable {
			t.Fatalf("%v after %v", err, time.Since(begun))
		}
		return time.Since(begun)
	}
	if took := turned(); took > patience/2 {
		t.Errorf("the first call waited %v", took)
	}
	eventually(t, "calls do not wait", func() bool { return turned() < impatient.Patience/2 })
}

func TestConnectionStrings(t *testing.T) {
	for text, ok := range map[string]bool{
		"esdb://localhost:2113?tls=false": true, "esdb+discover://db.example:2113": true, "esdb://a:1,b:2,c:3": true,
		"kurrentdb://localhost?tls=false": true, "http://localhost": false, "": false, "esdb://": false,
		"esdb://admin:secret@local host:2113": false, "esdb://localhost?userCertFile=x": false,
	} {
		store, err := Open(text, Options{})
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			if err := store.Close(t.Context()); err != nil {
				t.Error(err)
			}
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}
