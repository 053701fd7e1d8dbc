package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"golang.org/x/sync/semaphore"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
)

// importAhead is how many lines of an import are under way at once; answers keep the order of lines.
const importAhead = 16

// importBytes is what an import holds of the budget for bodies: a line that is arriving and, however many they
// are, the lines under way. Reading waits where these are long.
const importBytes = 2 * maxBody

// importResult is what became of a line.
type importResult struct {
	Line    int64    `json:"line"`
	Status  string   `json:"status"` // created or refused
	ID      string   `json:"id,omitempty"`
	Problem *Problem `json:"problem,omitempty"`
}

// importRun is one import.
type importRun struct {
	server  *Server
	o       operation
	create  operation // whose schema the lines have
	r       *request
	key     string
	dryRun  bool
	results chan chan importResult // in order
	bytes   *semaphore.Weighted    // of lines under way
}

// importOrders creates an order for each line, as lines come in, and answers as they are done.
func (s *Server) importOrders(c echo.Context, o operation, r *request) error {
	request := c.Request()
	params, found, err := readQuery(o, request)
	if err != nil {
		return err
	}
	key, err := idempotencyKey(request.Header)
	if err != nil {
		found = append(found, fieldsOf(err)...)
	}
	if len(found) > 0 {
		return invalid(found)
	}
	if err := checkMediaType(request, o.media); err != nil {
		return err
	}
	leave, err := s.imports.enterAs(request.Context(), r.who.caller())
	if err != nil {
		return err
	}
	defer leave()
	if !r.held.hold(importBytes) {
		return s.noRoom(classImport)
	}
	run := &importRun{server: s, o: o, r: r, key: key, dryRun: params["dryRun"] == "true", results: make(chan chan importResult, importAhead),
		bytes: semaphore.NewWeighted(importBytes - maxBody)}
	for _, other := range s.document.operations {
		if other.id == "createOrder" {
			run.create = other
		}
	}
	return run.serve(c)
}

// serve reads lines in one goroutine, creates orders in up to importAhead others, and writes results here.
func (run *importRun) serve(c echo.Context) error {
	ctx, cancel := context.WithCancel(c.Request().Context())
	defer cancel()
	control := http.NewResponseController(c.Response())
	_ = control.EnableFullDuplex() // answers go out while lines come in; HTTP/2 does so anyhow
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "application/x-ndjson")
	h.Set("Cache-Control", "no-store")
	c.Response().WriteHeader(http.StatusOK)
	go run.read(ctx, c.Request().Body, func(d time.Duration) {
		deadline := noDeadline
		if d > 0 {
			deadline = time.Now().Add(d)
		}
		_ = control.SetReadDeadline(deadline)
	})
	go func() { // ends with the request
		select {
		case <-run.server.streams.done:
			_ = control.SetReadDeadline(time.Unix(1, 0)) // wakes the reading of a line
		case <-ctx.Done():
		}
	}()
	var failed error
	for pending := range run.results {
		result := <-pending
		if failed != nil {
			continue // the caller is gone; what is under way still has to end
		}
		text, err := marshal(result)
		if err == nil {
			_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
			_, err = c.Response().Write(text)
		}
		if err == nil && len(run.results) == 0 {
			err = control.Flush()
		}
		if err != nil {
			failed = err
			cancel()
		}
	}
	return nil
}

// read hands each line on, until the end of the body, and closes results.
func (run *importRun) read(ctx context.Context, body io.Reader, patience func(time.Duration)) {
	defer close(run.results)
	lines := bufio.NewReaderSize(body, 64<<10)
	for number := int64(1); ctx.Err() == nil; number++ {
		patience(run.server.options.bodyTimeout)
		var text []byte
		var err error
		if !run.server.stopping.Load() {
			text, err = readLine(lines)
		}
		if run.server.stopping.Load() && !errors.Is(err, io.EOF) {
			err = fail("stopping", "The service is stopping; the import ended here.")
		}
		patience(0)
		ended := errors.Is(err, io.EOF)
		if err != nil && !ended {
			// Whoever writes the results takes them until there are no more, so this can't hang.
			run.put(context.WithoutCancel(ctx), number, func() (string, error) { return "", err })
			return
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			size := int64(len(text)) // of at most maxBody, so it always gets its turn
			if run.bytes.Acquire(ctx, size) != nil {
				return // the caller is gone
			}
			run.put(ctx, number, func() (string, error) {
				defer run.bytes.Release(size)
				return run.line(ctx, number, text)
			})
		}
		if ended {
			return
		}
	}
}

// readLine reads up to a line break; io.EOF comes with the last line.
func readLine(lines *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		part, err := lines.ReadSlice('\n')
		if text = append(text, part...); len(text) > maxBody {
			return nil, fail("body_too_large", "A line may have at most %d bytes; the import ended here.", maxBody)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil && !errors.Is(err, io.EOF):
			return nil, fail("malformed_request", "The body broke off; the import ended here.")
		default:
			return text, err
		}
	}
}

// put starts work for a line as soon as there is room.
func (run *importRun) put(ctx context.Context, number int64, work func() (string, error)) {
	pending := make(chan importResult, 1)
	select {
	case run.results <- pending:
	case <-ctx.Done():
		return
	}
	go func() {
		result := importResult{Line: number, Status: "created"}
		id, err := run.safely(work)
		if result.ID = id; err != nil {
			p := problemOf(err)
			p.Instance, p.RequestID = "/v1/import/orders", run.r.id
			result.Status, result.Problem = "refused", &p
		}
		pending <- result
	}()
}

// safely keeps a panic to its line.
func (run *importRun) safely(work func() (string, error)) (id string, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			run.server.options.Hooks.Panicked(run.o.id)
			run.server.logOf(run.r).Error("a handler panicked", "operation", run.o.id, "panic", caught, "stack", string(debug.Stack()))
			err = &domain.Error{Kind: domain.KindInternal, Code: "internal"}
		}
	}()
	return work()
}

// line creates the order of one line.
func (run *importRun) line(ctx context.Context, number int64, text []byte) (string, error) {
	s := run.server
	found, err := run.create.checkBody(text)
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		return "", invalid(found)
	}
	in := input{text: text, dryRun: run.dryRun}
	body, err := decode[createOrderBody](in)
	if err != nil {
		return "", err
	}
	command := s.command(run.o, run.r, in)
	command.ID = uuid.NewString()
	if run.key != "" {
		// The number tells lines apart, and the prefix an import from a command with such a key.
		command.ID, command.Keyed = application.CommandID("import "+run.r.who.subject, strconv.FormatInt(number, 10)+" "+run.key), true
	}
	bounded, cancel := context.WithTimeout(ctx, s.options.RequestTimeout)
	defer cancel()
	result, err := guard(bounded, s, func() (orderOf, error) { return s.options.Commands.CreateOrder(bounded, command, body.order()) })
	if err != nil {
		return "", commandFailure(err)
	}
	if run.dryRun {
		return "", nil
	}
	return result.ID, nil
}
