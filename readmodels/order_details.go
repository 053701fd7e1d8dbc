package readmodels

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// orderDetails: one document per order: the order, its fulfilment and what happened.
var orderDetails = define(Model{
	Name: "order_details", Title: "Order details", Version: 1, Categories: []string{"order", "fulfilment"},
	Indexes: [][]string{{"order.customerId"}},
}, foldOrderDetails, nil)

// The screens that show it.
var orderDetailsScreens = []Screen{{Operation: "getOrder", Model: "order_details", Answer: answerOrder, Item: wholeItem(answerOrder, "id")}}

// orderPage keeps order and fulfilment apart: whichever order their events come in, the document ends the same.
type orderPage struct {
	Order      order.Order         `json:"order"`
	Fulfilment *fulfilment.Process `json:"fulfilment,omitempty"`
	Happened   []Moment            `json:"happened,omitempty"` // to the order
	Steps      []Moment            `json:"steps,omitempty"`    // of the fulfilment
}

// Moment is one thing that happened to an order.
type Moment struct {
	At       string `json:"at"`
	Stream   string `json:"stream"`
	Revision int64  `json:"revision"`
	Type     string `json:"type"`
	Actor    string `json:"actor"`
}

// maxMoments bounds the time line of each stream in the document; the history has everything.
const maxMoments = 100

func foldOrderDetails(d *orderPage, r domain.Recorded) (any, error) {
	if domain.Category(r.Stream) == "order" {
		d.Order = d.Order.Apply(r)
		d.Happened = withMoment(d.Happened, r)
		return nil, nil
	}
	var process fulfilment.Process
	if d.Fulfilment != nil {
		process = *d.Fulfilment
	}
	process = process.Apply(r)
	d.Fulfilment = &process
	if _, intent := r.Event.(fulfilment.StepIntended); !intent {
		d.Steps = withMoment(d.Steps, r)
	}
	return nil, nil
}

// withMoment keeps the first event and the newest ones.
func withMoment(line []Moment, r domain.Recorded) []Moment {
	line = append(line, Moment{At: Stamp(r.Meta.At), Stream: r.Stream, Revision: r.Revision, Type: r.Type, Actor: r.Meta.Actor})
	if len(line) > maxMoments {
		line = append(line[:1], line[2:]...)
	}
	return line
}

func fetchOrder(ctx context.Context, r *Reader, ask Ask) (found[orderPage], error) {
	id := ask.param("id")
	f, ok, err := fetch[orderPage](ctx, r, orderDetails, ask, id)
	if err == nil && !ok {
		err = ask.missing("order", id)
	}
	if err == nil {
		err = ask.owned(f.body.Order.CustomerID, "order", id)
	}
	return f, err
}

func answerOrder(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	f, err := fetchOrder(ctx, r, ask)
	if err != nil {
		return Answer{}, err
	}
	answer, err := r.single(ctx, orderDetails, ask, f.sources, f.id, orderView(r, f.id, f.sources, f.body))
	if at, ok := f.sources[domain.Stream("fulfilment", f.id)]; ok {
		answer.Validator = answer.ETag + "." + strconv.FormatInt(at, 10)
	}
	return answer, err
}

// orderView is what the screen shows: the order, its fulfilment, and what happened to both by time.
func orderView(_ *Reader, id string, sources map[string]int64, page *orderPage) Order {
	var process *Fulfilment
	if page.Fulfilment != nil {
		view := FulfilmentView(id, sources[domain.Stream("fulfilment", id)], *page.Fulfilment)
		process = &view
	}
	view := OrderView(id, sources[domain.Stream("order", id)], page.Order, process)
	view.Timeline = append(slices.Clone(page.Happened), page.Steps...)
	slices.SortStableFunc(view.Timeline, func(a, b Moment) int { return strings.Compare(a.At, b.At) })
	return view
}
