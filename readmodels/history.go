package readmodels

import (
	"context"
	"strings"

	"github.com/tidemark-dev/tidemark/domain"
)

// historyScreens answer every event of a stream, from the stream itself: they are never behind.
var historyScreens = []Screen{
	{Operation: "getOrderHistory", Answer: historyOf("order", "id", ownOrder), Item: historyItem("order", "id")},
	{Operation: "getProductHistory", Answer: historyOf("product", "sku", nil), Item: historyItem("product", "sku")},
	{Operation: "getStockHistory", Answer: historyOf("inventory", "sku", nil), Item: historyItem("inventory", "sku")},
	{Operation: "getAccountHistory", Answer: historyOf("account", "id", ownAccount), Item: historyItem("account", "id")},
	{Operation: "getFulfilmentHistory", Answer: historyOf("fulfilment", "orderId", ownFulfilment), Item: historyItem("fulfilment", "orderId")},
}

var thingNames = map[string]string{"order": "order", "product": "product", "inventory": "stock item", "account": "account", "fulfilment": "fulfilment"}

// ownOrder refuses another customer's order.
func ownOrder(ctx context.Context, r *Reader, ask Ask) error {
	_, err := fetchOrder(ctx, r, Ask{Params: ask.Params, Customer: ask.Customer})
	return err
}

// ownAccount refuses another customer's account.
func ownAccount(ctx context.Context, r *Reader, ask Ask) error {
	_, err := fetchAccount(ctx, r, Ask{Params: ask.Params, Customer: ask.Customer})
	return err
}

// ownFulfilment refuses the fulfilment of another customer's order.
func ownFulfilment(ctx context.Context, r *Reader, ask Ask) error {
	_, err := fetchOrder(ctx, r, Ask{Params: map[string]string{"id": ask.param("orderId")}, Customer: ask.Customer})
	return err
}

func historyOf(category, param string, own func(context.Context, *Reader, Ask) error) func(context.Context, *Reader, Ask) (Answer, error) {
	return func(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
		id := ask.param(param)
		stream := domain.Stream(category, id)
		filter := filterHash("history", ask.Params, stream, ask.Customer, Stamp(ask.AsOf))
		after, err := decodeCursor(ask.Cursor, filter, 1)
		if err != nil {
			return Answer{}, err
		}
		if ask.Customer != "" && own != nil {
			if err := own(ctx, r, ask); err != nil {
				return Answer{}, err
			}
		}
		from := int64(0)
		if after != nil {
			last, ok := after[0].(int64)
			if !ok || last < 0 {
				return Answer{}, invalidCursor()
			}
			from = last + 1
		}
		answer, err := r.history(ctx, stream, from, filter, ask)
		if err == nil && from == 0 && len(answer.Reflects) == 0 {
			err = domain.NotFound(thingNames[category], id)
		}
		return answer, err
	}
}

// history reads a page of a stream's events.
func (r *Reader) history(ctx context.Context, stream string, from int64, filter []byte, ask Ask) (Answer, error) {
	wanted, err := ask.wants()
	if err != nil {
		return Answer{}, err
	}
	answer := Answer{List: true, Items: []any{}}
	for event, err := range r.engine.options.Streams.ReadStream(ctx, stream, from) {
		if err != nil && domain.KindOf(err) != domain.KindUndecodable {
			return Answer{}, err
		}
		if !ask.AsOf.IsZero() && when(event).After(ask.AsOf) || ask.Revision != nil && event.Revision > *ask.Revision {
			break
		}
		if wanted(event) {
			if len(answer.Items) == ask.limit() {
				last := answer.Items[len(answer.Items)-1].(Event)
				answer.Next = encodeCursor(filter, []any{last.Revision})
				break
			}
			answer.Items = append(answer.Items, EventView(event))
		}
		answer.Reflects = Tidemark{{stream, event.Revision}}
	}
	return answer, nil
}

// wants is the history's filter: from, to and type (several joined by commas).
func (a Ask) wants() (func(domain.Recorded) bool, error) {
	from, err := a.time("from")
	if err != nil {
		return nil, err
	}
	to, err := a.time("to")
	if err != nil {
		return nil, err
	}
	types := map[string]bool{}
	for name := range strings.SplitSeq(a.param("type"), ",") {
		if name != "" {
			types[name] = true
		}
	}
	return func(r domain.Recorded) bool {
		at := when(r)
		return (from.IsZero() || !at.Before(from)) && (to.IsZero() || at.Before(to)) && (len(types) == 0 || types[r.Type])
	}, nil
}

// historyItem is the event that a change brought.
func historyItem(category, param string) func(context.Context, *Reader, Ask, Change) (any, bool, error) {
	return func(ctx context.Context, r *Reader, ask Ask, change Change) (any, bool, error) {
		if change.Stream != domain.Stream(category, ask.param(param)) {
			return nil, false, nil
		}
		wanted, err := ask.wants()
		if err != nil {
			return nil, false, err
		}
		for event, err := range r.engine.options.Streams.ReadStream(ctx, change.Stream, change.Revision) {
			if err != nil && domain.KindOf(err) != domain.KindUndecodable {
				return nil, false, err
			}
			return EventView(event), event.Revision == change.Revision && wanted(event), nil
		}
		return nil, false, nil
	}
}
