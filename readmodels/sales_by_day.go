package readmodels

import (
	"context"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// salesByDay: one row per event that counts on its day, summed by the query. The documents, one per
// order and hidden, remember what the order amounts to. A day's figures never change by an event of
// another day: cancelling a confirmed order subtracts on the day of the cancellation.
var salesByDay = define(Model{
	Name: "sales_by_day", Title: "Sales by day", Version: 1, Categories: []string{"order"},
	RowIndexes: [][]string{{"day", "currency"}, {"currency", "day"}},
}, foldSales, func(*order.Order) bool { return true })

// The screens that show it.
var salesByDayScreens = []Screen{{Operation: "listSales", Model: "sales_by_day", Answer: answerSales, Item: salesItem}}

// SalesDay is what happened on one UTC day in one currency; Revenue in minor units.
type SalesDay struct {
	Day       string `json:"day"`
	Currency  string `json:"currency"`
	Created   int64  `json:"created"`
	Confirmed int64  `json:"confirmed"`
	Shipped   int64  `json:"shipped"`
	Cancelled int64  `json:"cancelled"`
	Units     int64  `json:"units"`
	Revenue   int64  `json:"revenue"`
}

var salesSums = []string{"created", "confirmed", "shipped", "cancelled", "units", "revenue"}

func foldSales(o *order.Order, r domain.Recorded) (any, error) {
	before := *o
	*o = o.Apply(r)
	row := SalesDay{Day: Day(r.Meta.At), Currency: o.Currency}
	switch r.Event.(type) {
	case order.Created:
		row.Created = 1
	case order.Confirmed:
		row.Confirmed, row.Units, row.Revenue = 1, o.TotalItems, o.Total
	case order.Shipped:
		row.Shipped = 1
	case order.Cancelled:
		row.Cancelled = 1
		if before.ConfirmedAt != nil {
			row.Units, row.Revenue = -o.TotalItems, -o.Total
		}
	default:
		return nil, nil
	}
	return row, nil
}

func answerSales(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	r, err := r.at(ctx, salesByDay, ask)
	if err != nil {
		return Answer{}, err
	}
	filter := filterHash("listSales", ask.Params, Stamp(ask.AsOf))
	after, err := decodeCursor(ask.Cursor, filter, 2)
	if err != nil {
		return Answer{}, err
	}
	if err := r.Wait(ctx, salesByDay, ask.After, ask.Wait); err != nil {
		return Answer{}, err
	}
	where := salesWhere(ask)
	behind := ""
	if after != nil {
		day, _ := after[0].(string)
		currency, _ := after[1].(string)
		behind = day + currency
		where = append(where, Condition{Path: "day", Op: GreaterOrEqual, Value: day})
	}
	days, err := r.sales(ctx, where)
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{List: true, Items: []any{}, Reflects: feeding(salesByDay, ask.After), Lag: r.lagOf(salesByDay)}
	for _, day := range days {
		if behind != "" && day.Day+day.Currency <= behind {
			continue
		}
		if len(answer.Items) == ask.limit() {
			last := answer.Items[len(answer.Items)-1].(SalesDay)
			answer.Next = encodeCursor(filter, []any{last.Day, last.Currency})
			break
		}
		answer.Items = append(answer.Items, day)
	}
	if ask.Explain {
		answer.Items, err = r.explainedSales(ctx, answer.Items)
	}
	return answer, err
}

func salesWhere(ask Ask) []Condition {
	where := ask.equals(map[string]string{"currency": "currency"})
	if from := ask.param("from"); from != "" {
		where = append(where, Condition{Path: "day", Op: GreaterOrEqual, Value: from})
	}
	if to := ask.param("to"); to != "" {
		where = append(where, Condition{Path: "day", Op: LessOrEqual, Value: to})
	}
	return where
}

// sales are the sums by day and currency, in that order.
func (r *Reader) sales(ctx context.Context, where []Condition) ([]SalesDay, error) {
	g, err := r.live(ctx, salesByDay)
	if err != nil {
		return nil, err
	}
	totals, err := r.documents.Group(ctx, g.rows(), Grouping{Where: where, By: []string{"day", "currency"}, Sum: salesSums})
	if err != nil {
		return nil, err
	}
	days := make([]SalesDay, len(totals))
	for i, t := range totals {
		days[i] = SalesDay{Day: t.By[0], Currency: t.By[1], Created: t.Sums[0], Confirmed: t.Sums[1], Shipped: t.Sums[2], Cancelled: t.Sums[3], Units: t.Sums[4], Revenue: t.Sums[5]}
	}
	sortBy(days, func(a, b SalesDay) int { return strings.Compare(a.Day+a.Currency, b.Day+b.Currency) })
	return days, nil
}

// salesItem is the day that a change counts on.
func salesItem(ctx context.Context, r *Reader, ask Ask, change Change) (any, bool, error) {
	g, err := r.live(ctx, salesByDay)
	if err != nil {
		return nil, false, err
	}
	rows, err := r.documents.Load(ctx, g.rows(), []string{rowID(change.Stream, change.Revision)})
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	row, err := rowOf[SalesDay](rows[0])
	if err != nil {
		return nil, false, err
	}
	where := append(salesWhere(ask), Condition{Path: "day", Op: Equal, Value: row.Day}, Condition{Path: "currency", Op: Equal, Value: row.Currency})
	days, err := r.sales(ctx, where)
	if err != nil || len(days) == 0 {
		return nil, false, err
	}
	return days[0], true, nil
}
