package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/readmodels"
)

func TestTheDocumentIsValidWithItsExamples(t *testing.T) {
	loaded, err := openapi3.NewLoader().LoadFromData(documentYAML)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.OpenAPI != "3.1.0" {
		t.Errorf("openapi: %s", loaded.OpenAPI)
	}
	if err := loaded.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
		t.Error(err)
	}
	for name, ref := range loaded.Components.Schemas {
		for _, example := range ref.Value.Examples {
			if found := checkValue(ref.Value, example, ""); len(found) > 0 {
				t.Errorf("schema %s: its example is wrong: %v", name, found)
			}
		}
	}
}

func TestEveryOperationHasAHandlerAndEveryHandlerAnOperation(t *testing.T) {
	w := newWorld(t)
	handlers := w.handlers()
	if err := w.document.check(handlers); err != nil {
		t.Fatal(err)
	}
	handlers["another"] = w.healthz
	if err := w.document.check(handlers); err == nil {
		t.Error("a handler without an operation passes")
	}
	delete(handlers, "another")
	delete(handlers, "getOrder")
	if err := w.document.check(handlers); err == nil {
		t.Error("an operation without a handler passes")
	}
}

func TestEveryRouteIsInTheDocument(t *testing.T) {
	w := newWorld(t)
	router, err := w.routes()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, o := range w.document.operations {
		known[o.method+" "+o.path] = true
	}
	for _, r := range router.Routes() {
		plain := strings.HasPrefix(r.Path, "/docs") || strings.HasPrefix(r.Path, "/openapi.")
		if r.Method == http.MethodHead {
			r.Method = http.MethodGet
		}
		if !plain && !known[r.Method+" "+r.Path] {
			t.Errorf("route %s %s is not in the document", r.Method, r.Path)
		}
	}
}

func TestBodiesHaveTheFieldsOfTheirSchemas(t *testing.T) {
	w := newWorld(t)
	for name, body := range bodies {
		schema := w.document.loaded.Components.Schemas[name]
		if schema == nil {
			t.Errorf("there is no schema %s", name)
			continue
		}
		var fields, properties []string
		for field := range reflect.TypeOf(body).Fields() {
			fields = append(fields, field.Tag.Get("json"))
		}
		for property := range schema.Value.Properties {
			properties = append(properties, property)
		}
		slices.Sort(fields)
		slices.Sort(properties)
		if diff := cmp.Diff(properties, fields); diff != "" {
			t.Errorf("%s (-schema +type):\n%s", name, diff)
		}
		if has := schema.Value.AdditionalProperties.Has; has == nil || *has {
			t.Errorf("%s lets unknown fields pass", name)
		}
	}
	for _, o := range w.document.operations {
		if o.body != nil && !slices.ContainsFunc(reflect.ValueOf(bodies).MapKeys(), func(k reflect.Value) bool {
			return w.document.loaded.Components.Schemas[k.String()].Value == o.body
		}) {
			t.Errorf("no type takes the body of %s", o.id)
		}
	}
}

func TestAnswersHaveTheFieldsOfTheirSchemas(t *testing.T) {
	w := newWorld(t)
	for name, answer := range map[string]any{
		"Order": readmodels.Order{}, "OrderRow": readmodels.OrderRow{}, "Product": readmodels.Product{}, "Stock": readmodels.Stock{}, "Account": readmodels.Account{},
		"Fulfilment": readmodels.Fulfilment{}, "ReadModel": readmodels.ReadModel{}, "Problem": Problem{}, "Check": Check{}, "Retried": readmodels.Retried{},
		"StatementEntry": readmodels.Entry{}, "StockMovement": readmodels.Movement{}, "Event": readmodels.Event{}, "Customer": readmodels.Customer{},
		"Board": readmodels.Board{}, "BoardRow": readmodels.BoardRow{}, "Blocked": readmodels.Blocked{}, "OrderLine": readmodels.OrderItem{}, "FulfilmentStep": readmodels.FulfilmentStep{},
	} {
		schema := w.document.loaded.Components.Schemas[name].Value
		var fields []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(answer)) {
			if tag, _, _ := strings.Cut(field.Tag.Get("json"), ","); tag != "" {
				fields = append(fields, tag)
			}
		}
		for _, required := range schema.Required {
			if !slices.Contains(fields, required) {
				t.Errorf("%s: the answer lacks %s", name, required)
			}
		}
		for _, field := range fields {
			if schema.Properties[field] == nil {
				t.Errorf("%s: the schema lacks %s", name, field)
			}
		}
	}
}

