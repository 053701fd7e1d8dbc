package codec

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// storedName finds where a type of the domain is given its stored name.
var storedName = regexp.MustCompile(`(?m)^func \((?:\w+ )?\w+\) EventType\(\) string\s*{ return "(\w+)" }`)

func TestEveryStoredNameIsInAList(t *testing.T) {
	var named []string
	for _, pattern := range []string{"../../domain/*.go", "../../domain/*/*.go"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if regexp.MustCompile(`_test\.go$`).MatchString(path) {
				continue
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range storedName.FindAllSubmatch(text, -1) {
				named = append(named, string(match[1]))
			}
		}
	}
	slices.Sort(named)
	if diff := cmp.Diff(named, Types()); diff != "" {
		t.Errorf("types that carry a stored name (-), lists of events (+):\n%s", diff)
	}
}
