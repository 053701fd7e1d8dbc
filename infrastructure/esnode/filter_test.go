package esnode

import (
	"testing"

	"github.com/dlclark/regexp2"
	"pgregory.net/rapid"
)

// The quick ways through a filter select what the expression itself does.
func TestQuickFiltersMeanWhatTheyReplace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := "^" + rapid.StringOfN(rapid.SampledFrom([]rune(`aB1-_$.\[^]*|é `)), 0, 6, -1).Draw(t, "expression") + rapid.SampledFrom([]string{"", ".*"}).Draw(t, "end")
		slow, err := regexp2.Compile(expr, regexp2.None)
		if err != nil {
			t.Skip("no expression")
		}
		quick, err := (&filterSpec{Regex: expr}).compile()
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			name := rapid.StringOfN(rapid.SampledFrom([]rune("aB1-_$.[^]*|é \n")), 0, 5, -1).Draw(t, "name")
			want, err := slow.MatchString(name)
			if err != nil {
				t.Fatal(err)
			}
			if got := quick.Match(name, "x"); got != want {
				t.Fatalf("%q on %q: %v, want %v", expr, name, got, want)
			}
		}
	})
}
