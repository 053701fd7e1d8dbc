package domain_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
)

func TestArithmeticIsExactOrRefused(t *testing.T) {
	limit := big.NewInt(domain.MaxAmount)
	within := func(n *big.Int) bool { return new(big.Int).Abs(n).Cmp(limit) <= 0 }
	numbers := rapid.OneOf(
		rapid.Int64(),
		rapid.Int64Range(-domain.MaxAmount, domain.MaxAmount),
		rapid.Int64Range(-3, 3),
		rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, domain.MaxAmount, -domain.MaxAmount, domain.MaxAmount + 1}),
	)
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbers.Draw(t, "a"), numbers.Draw(t, "b")
		x, y := big.NewInt(a), big.NewInt(b)
		sound := within(x) && within(y)
		sum, ok := domain.Add(a, b)
		if exact := new(big.Int).Add(x, y); ok != (sound && within(exact)) || ok && exact.Int64() != sum {
			t.Fatalf("Add(%d, %d) = %d, %v", a, b, sum, ok)
		}
		product, ok := domain.Mul(a, b)
		if exact := new(big.Int).Mul(x, y); ok != (sound && within(exact)) || ok && exact.Int64() != product {
			t.Fatalf("Mul(%d, %d) = %d, %v", a, b, product, ok)
		}
	})
}

func TestWordsHaveTheirForm(t *testing.T) {
	const uuid = "0198c1f2-7b3a-7c4d-8e5f-60718293a4b5"
	for _, c := range []struct {
		name  string
		valid func(string) bool
		yes   []string
		no    []string
	}{
		{"sku", domain.ValidSKU, []string{"A", "9", "AB-1", "Z_9.-", strings.Repeat("A", 64)},
			[]string{"", "a", "-A", ".A", "_A", "A B", "A/B", "Ä", strings.Repeat("A", 65), "A\n"}},
		{"customer", domain.ValidCustomerID, []string{"c", "a:b", "A.b_c-9", "-", strings.Repeat("x", 64)},
			[]string{"", "a b", "a/b", "ü", strings.Repeat("x", 65), "a\n"}},
		{"uuid", domain.ValidUUID, []string{uuid, strings.Repeat("0", 8) + uuid[8:]},
			[]string{"", strings.ToUpper(uuid), uuid[:35], uuid + "0", strings.ReplaceAll(uuid, "-", ""), "{" + uuid[1:], strings.Replace(uuid, "f", "g", 1)}},
		{"currency", domain.ValidCurrency, []string{"EUR", "USD", "JPY", "AED", "ZWG"},
			[]string{"", "eur", "EU", "EURO", "XXX", "ABC", " EU", "R G", "   "}},
	} {
		for _, s := range c.yes {
			if !c.valid(s) {
				t.Errorf("%s: %q is refused", c.name, s)
			}
		}
		for _, s := range c.no {
			if c.valid(s) {
				t.Errorf("%s: %q is taken", c.name, s)
			}
		}
	}
}

func TestFindingsSayAllThatIsWrongAtOnce(t *testing.T) {
	var found domain.Findings
	if err := found.Err(); err != nil {
		t.Fatalf("nothing found, but %v", err)
	}
	found.Range("/a", 0, 1, 2)
	found.Range("/fine", 2, 1, 2)
	found.Text("/b", " \t", true, 9)
	found.Text("/c", "x\x00y", false, 9)
	found.Text("/d", "ääää", false, 3)
	found.Text("/fine", "ä\nä", true, 3)
	found.Text("/e", "\xff", false, 3)
	err := found.Err()
	if domain.KindOf(err) != domain.KindInvalid || domain.CodeOf(err) != "invalid_request" {
		t.Fatalf("err = %v", err)
	}
	var got []string
	for _, f := range err.(*domain.Error).Fields {
		got = append(got, f.Pointer+" "+f.Code)
	}
	want := []string{"/a out_of_range", "/b required", "/c invalid_characters", "/d too_long", "/e invalid_characters"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
