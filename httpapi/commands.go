package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// input is a request to change something, read and checked but for what only the state tells.
type input struct {
	params    map[string]string // path and query
	text      []byte            // of the body: one JSON value without repeated keys
	revisions []int64           // If-Match; nil: none
	key       string            // Idempotency-Key
	dryRun    bool
}

// mustExist says that If-Match is *: any revision will do, but there must be one.
func (in input) mustExist() bool { return len(in.revisions) > 0 && in.revisions[0] == anyRevision }

// decode turns the body into its type. It can't fail on what the document's schema accepted.
func decode[B any](in input) (B, error) {
	var body B
	if len(in.text) == 0 {
		return body, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(in.text))
	decoder.UseNumber() // for what may be a string or a number
	if err := decoder.Decode(&body); err != nil {
		return body, domain.Invalid(domain.Field{Pointer: "", Code: "invalid_type", Detail: "Is not valid."})
	}
	return body, nil
}

// readInput reads and checks everything that a request brings: all findings at once.
func (s *Server) readInput(c echo.Context, o operation) (input, error) {
	var in input
	request := c.Request()
	params, found, err := readQuery(o, request)
	if err != nil {
		return in, err
	}
	in.params = params
	text, err := readBody(request, &requestOf(c).held)
	if errors.Is(err, errNoRoom) {
		return in, s.noRoom(classOf(o))
	}
	if err != nil {
		return in, err
	}
	wrong, err := s.checkBody(request.Context(), o, text)
	if err != nil {
		return in, err
	}
	missing, err := readPath(o, c, params)
	if err != nil {
		return in, err
	}
	found = append(append(found, missing...), wrong...)
	if in.key, err = idempotencyKey(request.Header); err != nil {
		found = append(found, fieldsOf(err)...)
	}
	if in.revisions, err = readIfMatch(request.Header); err != nil {
		found = append(found, fieldsOf(err)...)
	}
	if len(found) > 0 {
		return in, invalid(found)
	}
	in.text, in.dryRun = text, params["dryRun"] == "true"
	_ = http.NewResponseController(c.Response()).SetReadDeadline(noDeadline) // it would cancel the request later
	return in, nil
}

// noRoom refuses a body that the budget has no room for.
func (s *Server) noRoom(class string) error {
	s.options.Hooks.Shed(class, "bodies")
	return fail("overloaded", "There are too many bytes of request bodies under way; nothing was done.")
}

// checkBody holds a body against the operation's schema. Taken apart, JSON can be some fifty times as large as its
// text, so only a few large bodies are at once; they take a processor anyway.
func (s *Server) checkBody(ctx context.Context, o operation, text []byte) ([]domain.Field, error) {
	if len(text) > smallBody {
		leave, err := s.gates[classBody].enter(ctx)
		if err != nil {
			return nil, err
		}
		defer leave()
	}
	return o.checkBody(text)
}

// checkBody holds a body against the operation's schema.
func (o operation) checkBody(text []byte) ([]domain.Field, error) {
	if len(text) == 0 {
		if o.needs {
			return nil, malformed("it is empty")
		}
		return nil, nil
	}
	if o.body == nil {
		return nil, fail("malformed_request", "This operation takes no body.")
	}
	read, err := decodeJSON(text)
	if err != nil {
		return nil, err
	}
	// What the text tells about numbers comes first: of two findings at one place the first counts.
	return append(read.found, checkValue(o.body, read.value, "")...), nil
}

// noDeadline lifts a deadline.
var noDeadline time.Time

func fieldsOf(err error) []domain.Field {
	if e, ok := errors.AsType[*domain.Error](err); ok {
		return e.Fields
	}
	return nil
}

// fingerprint is a hash over operation, entity, parameters and body, the same for every way to write the same body.
func (in input) fingerprint(operation string) string {
	canonical := []byte("null")
	if len(in.text) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(in.text))
		decoder.UseNumber()
		var value any
		if err := decoder.Decode(&value); err == nil {
			canonical, _ = json.Marshal(value) // maps marshal with sorted keys
		}
	}
	if string(canonical) == "{}" {
		canonical = []byte("null") // an empty body says the same as none
	}
	query := url.Values{}
	for name, value := range in.params {
		if name != "dryRun" {
			query.Set(name, value)
		}
	}
	h := sha256.New()
	h.Write([]byte(operation + "\n" + query.Encode() + "\n"))
	h.Write(canonical)
	return hex.EncodeToString(h.Sum(nil))
}

