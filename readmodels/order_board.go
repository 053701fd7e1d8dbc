package readmodels

import (
	"context"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// orderBoard: what the order desk has to look after. Since is when the order came to its status, so
// that the oldest waiting and the deadlines are found by one index.
var orderBoard = define(Model{
	Name: "order_board", Title: "Order board", Version: 1, Categories: []string{"order", "fulfilment"},
	Indexes: [][]string{{"status", "since"}, {"underway"}},
}, foldBoard, nil)

// The screens that show it.
var orderBoardScreens = []Screen{{Operation: "getBoard", Model: "order_board", Answer: answerBoard, Item: boardItem}}

// boardRow keeps order and fulfilment apart: whichever order their events come in, the document ends the same.
type boardRow struct {
	Status string      `json:"status"`
	Since  string      `json:"since"`
	Order  order.Order `json:"order"`
	// Underway is since when order and fulfilment have been about to move on by themselves; empty if they
	// wait for somebody. One that stands still for long has lost a delivery or a worker.
	Underway string `json:"underway,omitempty"`
	// Fulfilment is the process without its lines and steps, which the board doesn't show.
	Fulfilment *fulfilment.Process `json:"fulfilment,omitempty"`
}

func foldBoard(d *boardRow, r domain.Recorded) (any, error) {
	if domain.Category(r.Stream) == "fulfilment" {
		var process fulfilment.Process
		if d.Fulfilment != nil {
			process = *d.Fulfilment
		}
		process = process.Apply(r)
		process.Lines, process.Steps = nil, nil
		d.Fulfilment = &process
	} else {
		d.Order = d.Order.Apply(r)
		if status := string(d.Order.Status); status != d.Status {
			d.Status, d.Since = status, Stamp(r.Meta.At)
		}
	}
	d.Underway = underwaySince(d.Order, d.Fulfilment)
	return nil, nil
}

// BoardRow is an open order on the board; DeadlineAt is when it will be cancelled unless it moves on.
type BoardRow struct {
	OrderRow
	Since      string `json:"since"`
	DeadlineAt string `json:"deadlineAt,omitempty"`
	Fulfilment string `json:"fulfilmentStatus,omitempty"`
	Reason     string `json:"fulfilmentReason,omitempty"`
}

// Board is the answer of the order board.
type Board struct {
	Counts        map[string]int64 `json:"counts"`
	OldestWaiting []BoardRow       `json:"oldestWaiting"` // confirmed, oldest first
	ToShip        []BoardRow       `json:"toShip"`        // prepared, oldest first
}

var statuses = []order.Status{order.StatusCreated, order.StatusConfirmed, order.StatusPrepared, order.StatusShipped, order.StatusCancelled}

func answerBoard(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	r, err := r.at(ctx, orderBoard, ask)
	if err != nil {
		return Answer{}, err
	}
	if err := r.Wait(ctx, orderBoard, ask.After, ask.Wait); err != nil {
		return Answer{}, err
	}
	board := Board{Counts: map[string]int64{}}
	for _, s := range statuses {
		board.Counts[string(s)] = 0
	}
	g, err := r.live(ctx, orderBoard)
	if err != nil {
		return Answer{}, err
	}
	totals, err := r.documents.Group(ctx, g.documents(), Grouping{By: []string{"status"}})
	if err != nil {
		return Answer{}, err
	}
	for _, t := range totals {
		if _, ok := board.Counts[t.By[0]]; ok {
			board.Counts[t.By[0]] = t.Count
		}
	}
	waiting, err := r.boardFind(ctx, g, order.StatusConfirmed, "", ask.limit())
	if err != nil {
		return Answer{}, err
	}
	prepared, err := r.boardFind(ctx, g, order.StatusPrepared, "", ask.limit())
	if err != nil {
		return Answer{}, err
	}
	if board.OldestWaiting, err = r.boardRows(waiting); err != nil {
		return Answer{}, err
	}
	if board.ToShip, err = r.boardRows(prepared); err != nil {
		return Answer{}, err
	}
	answer := Answer{Body: board, Reflects: feeding(orderBoard, ask.After), Lag: r.lagOf(orderBoard)}
	if ask.Explain {
		answer.Body, err = r.explainedBoard(ctx, g, board, waiting, prepared)
	}
	return answer, err
}

// boardFind finds the orders in a status, longest there first; those that came to it before a stamp, if one is given.
func (r *Reader) boardFind(ctx context.Context, g generation, status order.Status, before string, limit int) ([]Document, error) {
	where := []Condition{{Path: "status", Op: Equal, Value: string(status)}}
	if before != "" {
		where = append(where, Condition{Path: "since", Op: LessOrEqual, Value: before})
	}
	return r.documents.Find(ctx, g.documents(), Find{Where: where, Sort: []Sort{{Path: "since"}}, Limit: limit})
}

// boardRows are what boardFind has found.
func (r *Reader) boardRows(documents []Document) ([]BoardRow, error) {
	rows := make([]BoardRow, 0, len(documents))
	for _, d := range documents {
		f, err := decodeFound[boardRow](d)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r.boardView(f.id, f.revision(orderBoard), f.body))
	}
	return rows, nil
}

