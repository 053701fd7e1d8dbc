package readmodels

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
)

// Sums explains an answer that adds up documents of many streams. The newest of them are explained, at most
// explainedDocuments for each field and explainedMost for a whole answer, each completely: Values is what
// these add up to, field by field. They are the fields of the answer themselves unless the explanation
// says that it is shortened.
type Sums struct {
	Documents int64            `json:"documents"` // that the answer adds up; for sales, rows
	Explained int64            `json:"explained"` // of these
	Values    map[string]int64 `json:"values"`
}

const (
	explainedDocuments = 50
	explainedMost      = 500
)

// What one order adds to a sum is computed from these.
var (
	spendingRules = rules{"orders": {"~.customerId"}, "open": {"~.status"},
		"spent": {"~.customerId", "~.currency", "~.status", "~.confirmedAt", "~.items[*].quantity", "~.items[*].unitPrice"}}
	salesRules = rules{"units": {"~.items[*].quantity", "~.confirmedAt"}, "revenue": {"~.items[*].quantity", "~.items[*].unitPrice", "~.confirmedAt"},
		"currency": {"~.currency"}}
)

func newSums(documents int64) Explanation {
	return Explanation{Fields: map[string][]Cause{}, Sums: &Sums{Documents: documents, Values: map[string]int64{}}}
}

// include adds what one document contributes: whole numbers other than 0.
func (x *Explanation) include(t *tracer, leaves []leaf) {
	x.Sums.Explained++
	for _, l := range leaves {
		digits, number := strings.CutPrefix(l.value, "json.Number ")
		n, err := strconv.ParseInt(digits, 10, 64)
		if l.path == "" || !number || err != nil || n == 0 {
			continue
		}
		x.add(l.path, t, l.key, 0)
		x.Sums.Values[l.path] += n
	}
}

// complete puts the events of each field in order and says whether documents are missing.
func (x *Explanation) complete() {
	for field, causes := range x.Fields {
		slices.SortFunc(causes, func(a, b Cause) int {
			return cmp.Or(strings.Compare(a.At, b.At), strings.Compare(a.Stream, b.Stream), cmp.Compare(a.Revision, b.Revision))
		})
		x.Fields[field] = slices.Compact(causes) // a document may add to a day more than once
	}
	if x.Sums.Explained < x.Sums.Documents {
		x.Shortened = true
	}
}

// includeDocuments explains what documents contribute.
func (r *Reader) includeDocuments(ctx context.Context, x *Explanation, m *Model, documents []Document, adds func(*working) (view, rules)) error {
	for _, d := range documents {
		t, leaves, err := r.trace(ctx, m, d.ID, until{sources: d.Sources}, adds)
		if err != nil {
			return err
		}
		x.include(t, leaves)
	}
	return nil
}

// explainedCustomer adds to a customer's totals which events made them.
func (r *Reader) explainedCustomer(ctx context.Context, g generation, customer Customer) (any, error) {
	documents, err := r.documents.Find(ctx, g.documents(), Find{Where: []Condition{{Path: "customerId", Op: Equal, Value: customer.ID}},
		Sort: []Sort{{Path: "createdAt", Desc: true}}, Limit: explainedDocuments})
	if err != nil {
		return nil, err
	}
	x := newSums(customer.Orders)
	err = r.includeDocuments(ctx, &x, customerOrders, documents, func(w *working) (view, rules) {
		d := w.state.(*orderRow)
		adds := map[string]any{"orders": 1, "open": d.Open, "spent": map[string]int64{d.Currency: d.Spent}}
		return view{shown: adds, basis: d.Order}, spendingRules
	})
	if err != nil {
		return nil, err
	}
	x.complete()
	return withMember(customer, "explain", x)
}

// explainedBoard adds to the board which events made its counts and its rows.
func (r *Reader) explainedBoard(ctx context.Context, g generation, board Board, waiting, prepared []Document) (any, error) {
	all := int64(0)
	for _, n := range board.Counts {
		all += n
	}
	x := newSums(all)
	for _, status := range statuses {
		if board.Counts[string(status)] == 0 {
			continue
		}
		documents, err := r.documents.Find(ctx, g.documents(), Find{Where: []Condition{{Path: "status", Op: Equal, Value: string(status)}},
			Sort: []Sort{{Path: "since", Desc: true}}, Limit: explainedDocuments})
		if err != nil {
			return nil, err
		}
		err = r.includeDocuments(ctx, &x, orderBoard, documents, func(w *working) (view, rules) {
			return view{shown: map[string]any{"counts": map[string]int64{w.state.(*boardRow).Status: 1}}}, nil
		})
		if err != nil {
			return nil, err
		}
	}
	x.complete()
	for list, documents := range map[string][]Document{"oldestWaiting": waiting, "toShip": prepared} {
		for i, d := range documents {
			row, err := r.explain(ctx, orderBoard, d.ID, until{sources: d.Sources})
			if err != nil {
				return nil, err
			}
			x.nest(list+"."+strconv.Itoa(i)+".", row)
		}
	}
	return withMember(board, "explain", x)
}

// nest takes over the explanation of a part.
func (x *Explanation) nest(prefix string, part Explanation) {
	for path, causes := range part.Fields {
		x.Fields[prefix+path] = causes
	}
	for path, n := range part.Omitted {
		if x.Omitted == nil {
			x.Omitted = map[string]int{}
		}
		x.Omitted[prefix+path] = n
	}
	x.Shortened = x.Shortened || part.Shortened
}

// explainedSales adds to each day which events made its sums.
func (r *Reader) explainedSales(ctx context.Context, items []any) ([]any, error) {
	g, err := r.live(ctx, salesByDay)
	if err != nil {
		return nil, err
	}
	explained := make([]any, len(items))
	most := min(explainedDocuments, max(1, explainedMost/max(1, len(items))))
	for i, item := range items {
		day := item.(SalesDay)
		where := []Condition{{Path: "day", Op: Equal, Value: day.Day}, {Path: "currency", Op: Equal, Value: day.Currency}}
		x, err := r.explainSales(ctx, g, where, most)
		if err != nil {
			return nil, err
		}
		if explained[i], err = withMember(day, "explain", x); err != nil {
			return nil, err
		}
	}
	return explained, nil
}

func (r *Reader) explainSales(ctx context.Context, g generation, where []Condition, most int) (Explanation, error) {
	totals, err := r.documents.Group(ctx, g.rows(), Grouping{Where: where, By: []string{"day", "currency"}})
	if err != nil || len(totals) == 0 {
		return newSums(0), err
	}
	rows, err := r.documents.Find(ctx, g.rows(), Find{Where: where, Sort: []Sort{{Path: "currency", Desc: true}}, Limit: most})
	if err != nil {
		return Explanation{}, err
	}
	x := newSums(totals[0].Count)
	for _, row := range rows {
		t, leaves, _, err := r.traceRow(ctx, salesByDay, row)
		if err != nil {
			return Explanation{}, err
		}
		x.include(t, leaves)
	}
	x.complete()
	return x, nil
}
