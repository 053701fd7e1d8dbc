package esdb

import (
	"context"
	"errors"
	"fmt"
	"io"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tidemark-dev/tidemark/domain"
)

// codeOf is the client's code of an error, wrapped or not. Errors of subscriptions are bare gRPC errors.
func codeOf(err error) client.ErrorCode {
	if vendor, ok := errors.AsType[*client.Error](err); ok {
		return vendor.Code()
	}
	switch grpcCode(err) {
	case codes.Unavailable:
		return client.ErrorUnavailable
	case codes.NotFound:
		return client.ErrorCodeResourceNotFound
	case codes.DeadlineExceeded:
		return client.ErrorCodeDeadlineExceeded
	}
	return client.ErrorCodeUnknown
}

// grpcCode is the status in an error's chain, OK if there is none.
func grpcCode(err error) codes.Code {
	if carrier, ok := errors.AsType[interface {
		error
		GRPCStatus() *status.Status
	}](err); ok {
		return carrier.GRPCStatus().Code()
	}
	return codes.OK
}

// endOfRead says that a read has given all that it found.
func endOfRead(err error) bool { return errors.Is(err, io.EOF) }

// failure translates an error of anything but an append, where nothing was done or nothing that matters.
func failure(operation string, err error) error {
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*domain.Error](err); ours {
		return err
	}
	cause := fmt.Errorf("%s: %w", operation, err)
	switch codeOf(err) {
	case client.ErrorCodeResourceNotFound:
		return &domain.Error{Kind: domain.KindNotFound, Code: "not_found", Message: "The event store has no such thing.", Err: cause}
	case client.ErrorCodeStreamDeleted:
		return &domain.Error{Kind: domain.KindRefused, Code: "stream_deleted", Message: "The stream was deleted for good.", Err: cause}
	case client.ErrorCodeUnsupportedFeature, client.ErrorCodeParsing, client.ErrorCodeInternalClient:
		return &domain.Error{Kind: domain.KindInternal, Code: "internal", Message: "The event store does not understand the request.", Err: cause}
	case client.ErrorCodeUnknown:
		if grpcCode(err) == codes.InvalidArgument {
			return &domain.Error{Kind: domain.KindInternal, Code: "internal", Message: "The event store does not accept the request.", Err: cause}
		}
	}
	return unavailable(cause)
}

// verdict is what the error of an append attempt says about its outcome.
type verdict int

const (
	notDone  verdict = iota // certainly nothing was written; another attempt may succeed
	refused                 // certainly nothing was written, and nothing ever would be
	conflict                // certainly nothing was written: the stream is elsewhere
	doubtful                // it may have been written
)

// judge reads an append's error. The client wraps errors of opening the call and of sending, and
// returns bare what came back after the last event was sent. A server commits only after it has seen
// the end of the request, which the client sends after everything else, so a wrapped error is
// certainly not done, and of the bare ones only those that name a reason for a refusal.
func judge(err error) verdict {
	if _, early := errors.AsType[*notStarted](err); early {
		return notDone
	}
	switch codeOf(err) {
	case client.ErrorCodeWrongExpectedVersion:
		return conflict
	case client.ErrorCodeStreamDeleted, client.ErrorCodeUnsupportedFeature:
		return refused
	case client.ErrorCodeAccessDenied, client.ErrorCodeUnauthenticated, client.ErrorCodeNotLeader, client.ErrorCodeConnectionClosed:
		return notDone
	}
	bare, ok := err.(*client.Error) //nolint:errorlint // deliberately not errors.As
	if !ok {
		if _, vendor := errors.AsType[*client.Error](err); vendor {
			return notDone
		}
		return doubtful // abandoned, or a panic
	}
	answer, ok := bare.Err().(interface{ GRPCStatus() *status.Status })
	if !ok {
		return notDone // from connecting: the server's own answer is never wrapped
	}
	switch answer.GRPCStatus().Code() {
	case codes.InvalidArgument:
		return refused
	case codes.FailedPrecondition, codes.ResourceExhausted, codes.NotFound:
		return notDone
	}
	return doubtful
}

// unknown says that an append may or may not have been done.
func unknown(cause error) *domain.Error {
	return &domain.Error{Kind: domain.KindUnknown, Code: "outcome_unknown",
		Message: "The event store did not say whether the change was stored.", Err: cause}
}

// retryable says whether a read that failed may go on from where it was.
func retryable(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if _, early := errors.AsType[*notStarted](err); early {
		return errors.Is(err, errRetired) // else the outage has outlasted the patience
	}
	return domain.KindOf(failure("", err)) == domain.KindUnavailable
}
