package readmodels

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// customerOrders: one row per order, for the lists of orders and the totals of a customer.
var customerOrders = define(Model{
	Name: "customer_orders", Title: "Customer orders", Version: 1, Categories: []string{"order"},
	Indexes: [][]string{{"createdAt"}, {"status", "createdAt"}, {"customerId", "createdAt"}, {"customerId", "status", "createdAt"}},
}, func(d *orderRow, r domain.Recorded) (any, error) {
	d.take(r)
	return nil, nil
}, nil)

// The screens that show it.
var customerOrdersScreens = []Screen{
	orderList.screen("customer_orders"),
	customerList.screen("customer_orders"),
	{Operation: "getCustomer", Model: "customer_orders", Answer: answerCustomer, Item: customerItem},
}

// orderRow is an order with what lists filter, sort and sum by. Open and Spent are what the order adds
// to its customer's totals.
type orderRow struct {
	CustomerID string      `json:"customerId"`
	Status     string      `json:"status"`
	Currency   string      `json:"currency"`
	CreatedAt  string      `json:"createdAt"`
	Open       int64       `json:"open"`
	Spent      int64       `json:"spent"`
	Order      order.Order `json:"order"`
}

func (d *orderRow) take(r domain.Recorded) {
	d.Order = d.Order.Apply(r)
	o := d.Order
	d.CustomerID, d.Status, d.Currency, d.CreatedAt = o.CustomerID, string(o.Status), o.Currency, Stamp(o.CreatedAt)
	d.Open, d.Spent = 0, 0
	switch o.Status {
	case order.StatusCreated, order.StatusConfirmed, order.StatusPrepared:
		d.Open = 1
	}
	if o.ConfirmedAt != nil && o.Status != order.StatusCancelled {
		d.Spent = o.Total
	}
}

func rowView(id string, revision int64, o order.Order) OrderRow {
	return OrderRow{ID: id, CustomerID: o.CustomerID, Status: string(o.Status), Currency: o.Currency, Total: o.Total, TotalItems: o.TotalItems,
		CreatedAt: Stamp(o.CreatedAt), UpdatedAt: Stamp(o.UpdatedAt), Revision: revision}
}

func orderRowItem(d Document, _ *Reader) (any, error) {
	f, err := decodeFound[orderRow](d)
	return rowView(f.id, f.revision(customerOrders), f.body.Order), err
}

var orderList = listing{
	operation: "listOrders",
	model:     func() *Model { return customerOrders },
	sort:      []Sort{{Path: "createdAt", Desc: true}},
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		period, err := ask.period("createdAt")
		where := append(ask.equals(map[string]string{"status": "status", "customerId": "customerId"}), period...)
		if ask.Customer != "" {
			where = append(where, Condition{Path: "customerId", Op: Equal, Value: ask.Customer})
		}
		return where, err
	},
	item: orderRowItem,
}

var customerList = listing{
	operation: "listCustomerOrders",
	model:     func() *Model { return customerOrders },
	sort:      []Sort{{Path: "createdAt", Desc: true}},
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		period, err := ask.period("createdAt")
		where := append(ask.equals(map[string]string{"status": "status"}), period...)
		return append(where, Condition{Path: "customerId", Op: Equal, Value: ask.param("id")}), err
	},
	item: orderRowItem,
	exists: func(_ context.Context, _ *Reader, ask Ask) error {
		return ask.owned(ask.param("id"), "customer", ask.param("id"))
	},
}

// Customer is the answer about a customer's totals. Spent is in minor units by currency: confirmed
// orders less cancelled. A customer without orders has none of anything.
type Customer struct {
	ID         string           `json:"id"`
	CustomerID string           `json:"customerId"`
	Orders     int64            `json:"orders"`
	Open       int64            `json:"open"`
	Spent      map[string]int64 `json:"spent"`
}

func answerCustomer(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	id := ask.param("id")
	if err := ask.owned(id, "customer", id); err != nil {
		return Answer{}, err
	}
	r, err := r.at(ctx, customerOrders, ask)
	if err != nil {
		return Answer{}, err
	}
	if err := r.Wait(ctx, customerOrders, ask.After, ask.Wait); err != nil {
		return Answer{}, err
	}
	g, err := r.live(ctx, customerOrders)
	if err != nil {
		return Answer{}, err
	}
	totals, err := r.documents.Group(ctx, g.documents(), Grouping{Where: []Condition{{Path: "customerId", Op: Equal, Value: id}},
		By: []string{"currency"}, Sum: []string{"open", "spent"}})
	if err != nil {
		return Answer{}, err
	}
	customer := Customer{ID: id, CustomerID: id, Spent: map[string]int64{}}
	for _, t := range totals {
		customer.Orders += t.Count
		customer.Open += t.Sums[0]
		if t.Sums[1] != 0 {
			customer.Spent[t.By[0]] = t.Sums[1]
		}
	}
	answer := Answer{Body: customer, Reflects: feeding(customerOrders, ask.After), Lag: r.lagOf(customerOrders)}
	if ask.Explain {
		answer.Body, err = r.explainedCustomer(ctx, g, customer)
	}
	return answer, err
}

// customerItem: any change of one of the customer's orders shows in the totals.
func customerItem(ctx context.Context, r *Reader, ask Ask, change Change) (any, bool, error) {
	g, err := r.live(ctx, customerOrders)
	if err != nil {
		return nil, false, err
	}
	f, ok, err := loadFound[orderRow](ctx, r, g, change.Document)
	if err != nil || !ok || f.body.CustomerID != ask.param("id") {
		return nil, false, err
	}
	return bodyOf(answerCustomer(ctx, r, ask))
}
