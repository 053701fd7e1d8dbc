package readmodels

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
)

func drawMarks(t *rapid.T) Tidemark {
	id := rapid.OneOf(rapid.Just(orderID(1)), rapid.Just(accountID(7)), rapid.StringMatching(`[A-Z0-9][A-Z0-9._-]{0,20}`), rapid.Just("01234567-89AB-7000-8000-000000000000"))
	category := rapid.SampledFrom([]string{"order", "product", "inventory", "account", "fulfilment", "another"})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Mark {
		return Mark{Stream: domain.Stream(category.Draw(t, "category"), id.Draw(t, "id")), Revision: rapid.Int64Range(0, 1<<62).Draw(t, "revision")}
	}), 0, 20).Draw(t, "marks")
}

func TestTokenSaysWhatWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		marks := drawMarks(t)
		got, err := ParseTidemark(marks.String())
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+len(marks) > 0 {
			if diff := cmp.Diff(marks.Merged(), got); diff != "" {
				t.Fatalf("(-in +out)\n%s", diff)
			}
		}
		more := drawMarks(t)
		if len(marks) == 0 || len(more) == 0 {
			return
		}
		both, err := ParseTidemark(marks.String() + " , " + more.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(append(marks, more...).Merged(), both); diff != "" {
			t.Fatalf("(-in +out)\n%s", diff)
		}
	})
}

func TestNothingHasATokenToo(t *testing.T) {
	for _, nothing := range []Tidemark{nil, {}, {{Stream: "order-1", Revision: domain.NoStream}}} {
		marks, err := ParseTidemark(nothing.Token())
		if nothing.Token() == "" || err != nil || len(marks) != 0 {
			t.Errorf("%v: token %q, read as %v, %v", nothing, nothing.Token(), marks, err)
		}
	}
}

func TestDamagedTokensAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		token := Tidemark{{Stream: "order-" + orderID(1), Revision: 3}, {Stream: "inventory-A", Revision: 7}}.String()
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		to := rapid.SampledFrom(strings.Split("ABCabc019-_.,!ü", "")).Draw(t, "to")
		damaged := token[:at] + to + token[at+1:]
		if damaged == token {
			return
		}
		if _, err := ParseTidemark(damaged); domain.KindOf(err) != domain.KindMalformed || domain.CodeOf(err) != "invalid_tidemark" {
			t.Fatalf("%q: %v", damaged, err)
		}
	})
	for _, bad := range []string{"x", "AAAA", strings.Repeat("A", 9000), ",", "  , "} {
		if _, err := ParseTidemark(bad); domain.KindOf(err) != domain.KindMalformed {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if marks, err := ParseTidemark(""); err != nil || marks != nil {
		t.Errorf("no token: %v %v", marks, err)
	}
}

func TestTokensAreShort(t *testing.T) {
	one := Tidemark{{Stream: "order-" + orderID(1), Revision: 3}}.String()
	if len(one) > 40 {
		t.Errorf("one mark takes %d characters", len(one))
	}
	var many Tidemark
	for i := range 2 * MaxMarks {
		many = append(many, Mark{Stream: "order-" + orderID(i), Revision: int64(i)})
	}
	if token := many.String(); len(token) > maxTokenChars {
		t.Errorf("the longest token has %d characters", len(token))
	} else if marks, err := ParseTidemark(token); err != nil || len(marks) != MaxMarks {
		t.Errorf("%d marks, %v", len(marks), err)
	}
}

func FuzzParseTidemark(f *testing.F) {
	f.Add("")
	f.Add(Tidemark{{Stream: "order-" + orderID(1), Revision: 3}, {Stream: "x", Revision: 0}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		marks, err := ParseTidemark(text)
		if err != nil {
			return
		}
		again, err := ParseTidemark(marks.String())
		if err != nil || !cmp.Equal(marks, again) {
			t.Errorf("%q: %v, then %v (%v)", text, marks, again, err)
		}
	})
}

func TestCursorsBelongToTheirList(t *testing.T) {
	filter := filterHash("listOrders", map[string]string{"status": "created", "limit": "5", "cursor": "x"})
	cursor := encodeCursor(filter, []any{"2026", int64(1) << 60, true, "id"})
	after, err := decodeCursor(cursor, filterHash("listOrders", map[string]string{"status": "created", "limit": "7"}), 4)
	if err != nil || !cmp.Equal(after, []any{"2026", int64(1) << 60, true, "id"}) {
		t.Fatalf("%v, %v", after, err)
	}
	damaged := "B" + cursor[1:]
	for what, c := range map[string]struct {
		cursor string
		filter []byte
		values int
	}{
		"another filter":  {cursor, filterHash("listOrders", map[string]string{"status": "shipped"}), 4},
		"another list":    {cursor, filterHash("listAudit", map[string]string{"status": "created"}), 4},
		"another sorting": {cursor, filter, 3},
		"damage":          {damaged, filter, 4},
		"shortened":       {cursor[:9], filter, 4},
		"nonsense":        {"?", filter, 4},
	} {
		if _, err := decodeCursor(c.cursor, c.filter, c.values); domain.KindOf(err) != domain.KindMalformed || domain.CodeOf(err) != "invalid_cursor" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whoever computes the checksum can put anything into a cursor. It is refused like any other damage.
func TestForgedCursorsAreRefused(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	ask := Ask{Params: map[string]string{}}
	filter := filterHash(orderList.operation, ask.Params, "", Stamp(ask.AsOf))
	for _, forged := range [][]any{{"2026", nil}, {"2026", true}, {"2026", 7}, {"2026", []any{"x"}}, {map[string]any{"$gt": ""}, "x"}, {[]any{1}, "x"}, {"2026", 1e300}} {
		ask.Cursor = encodeCursor(filter, forged)
		if _, err := orderList.answer(t.Context(), e.Reader(), ask); domain.CodeOf(err) != "invalid_cursor" {
			t.Errorf("%v: %v", forged, err)
		}
	}
	for _, odd := range []any{"2026", nil, true, 7} {
		ask.Cursor = encodeCursor(filter, []any{odd, "x"})
		if _, err := orderList.answer(t.Context(), e.Reader(), ask); err != nil {
			t.Errorf("behind %v: %v", odd, err)
		}
	}
}
