package esnode

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The tests that the documentation names are there.
func TestDocumentedTestsExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/node.md")
	if err != nil {
		t.Fatal(err)
	}
	var sources strings.Builder
	err = fs.WalkDir(os.DirFS("."), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		sources.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1)
	if len(named) < 28 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, name := range named {
		if !strings.Contains(sources.String(), "\nfunc "+name[1]+"(t *testing.T)") {
			t.Errorf("%s is documented and does not exist", name[1])
		}
	}
	for _, pitfall := range regexp.MustCompile(`(?m)^\| (\d+)\. .*\|$`).FindAllString(string(text), -1) {
		if !strings.Contains(pitfall, "`Test") {
			t.Errorf("no test for: %s", pitfall)
		}
	}
}
