package httpapi

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestEveryPathSaysWhatItTakes: HEAD tells what GET would, without a body; what a path does not take is refused with
// a list of what it does; OPTIONS without an origin is no secret and changes nothing.
func TestEveryPathSaysWhatItTakes(t *testing.T) {
	w := newWorld(t)
	base := "http://" + w.listening()
	ask := func(method, target string) (*http.Response, []byte) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, base+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, body
	}
	taken := map[string]bool{}
	for _, o := range w.document.operations {
		taken[o.method+" "+o.path] = true
	}
	for _, o := range w.document.operations {
		target := exampleTarget(o, w.document.loaded)
		if o.method == http.MethodGet {
			get, text := ask(http.MethodGet, target)
			head, none := ask(http.MethodHead, target)
			if head.StatusCode != get.StatusCode || len(none) != 0 || len(text) == 0 || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") || head.Header.Get("ETag") != get.Header.Get("ETag") {
				t.Errorf("HEAD %s: %d %v, GET: %d %v", target, head.StatusCode, head.Header, get.StatusCode, get.Header)
			}
		}
		for _, method := range []string{http.MethodPut, http.MethodPatch, http.MethodOptions, http.MethodTrace, "BREW"} {
			if taken[method+" "+o.path] {
				continue
			}
			got, _ := ask(method, target)
			allow := strings.Split(got.Header.Get("Allow"), ", ")
			if method == http.MethodOptions && got.StatusCode == http.StatusNoContent {
				got.StatusCode = http.StatusMethodNotAllowed // it says the same
			}
			if got.StatusCode != http.StatusMethodNotAllowed || !slices.Contains(allow, o.method) {
				t.Errorf("%s %s: %d, Allow %q", method, target, got.StatusCode, allow)
			}
		}
	}
	for _, o := range w.document.operations {
		for _, more := range []string{"/", "//", "/x/y"} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
				target := exampleTarget(o, w.document.loaded) + more
				if got, _ := ask(method, target); got.StatusCode != http.StatusNotFound {
					t.Errorf("%s %s: %d, not 404", method, target, got.StatusCode)
				}
			}
		}
	}
	before := len(w.commands.took())
	if before != 0 {
		t.Errorf("%d commands", before)
	}
	for _, accept := range []string{"application/json", "*/*", "application/xml", "text/html, application/json;q=0.5", "", ";;;", strings.Repeat("a/b,", 500)} {
		got := w.send("GET", "/v1/orders/"+someOrder, "", "Accept", accept).expect(http.StatusOK, "")
		if !strings.HasPrefix(got.Header().Get("Content-Type"), "application/json") {
			t.Errorf("Accept %q: %s", accept, got.Header().Get("Content-Type"))
		}
	}
}
