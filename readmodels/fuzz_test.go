package readmodels

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tidemark-dev/tidemark/domain"
)

// FuzzCursor: a cursor is one that was handed out for this list, or refused.
func FuzzCursor(f *testing.F) {
	filter := filterHash("listOrders", map[string]string{"status": "created"})
	f.Add(encodeCursor(filter, []any{"2026-03-01T00:00:00.000000Z", "x"}))
	f.Add(encodeCursor(filter, []any{int64(5), true}))
	f.Add(encodeCursor(filterHash("listOrders", nil), []any{"a", "b"}))
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, cursor string) {
		after, err := decodeCursor(cursor, filter, 2)
		switch {
		case err != nil && (domain.CodeOf(err) != "invalid_cursor" || domain.KindOf(err) != domain.KindMalformed):
			t.Fatalf("%q: %v", cursor, err)
		case err == nil && cursor != "" && len(after) != 2:
			t.Fatalf("%q is %v", cursor, after)
		}
	})
}

// FuzzResume: a resume point is one that was handed out for this model, or refused.
func FuzzResume(f *testing.F) {
	f.Add(resumeToken("order_board", 7, Tidemark{{Stream: "order-1", Revision: 3}}))
	f.Add(resumeToken("stock_levels", 7, nil))
	f.Add("")
	f.Add("AQAAAAA")
	f.Fuzz(func(t *testing.T, token string) {
		position, marks, err := parseResume("order_board", token)
		if err != nil {
			if domain.CodeOf(err) != "invalid_resume_point" {
				t.Fatalf("%q: %v", token, err)
			}
			return
		}
		again, others, err := parseResume("order_board", resumeToken("order_board", position, marks))
		if err != nil || again != position || cmp.Diff(marks.Merged(), others.Merged()) != "" {
			t.Fatalf("%q is %d %v, then %d %v %v", token, position, marks, again, others, err)
		}
	})
}
