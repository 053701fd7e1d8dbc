package esnode

import (
	"strings"
	"testing"

	"github.com/dlclark/regexp2"
)

// FuzzFilter: an expression that is recognised as a plain prefix selects what the expression itself selects,
// and no expression brings the node down or holds it up.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"^order-", "^order-.*", `^\$`, `^[^\$].*`, `^[^$]`, "^a|b", "(a+)+$", "^", ".*", `^order\-1`, "[", `^a.*b`, `^\d`, "(?i)^ORDER", `^a\.*`} {
		f.Add(seed, "order-1")
		f.Add(seed, "$ce-order")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		spec := &filterSpec{Regex: pattern}
		compiled, err := spec.compile()
		if err != nil || pattern == "" || name == "" || strings.ContainsAny(name, "\r\n") {
			return
		}
		got := compiled.Match(name, "")
		if compiled.pattern != nil {
			return // it is the expression
		}
		plain, err := regexp2.Compile(pattern, regexp2.None)
		if err != nil {
			t.Fatalf("%q is no expression, but was taken: %v", pattern, err)
		}
		plain.MatchTimeout = matchWithin
		if want, err := plain.MatchString(name); err == nil && want != got {
			t.Fatalf("%q on %q: %v, the expression says %v", pattern, name, got, want)
		}
	})
}
