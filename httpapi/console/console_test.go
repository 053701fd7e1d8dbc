package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func ask(t *testing.T, path, etag string) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequest(http.MethodGet, path, nil)
	if etag != "" {
		request.Header.Set("If-None-Match", etag)
	}
	answer := httptest.NewRecorder()
	Handler().ServeHTTP(answer, request)
	return answer
}

func TestPagesAreServedWithTypesAndValidators(t *testing.T) {
	for path, contentType := range map[string]string{
		"/console": "text/html", "/console/": "text/html", "/console/app.js": "text/javascript", "/console/style.css": "text/css",
		"/console/vendor/htm-preact.js": "text/javascript", "/console/no/such/path": "text/html",
	} {
		answer := ask(t, path, "")
		if answer.Code != http.StatusOK || !strings.HasPrefix(answer.Header().Get("Content-Type"), contentType) || answer.Body.Len() == 0 {
			t.Errorf("%s: %d %s", path, answer.Code, answer.Header())
		}
		if again := ask(t, path, answer.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s again: %d with %d bytes", path, again.Code, again.Body.Len())
		}
	}
}

// TestPagesNeedNothingFromOutside holds that every address in the pages is one of this service.
func TestPagesNeedNothingFromOutside(t *testing.T) {
	address := regexp.MustCompile(`(?:src|href|from|fetch\()\s*=?\s*['"(]+(https?:)?//`)
	imported := regexp.MustCompile(`from '(/console/[^']+)'`)
	err := fs.WalkDir(embedded, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(name, "vendor/") {
			return err
		}
		text, err := fs.ReadFile(embedded, name)
		if found := address.Find(text); found != nil {
			t.Errorf("%s loads from outside: %s", name, found)
		}
		for _, module := range imported.FindAllSubmatch(text, -1) {
			if answer := ask(t, string(module[1]), ""); !strings.HasPrefix(answer.Header().Get("Content-Type"), "text/javascript") {
				t.Errorf("%s imports %s, which is not there", name, module[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
