package readmodels

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
)

// fulfilmentMonitor: one document per confirmed order, under way ones first in its list.
var fulfilmentMonitor = define(Model{
	Name: "fulfilment_monitor", Title: "Fulfilment monitor", Version: 1, Categories: []string{"fulfilment"},
	Indexes: [][]string{{"underWay", "startedAt"}, {"status", "underWay", "startedAt"}, {"customerId"}},
}, foldMonitor, nil)

// The screens that show it.
var fulfilmentMonitorScreens = []Screen{
	{Operation: "getFulfilment", Model: "fulfilment_monitor", Answer: answerFulfilment, Item: wholeItem(answerFulfilment, "orderId")},
	fulfilmentList.screen("fulfilment_monitor"),
}

// monitored is a process with what its list filters and sorts by.
type monitored struct {
	Status     string             `json:"status"`
	UnderWay   bool               `json:"underWay"`
	Stuck      bool               `json:"stuck"`
	StartedAt  string             `json:"startedAt"`
	CustomerID string             `json:"customerId"`
	Process    fulfilment.Process `json:"process"`
}

// stuckAfter is how many attempts of one step make a process stuck, besides a failed step.
const stuckAfter = 5

func foldMonitor(d *monitored, r domain.Recorded) (any, error) {
	d.Process = d.Process.Apply(r)
	p := d.Process
	d.Status, d.UnderWay, d.StartedAt, d.CustomerID = string(p.Status), !p.Ended(), Stamp(p.StartedAt), p.CustomerID
	d.Stuck = false
	for _, s := range p.Steps {
		d.Stuck = d.Stuck || s.Status == fulfilment.Failed || s.Open() && s.Attempts >= stuckAfter
	}
	return nil, nil
}

var fulfilmentList = listing{
	operation: "listFulfilments",
	model:     func() *Model { return fulfilmentMonitor },
	sort:      []Sort{{Path: "underWay", Desc: true}, {Path: "startedAt"}},
	where: func(ask Ask, r *Reader) ([]Condition, error) {
		where := ask.equals(map[string]string{"status": "status"})
		if ask.Customer != "" {
			where = append(where, Condition{Path: "customerId", Op: Equal, Value: ask.Customer})
		}
		if ask.param("stuck") != "" {
			where = append(where, Condition{Path: "stuck", Op: Equal, Value: ask.param("stuck") == "true"})
		}
		older := ask.param("olderThan")
		if older == "" {
			return where, nil
		}
		age, err := time.ParseDuration(older)
		if err != nil || age < 0 {
			return nil, domain.Invalid(domain.Field{Pointer: "/olderThan", Code: "invalid_format", Detail: "must be a duration such as 15m"})
		}
		if ask.param("status") == "" { // those that have ended grow no older
			where = append(where, Condition{Path: "underWay", Op: Equal, Value: true})
		}
		return append(where, Condition{Path: "startedAt", Op: LessOrEqual, Value: Stamp(r.now().Add(-age))}), nil
	},
	item: func(d Document, r *Reader) (any, error) {
		f, err := decodeFound[monitored](d)
		return FulfilmentView(f.id, f.revision(fulfilmentMonitor), f.body.Process).aged(r.now()), err
	},
}

func answerFulfilment(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	id := ask.param("orderId")
	f, ok, err := fetch[monitored](ctx, r, fulfilmentMonitor, ask, id)
	if err == nil && !ok {
		err = ask.missing("fulfilment", id)
	}
	if err == nil {
		err = ask.owned(f.body.CustomerID, "fulfilment", id)
	}
	if err != nil {
		return Answer{}, err
	}
	now := r.now()
	if !ask.AsOf.IsZero() {
		now = ask.AsOf
	}
	return r.single(ctx, fulfilmentMonitor, ask, f.sources, id, FulfilmentView(id, f.revision(fulfilmentMonitor), f.body.Process).aged(now))
}