// exampleTarget is an operation's path with the examples of its parameters.
func exampleTarget(o operation, loaded *openapi3.T) string {
	target := o.path
	for _, ref := range loaded.Components.Parameters {
		p := ref.Value
		if p.In == "path" && p.Example != nil {
			if own, ok := o.parameter("path", p.Name); ok && own.schema == p.Schema.Value {
				target = strings.ReplaceAll(target, ":"+p.Name, fmt.Sprint(p.Example))
			}
		}
	}
	return target
}

// exampleBody is the example of the schema of an operation's body.
func exampleBody(t *testing.T, o operation) string {
	t.Helper()
	if o.media == "application/x-ndjson" {
		return `{"customerId":"customer-42","accountId":"` + someAccount + `","currency":"EUR","items":[{"sku":"TEA","quantity":2,"unitPrice":450}]}` + "\n"
	}
	if o.body == nil {
		return ""
	}
	if len(o.body.Examples) == 0 {
		t.Errorf("%s: its body has no example", o.id)
		return ""
	}
	text, err := json.Marshal(o.body.Examples[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTheExampleOfEveryOperationIsServedAsDocumented(t *testing.T) {
	w := newWorld(t)
	for _, o := range w.document.operations {
		t.Run(o.id, func(t *testing.T) {
			w.commands.created = true
			target, body := exampleTarget(o, w.document.loaded), exampleBody(t, o)
			if strings.Contains(target, ":") {
				t.Fatalf("a parameter of %s has no example", target)
			}
			headers := []string{}
			if o.media == "application/x-ndjson" {
				headers = append(headers, "Content-Type", o.media)
			}
			got := w.send(o.method, target, body, headers...)
			if got.Code != o.status {
				t.Fatalf("%s %s: %d, documented is %d\n%s", o.method, target, got.Code, o.status, clipped(got.Body))
			}
			if o.id == "getJob" || strings.HasSuffix(o.id, "ReadModel") && o.method == "POST" {
				if strings.Contains(got.Body.String(), "beat") {
					t.Errorf("the answer has the job's inner signs: %s", got.Body)
				}
			}
			if o.status == http.StatusCreated && got.Header().Get("Location") == "" || o.status == http.StatusAccepted && got.Header().Get("Location") == "" {
				t.Error("no Location")
			}
		})
	}
}

func TestEveryCodeHasAPageAndEveryRefusalOfTheDocumentACode(t *testing.T) {
	w := newWorld(t)
	for _, code := range codes() {
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(code) {
			t.Errorf("code %q is not snake_case", code)
		}
		page := w.send("GET", problem(code, "").Type, "")
		if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), code) || !strings.Contains(page.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", problem(code, "").Type, page.Code, page.Header().Get("Content-Type"))
		}
	}
	w.send("GET", "/docs/errors/nonsense", "").expect(http.StatusNotFound, "not_found")
	for _, item := range w.document.loaded.Paths.Map() {
		for _, op := range item.Operations() {
			refusals, _ := op.Extensions["x-refusals"].([]any)
			for _, code := range refusals {
				if catalogue[fmt.Sprint(code)].status != http.StatusConflict {
					t.Errorf("%s names the refusal %v, which the catalogue does not have as 409", op.OperationID, code)
				}
			}
		}
	}
}

// TestRefusalsOfTheRestAreInTheCatalogue reads the sources: a code that is given to callers must be known here.
func TestRefusalsOfTheRestAreInTheCatalogue(t *testing.T) {
	// Between a process and its own commands, of deliveries, or answered by a reset: never answers to callers.
	inner := map[string]bool{"superseded": true, "idle": true, "reservation_gone": true, "order_moved_on": true, "nothing_to_do": true,
		"contended_document": true, "other_release": true, "invalid_resume_point": true}
	refusals := regexp.MustCompile(`(?:domain\.)?Refuse\("([a-z_]+)"`)
	others := regexp.MustCompile(`Kind: +(?:domain\.)?Kind(Invalid|Malformed|Forbidden|Conflict|Mismatch|Unavailable|Stale|Unknown),\s+Code: +"([a-z_]+)"`)
	found := 0
	for _, dir := range []string{"../domain", "../application", "../readmodels", "../infrastructure/esdb", "../infrastructure/codec", "../infrastructure/sqlitedocs", "../infrastructure/mongodocs"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, match := range others.FindAllSubmatch(text, -1) {
				found++
				_, known := catalogue[string(match[2])]
				if _, stands := alias[string(match[2])]; !known && !stands && !inner[string(match[2])] {
					t.Errorf("%s fails with %s, which the catalogue does not have", path, match[2])
				}
			}
			for _, match := range refusals.FindAllSubmatch(text, -1) {
				found++
				if e, known := catalogue[string(match[1])]; !inner[string(match[1])] && (!known || e.status != http.StatusConflict) {
					t.Errorf("%s refuses with %s, which the catalogue does not have as 409", path, match[1])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 15 {
		t.Errorf("only %d refusals found: the search is broken", found)
	}
}

func TestTheDocumentAndItsPagesAreServedFromHere(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]string{
		"/openapi.json": "application/json", "/openapi.yaml": "application/yaml", "/docs": "text/html", "/docs/start.js": "text/javascript",
		"/docs/page.css": "text/css", "/docs/swagger-ui-bundle.js": "text/javascript", "/docs/swagger-ui.css": "text/css", "/docs/favicon-32x32.png": "image/png", "/docs/LICENSE": "text/plain",
	} {
		got := w.send("GET", target, "")
		if got.Code != http.StatusOK || !strings.HasPrefix(got.Header().Get("Content-Type"), want) || got.Body.Len() == 0 {
			t.Errorf("%s: %d %s", target, got.Code, got.Header().Get("Content-Type"))
		}
		tag := got.Header().Get("ETag")
		if again := w.send("GET", target, "", "If-None-Match", tag); tag == "" || again.Code != http.StatusNotModified {
			t.Errorf("%s with its ETag %s: %d", target, tag, again.Code)
		}
		if strings.HasPrefix(target, "/docs") && !strings.HasPrefix(got.Header().Get("Content-Security-Policy"), "default-src 'self'") {
			t.Errorf("%s: policy %q", target, got.Header().Get("Content-Security-Policy"))
		}
	}
	page := w.send("GET", "/docs", "").Body.String()
	for _, outside := range []string{"http://", "https://", "//cdn"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page reaches outside: %s", outside)
		}
	}
	var served map[string]any
	if err := json.Unmarshal(w.send("GET", "/openapi.json", "").Body.Bytes(), &served); err != nil || served["openapi"] != "3.1.0" {
		t.Errorf("openapi.json: %v %v", served["openapi"], err)
	}
}

func TestShippedFilesAreThoseOnRecord(t *testing.T) {
	record, err := os.ReadFile("docs/swagger-ui/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([0-9a-f]{64})` \\|$").FindAllSubmatch(record, -1)
	if len(rows) != 3 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		content, err := os.ReadFile("docs/swagger-ui/" + string(row[1]))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != string(row[2]) {
			t.Errorf("%s differs from its record", row[1])
		}
	}
}

func BenchmarkCreateOrder(b *testing.B) {
	w := newWorld(b)
	body := `{"customerId":"customer-42","accountId":"` + someAccount + `","currency":"EUR","items":[{"sku":"TEA","quantity":2,"unitPrice":450},{"sku":"POT","quantity":1,"unitPrice":2450},{"sku":"CUP","quantity":6,"unitPrice":300}]}`
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "http://127.0.0.1/v1/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if got := w.do(r); got.Code != http.StatusCreated {
			b.Fatal(got.Body)
		}
		w.commands.calls = w.commands.calls[:0]
	}
}