func (r *Reader) boardView(id string, revision int64, d *boardRow) BoardRow {
	row := BoardRow{OrderRow: rowView(id, revision, d.Order), Since: d.Since}
	if within := r.within(order.Status(d.Status)); within > 0 {
		row.DeadlineAt = Stamp(ParseStamp(row.Since).Add(within))
	}
	if p := d.Fulfilment; p != nil {
		row.Fulfilment, row.Reason = string(p.Status), p.Reason
	}
	return row
}

// within is how long an order may stay in a status; 0 is for ever.
func (r *Reader) within(status order.Status) time.Duration {
	switch status {
	case order.StatusCreated:
		return r.engine.options.OrderOpenFor
	case order.StatusConfirmed:
		return r.engine.options.PrepareWithin
	}
	return 0
}

// boardItem: any change of an order may change the board.
func boardItem(ctx context.Context, r *Reader, ask Ask, _ Change) (any, bool, error) {
	return bodyOf(answerBoard(ctx, r, ask))
}

// Deadline is when an order will have stayed too long in its status, or without anything being done for it.
type Deadline struct {
	OrderID  string
	Revision int64 // of the order when the board last heard of it
	Status   order.Status
	At       time.Time
}

// Deadlines gives orders whose deadline is at or before t, by status and then longest overdue first, behind
// them those under way that nothing happened to for a while (an order may be both), together at most
// limit (1–1000), and when the next one after t is due (zero if none is known). It reads the board
// as it is, without waiting: an order that has moved on meanwhile is for the caller's command to notice.
func (r *Reader) Deadlines(ctx context.Context, t time.Time, limit int) (due []Deadline, next time.Time, err error) {
	g, err := r.live(ctx, orderBoard)
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, status := range []order.Status{order.StatusCreated, order.StatusConfirmed} {
		within := r.within(status)
		found, err := r.boardFind(ctx, g, status, Stamp(t.Add(-within)), min(max(limit-len(due), 1), 1000))
		if err != nil {
			return nil, time.Time{}, err
		}
		rows, err := r.boardRows(found)
		if err != nil {
			return nil, time.Time{}, err
		}
		for _, row := range rows {
			if len(due) < limit {
				due = append(due, Deadline{OrderID: row.ID, Revision: row.Revision, Status: status, At: ParseStamp(row.DeadlineAt)})
			}
		}
		first, err := r.firstAfter(ctx, g, status, t.Add(-within))
		if err != nil {
			return nil, time.Time{}, err
		}
		if !first.IsZero() && (next.IsZero() || first.Add(within).Before(next)) {
			next = first.Add(within)
		}
	}
	return r.withStanding(ctx, g, t, due, next, limit)
}

// firstAfter is when the first order that came to a status after t did; zero if there is none.
func (r *Reader) firstAfter(ctx context.Context, g generation, status order.Status, t time.Time) (time.Time, error) {
	documents, err := r.documents.Find(ctx, g.documents(), Find{Sort: []Sort{{Path: "since"}}, Limit: 1, Where: []Condition{
		{Path: "status", Op: Equal, Value: string(status)}, {Path: "since", Op: Greater, Value: Stamp(t)}}})
	if err != nil || len(documents) == 0 {
		return time.Time{}, err
	}
	f, err := decodeFound[boardRow](documents[0])
	return ParseStamp(f.body.Since), err
}
