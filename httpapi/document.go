package httpapi

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
)

// documentYAML is the API's document: the source of routes, parameters and schemas.
//
//go:embed openapi.yaml
var documentYAML []byte

// operation is one operation of the document, ready to be served.
type operation struct {
	id     string
	method string
	path   string // as echo writes it: /v1/orders/:id
	params []parameter
	body   *openapi3.Schema // of a JSON body; nil: it takes none
	media  string           // of the body
	needs  bool             // the body must be there
	roles  []string         // nil: open to everybody
	status int              // of success
	list   bool
}

type parameter struct {
	name     string
	in       string
	required bool
	schema   *openapi3.Schema
}

// document is the loaded API document.
type document struct {
	loaded     *openapi3.T
	operations []operation // sorted by id
	json       []byte
	yaml       []byte
}

// theDocument is the embedded one; nobody changes it, and reading it takes a tenth of a second.
var theDocument = sync.OnceValues(func() (*document, error) { return loadDocument(documentYAML) })

func loadDocument(text []byte) (*document, error) {
	loaded, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("read the OpenAPI document: %w", err)
	}
	asJSON, err := loaded.MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("write the OpenAPI document as JSON: %w", err)
	}
	asJSON, err = ordered(asJSON)
	if err != nil {
		return nil, err
	}
	// The library compiles 3.1 schemas anew for every value, 13 times slower. None of the keywords used
	// here means another thing in 3.0; clients still get the document as it is.
	loaded.OpenAPI = "3.0.3"
	d := &document{loaded: loaded, json: asJSON, yaml: text}
	for path, item := range loaded.Paths.Map() {
		for method, op := range item.Operations() {
			o, err := readOperation(method, path, op)
			if err != nil {
				return nil, err
			}
			d.operations = append(d.operations, o)
		}
	}
	slices.SortFunc(d.operations, func(a, b operation) int { return strings.Compare(a.id, b.id) })
	return d, nil
}

// ordered lays the document out for people who open it in a browser.
func ordered(text []byte) ([]byte, error) {
	var raw json.RawMessage = text
	pretty, err := json.MarshalIndent(raw, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("lay out the OpenAPI document: %w", err)
	}
	return append(pretty, '\n'), nil
}

func readOperation(method, path string, op *openapi3.Operation) (operation, error) {
	o := operation{id: op.OperationID, method: method, path: echoPath(path)}
	if o.id == "" {
		return o, fmt.Errorf("%s %s has no operationId", method, path)
	}
	for _, ref := range op.Parameters {
		p := ref.Value
		o.params = append(o.params, parameter{name: p.Name, in: p.In, required: p.Required, schema: p.Schema.Value})
		o.list = o.list || p.Name == "cursor"
	}
	if op.RequestBody != nil {
		o.needs = op.RequestBody.Value.Required
		for media, content := range op.RequestBody.Value.Content {
			o.media = media
			if media == "application/json" {
				o.body = content.Schema.Value
			}
		}
	}
	if op.Security == nil {
		return o, fmt.Errorf("operation %s does not say who may call it", o.id)
	}
	for _, requirement := range *op.Security {
		o.roles = append(o.roles, requirement["bearer"]...)
	}
	for code := range op.Responses.Map() {
		for _, success := range []int{http.StatusOK, http.StatusCreated, http.StatusAccepted} {
			if code == fmt.Sprint(success) {
				o.status = max(o.status, success)
			}
		}
	}
	return o, nil
}

// echoPath turns {id} into :id.
func echoPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}

// parameter finds one by its place and name.
func (o operation) parameter(in, name string) (parameter, bool) {
	for _, p := range o.params {
		if p.in == in && p.name == name {
			return p, true
		}
	}
	return parameter{}, false
}

// check holds the document against the handlers and the policy: every operation has exactly one
// handler, and the roles that it names are those of the policy.
func (d *document) check(handlers map[string]handler) error {
	unhandled := maps.Clone(handlers)
	for _, o := range d.operations {
		if _, ok := handlers[o.id]; !ok {
			return fmt.Errorf("operation %s of the OpenAPI document has no handler", o.id)
		}
		if _, ok := unhandled[o.id]; !ok {
			return fmt.Errorf("operation %s is twice in the OpenAPI document", o.id)
		}
		delete(unhandled, o.id)
		if said, held := slices.Sorted(slices.Values(o.roles)), rolesOf(o.id); !slices.Equal(said, held) {
			return fmt.Errorf("operation %s: the document names the roles %v, the policy %v", o.id, said, held)
		}
	}
	for id := range unhandled {
		return fmt.Errorf("handler %s has no operation in the OpenAPI document", id)
	}
	return nil
}

// file serves bytes that never change while the process runs, with a validator.
func file(mediaType string, content []byte) echo.HandlerFunc {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return func(c echo.Context) error {
		h := c.Response().Header()
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		if noneMatch(c.Request().Header, tag) {
			return c.NoContent(http.StatusNotModified)
		}
		return c.Blob(http.StatusOK, mediaType, content)
	}
}
