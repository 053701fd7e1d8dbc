package httpapi

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// What a person reads first says where and what is wrong, in a sentence.
func TestAnInvalidRequestSaysWhatIsWrongInItsDetail(t *testing.T) {
	for name, c := range map[string]struct {
		found  []domain.Field
		detail string
		first  string
	}{
		"one":           {[]domain.Field{{Pointer: "/quantity", Code: "out_of_range", Detail: "Must be between 1 and 5."}}, "The request is invalid: /quantity: must be between 1 and 5.", "Must be between 1 and 5."},
		"of the domain": {[]domain.Field{{Pointer: "/amount", Code: "out_of_range", Detail: "must be at least 1"}}, "The request is invalid: /amount: must be at least 1.", "Must be at least 1."},
		"the body":      {[]domain.Field{{Code: "invalid_type", Detail: "Must be an object."}}, "The request is invalid: the body: must be an object.", "Must be an object."},
		"several": {[]domain.Field{{Pointer: "/currency", Code: "required", Detail: "Must be given."}, {Pointer: "/items", Code: "required", Detail: "Must be given."}},
			"The request is invalid in 2 places, the first: /currency: must be given.", "Must be given."},
	} {
		p := problemOf(domain.Invalid(c.found...))
		if p.Detail != c.detail || p.Errors[0].Detail != c.first {
			t.Errorf("%s: %q and %q, want %q and %q", name, p.Detail, p.Errors[0].Detail, c.detail, c.first)
		}
	}
}

func TestFindingsAreInWords(t *testing.T) {
	w := newWorld(t)
	answered := w.send("POST", "/v1/orders", `{"CustomerId":"x","customerId":"a b","accountId":"1","currency":"eur","items":[]}`).expect(http.StatusUnprocessableEntity, "invalid_request")
	var p Problem
	if err := json.Unmarshal(answered.Body.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range p.Errors {
		got[f.Pointer] = f.Detail
	}
	want := map[string]string{
		"/CustomerId": `There is no such field; the case counts: "customerId".`,
		"/accountId":  "Must be a UUID in lower case.",
		"/currency":   "Must be an ISO 4217 code in capitals, such as EUR.",
		"/customerId": `Must be 1 to 64 of A-Z, a-z, 0-9, ".", "_", ":" and "-".`,
		"/items":      "Must not be empty.",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A pattern that the document no longer has would leave its words unused, and the new one without any.
func TestPatternsInWordsAreThoseOfTheDocument(t *testing.T) {
	text := string(newWorld(t).document.json)
	for pattern := range patternNames {
		quoted, err := json.Marshal(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, `"pattern": `+string(quoted)) {
			t.Errorf("the document has no pattern %s", pattern)
		}
	}
}