// command makes the envelope of a command.
func (s *Server) command(o operation, r *request, in input) application.Command {
	command := application.Command{
		ID: uuid.NewString(), Operation: o.id, RequestHash: in.fingerprint(o.id),
		Actor: r.who.subject, CorrelationID: r.correlation, TraceParent: r.trace,
		DryRun: in.dryRun, Customer: r.access.customer, MayPrice: r.access.mayPrice,
	}
	if in.key != "" {
		command.ID, command.Keyed = application.CommandID(r.who.subject, in.key), true
	}
	return command
}

// outcome is a finished command, with its state as the API shows it.
type outcome struct {
	id       string
	stream   string
	revision int64
	created  bool
	replayed bool
	view     any
}

func outcomeOf[S any](result application.Result[S], err error, view func(id string, revision int64, state S) any) (outcome, error) {
	if err != nil {
		return outcome{}, err
	}
	return outcome{id: result.ID, stream: result.Stream, revision: result.Revision, created: result.Created, replayed: result.Replayed,
		view: view(result.ID, result.Revision, result.State)}, nil
}

// carryOut is the handler of a command.
func (s *Server) carryOut(do func(ctx context.Context, command application.Command, in input) (outcome, error)) handler {
	return func(c echo.Context, o operation, r *request) error {
		in, err := s.readInput(c, o)
		if err != nil {
			return err
		}
		ctx, cancel := s.bounded(c, 0)
		defer cancel()
		if in.mustExist() && alwaysMakes(o) {
			return &domain.Error{Kind: domain.KindMismatch, Code: "revision_mismatch", Message: "If-Match demands that it exists, but it is only to be made."}
		}
		leave, err := s.gates[classCommand].enter(ctx)
		if err != nil {
			return err
		}
		leave = sync.OnceFunc(leave)
		defer leave()
		done, err := guard(ctx, s, func() (outcome, error) { return s.attempt(ctx, s.command(o, r, in), in, do) })
		if err != nil {
			return commandFailure(err)
		}
		leave() // the reader may take its time
		return s.answerCommand(c, o, in, done)
	}
}

// attempt runs a command at each of the revisions that If-Match names until one is the current one.
func (s *Server) attempt(ctx context.Context, command application.Command, in input, do func(context.Context, application.Command, input) (outcome, error)) (outcome, error) {
	if len(in.revisions) == 0 || in.mustExist() {
		return do(ctx, command, in)
	}
	tried := slices.Min(in.revisions) // a larger one first would hide smaller ones
	for {
		command.IfRevision = &tried
		done, err := do(ctx, command, in)
		e, mismatch := errors.AsType[*domain.Error](err)
		if !mismatch || e.Kind != domain.KindMismatch || e.Revision == nil || *e.Revision <= tried || !slices.Contains(in.revisions, *e.Revision) {
			return done, err
		}
		tried = *e.Revision // revisions only grow, so this ends
	}
}

// commandFailure says what a command that ran out of time may have done: nobody knows.
func commandFailure(err error) error {
	if domain.KindOf(err) != domain.KindInternal || !timeIsUp(err) {
		return err
	}
	refusal := fail("outcome_unknown", "The time was up before the event store answered.")
	refusal.Err = err
	return refusal
}

// places says where the thing that a command is about can be read.
var places = map[string]string{"order": "/v1/orders/", "product": "/v1/products/", "inventory": "/v1/inventory/", "account": "/v1/accounts/"}

func (s *Server) answerCommand(c echo.Context, o operation, in input, done outcome) error {
	h := c.Response().Header()
	h.Set("ETag", revisionTag(done.revision))
	h.Set("Cache-Control", "no-store")
	var risen readmodels.Tidemark // by a dry run nothing does
	if !in.dryRun {
		risen = readmodels.Tidemark{{Stream: done.stream, Revision: done.revision}}
	}
	h.Set("Tidemark", risen.Token())
	if done.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	status := http.StatusOK
	if makes(o, done) && !in.dryRun {
		status = http.StatusCreated
		h.Set("Location", places[domain.Category(done.stream)]+url.PathEscape(done.id))
	}
	return writeJSON(c, status, done.view)
}

// makes says whether the answer is 201: what creates always does, a receipt only as a SKU's first.
func makes(o operation, done outcome) bool {
	return alwaysMakes(o) || o.id == "receiveStock" && done.created
}

func alwaysMakes(o operation) bool {
	return o.id == "createOrder" || o.id == "createProduct" || o.id == "openAccount"
}

// writeJSON answers with a value, without escaping what only matters inside HTML.
func writeJSON(c echo.Context, status int, value any) error {
	body, err := marshal(value)
	if err != nil {
		return err
	}
	return c.Blob(status, echo.MIMEApplicationJSON, body)
}

func marshal(value any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
