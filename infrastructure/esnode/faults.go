package esnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tidemark-dev/tidemark/infrastructure/esnode/eventlog"
)

// fault is a refusal as clients know it: a status, a text that nobody parses, and trailers that they do.
type fault struct {
	code     codes.Code
	text     string
	trailers []string // key, value, key, value …
	oversize *oversize
}

// oversize is what was too large: an event, or an append as a whole.
type oversize struct {
	event       bool
	limit, size int
	id          [16]byte
}

func (f *fault) Error() string { return f.text }

func invalid(format string, args ...any) error {
	return &fault{code: codes.InvalidArgument, text: fmt.Sprintf(format, args...)}
}

func unknown(format string, args ...any) error {
	return &fault{code: codes.Unknown, text: fmt.Sprintf(format, args...)}
}

func accessDenied() error {
	return &fault{code: codes.PermissionDenied, text: "Access Denied", trailers: []string{"exception", "access-denied"}}
}

func streamDeleted(stream string) error {
	return &fault{code: codes.FailedPrecondition, text: fmt.Sprintf("Event stream '%s' is deleted.", stream),
		trailers: []string{"exception", "stream-deleted", "stream-name", stream}}
}

func wrongVersionOnDelete(e *eventlog.WrongVersion) error {
	return &fault{code: codes.FailedPrecondition,
		text: fmt.Sprintf("Delete failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d", e.Stream, e.Expected, e.Current),
		trailers: []string{"exception", "wrong-expected-version", "stream-name", e.Stream,
			"expected-version", strconv.FormatInt(e.Expected, 10), "actual-version", strconv.FormatInt(e.Current, 10)}}
}

func appendTooLarge(limit int) error {
	return &fault{code: codes.InvalidArgument, text: fmt.Sprintf("Maximum Append Size of %d Exceeded.", limit),
		trailers: []string{"exception", "maximum-append-size-exceeded", "maximum-append-size", strconv.Itoa(limit)},
		oversize: &oversize{limit: limit}}
}

func eventTooLarge(limit, size int, id [16]byte) error {
	return &fault{code: codes.InvalidArgument, text: fmt.Sprintf("Maximum Append Event Size of %d Exceeded.", limit),
		trailers: []string{"exception", "maximum-append-event-size-exceeded", "maximum-append-event-size", strconv.Itoa(limit),
			"event-id", uuidText(id), "proposed-append-event-size", strconv.Itoa(size)},
		oversize: &oversize{event: true, limit: limit, size: size, id: id}}
}

func metadataMissing() error {
	return &fault{code: codes.InvalidArgument, text: "Required Metadata Property is missing",
		trailers: []string{"exception", "missing-required-metadata-property", "required-metadata-properties", "type,content-type"}}
}

func groupFault(code codes.Code, exception, text, stream, group string, more ...string) error {
	return &fault{code: code, text: text, trailers: append([]string{"exception", exception, "stream-name", stream, "group-name", group}, more...)}
}

func groupMissing(stream, group string) error {
	return groupFault(codes.NotFound, "persistent-subscription-does-not-exist",
		fmt.Sprintf("Subscription group %s on stream %s does not exist.", group, stream), stream, group)
}

func groupExists(stream, group string) error {
	return groupFault(codes.AlreadyExists, "persistent-subscription-exists",
		fmt.Sprintf("Subscription group %s on stream %s exists.", group, stream), stream, group)
}

func groupFailed(stream, group, reason string) error {
	return groupFault(codes.Internal, "persistent-subscription-failed",
		fmt.Sprintf("Subscription group %s on stream %s failed: '%s'", group, stream, reason), stream, group, "reason", reason)
}

func groupFull(stream, group string) error {
	return groupFault(codes.FailedPrecondition, "maximum-subscribers-reached",
		fmt.Sprintf("Maximum subscriptions reached for group %s on stream %s.", group, stream), stream, group)
}

func groupDropped(stream, group string) error {
	return groupFault(codes.Canceled, "persistent-subscription-dropped",
		fmt.Sprintf("Subscription group %s on stream %s was dropped.", group, stream), stream, group)
}

// asFault translates what an operation returned into a status, once, for every RPC.
func asFault(err error) *fault {
	var (
		f       *fault
		deleted *eventlog.StreamDeleted
		wrong   *eventlog.WrongVersion
	)
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &deleted):
		return streamDeleted(deleted.Stream).(*fault) //nolint:errorlint // it was made just now
	case errors.As(err, &wrong):
		return wrongVersionOnDelete(wrong).(*fault) //nolint:errorlint // it was made just now
	case errors.Is(err, eventlog.ErrInvalid):
		return &fault{code: codes.InvalidArgument, text: err.Error()}
	case errors.Is(err, eventlog.ErrUncertain):
		// Neither done nor not done, like the original's write timeout.
		return &fault{code: codes.Aborted, text: "Operation timed out: the outcome of the commit is unknown"}
	case errors.Is(err, eventlog.ErrClosed), errors.Is(err, eventlog.ErrFailed), errors.Is(err, errStopping):
		return &fault{code: codes.Unavailable, text: "Server Is Not Ready"}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &fault{code: status.FromContextError(err).Code(), text: err.Error()}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &fault{code: codes.InvalidArgument, text: "the request ended early"}
	}
	if s, ok := status.FromError(err); ok {
		return &fault{code: s.Code(), text: s.Message()}
	}
	return &fault{code: codes.Unknown, text: "Exception was thrown by handler."}
}

func (f *fault) metadata() metadata.MD {
	md := metadata.MD{}
	for i := 0; i+1 < len(f.trailers); i += 2 {
		md.Set(f.trailers[i], trailerValue(f.trailers[i+1]))
	}
	return md
}

// trailerValue percent-encodes control characters: a header with a raw newline would turn the whole
// call into an Internal error of the client's transport.
func trailerValue(v string) string {
	if !strings.ContainsFunc(v, isControl) {
		return v
	}
	var b strings.Builder
	for _, r := range v {
		if isControl(r) {
			fmt.Fprintf(&b, "%%%02X", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// unary and stream turn errors into statuses with trailers and panics into UNKNOWN.
func (n *Node) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			n.panicked(info.FullMethod, p)
			err = errPanicked
		}
		if err != nil {
			f := asFault(err)
			if len(f.trailers) > 0 {
				_ = grpc.SetTrailer(ctx, f.metadata())
			}
			resp, err = nil, status.Error(f.code, f.text)
		}
	}()
	return handle(ctx, req)
}

func (n *Node) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			n.panicked(info.FullMethod, p)
			err = errPanicked
		}
		if err != nil {
			f := asFault(err)
			if len(f.trailers) > 0 {
				ss.SetTrailer(f.metadata())
			}
			err = status.Error(f.code, f.text)
		}
	}()
	return handle(srv, ss)
}

var errPanicked = &fault{code: codes.Unknown, text: "Exception was thrown by handler."}

func (n *Node) panicked(method string, p any) {
	n.log.Error("a handler of the node panicked", "method", method, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}
