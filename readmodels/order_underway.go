package readmodels

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// underwaySince is the stamp of fulfilment.Underway, empty if order and process wait for somebody.
func underwaySince(o order.Order, process *fulfilment.Process) string {
	var p fulfilment.Process
	if process != nil {
		p = *process
	}
	since, ok := fulfilment.Underway(fulfilment.Order{Status: string(o.Status), ConfirmedAt: o.ConfirmedAt, UpdatedAt: o.UpdatedAt}, p)
	if !ok {
		return ""
	}
	return Stamp(since)
}

// withStanding adds the orders that stand still although they are under way.
func (r *Reader) withStanding(ctx context.Context, g generation, t time.Time, due []Deadline, next time.Time, limit int) ([]Deadline, time.Time, error) {
	before := Stamp(t.Add(-r.engine.options.Nudge))
	if room := limit - len(due); room > 0 {
		standing, err := r.standing(ctx, g, LessOrEqual, before, min(room, 1000))
		if err != nil {
			return nil, time.Time{}, err
		}
		due = append(due, standing...)
	}
	later, err := r.standing(ctx, g, Greater, before, 1)
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(later) > 0 && (next.IsZero() || later[0].At.Before(next)) {
		next = later[0].At
	}
	return due, next, nil
}

func (r *Reader) standing(ctx context.Context, g generation, op Op, since string, limit int) ([]Deadline, error) {
	documents, err := r.documents.Find(ctx, g.documents(), Find{Sort: []Sort{{Path: "underway"}}, Limit: limit, Where: []Condition{
		{Path: "underway", Op: Greater, Value: ""}, {Path: "underway", Op: op, Value: since}}})
	if err != nil {
		return nil, err
	}
	orders := make([]Deadline, 0, len(documents))
	for _, d := range documents {
		f, err := decodeFound[boardRow](d)
		if err != nil {
			return nil, err
		}
		orders = append(orders, Deadline{OrderID: f.id, Revision: f.revision(orderBoard), Status: f.body.Order.Status,
			At: ParseStamp(f.body.Underway).Add(r.engine.options.Nudge)})
	}
	return orders, nil
}
