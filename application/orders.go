package application

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// Orders says how orders are folded.
var Orders = &Aggregate[order.Order]{
	Category: "order", Noun: "order", Fold: order.FoldVersion,
	Apply: order.Order.Apply,
	Owner: func(o order.Order) string { return o.CustomerID },
	Weigh: func(o order.Order) int { return 200 * (len(o.Items) + 2) },
}

// NewLine is a line of an order as it is asked for.
type NewLine struct {
	SKU       string
	Name      string // empty: the catalogue's
	Quantity  int64
	UnitPrice *int64 // minor units; nil: the catalogue's
}

// CreateOrder is an order on its way.
type CreateOrder struct {
	CustomerID string
	AccountID  string
	Currency   string
	Items      []NewLine
	Address    any // a string or a flat object of strings
	Note       string
}

// CreateOrder opens an order. A customer who orders for somebody else is KindForbidden. Prices follow
// the rules of the catalogue; see priced. Code: price_changed.
func (s *Service) CreateOrder(ctx context.Context, command Command, in CreateOrder) (Result[order.Order], error) {
	if err := forOneself(command, in.CustomerID); err != nil {
		return Result[order.Order]{}, err
	}
	create := func(lines []order.Line) ([]domain.Event, error) {
		return order.Create(order.Created{
			CustomerID: in.CustomerID, AccountID: in.AccountID, Currency: in.Currency,
			Items: lines, Address: in.Address, Note: in.Note,
		})
	}
	return Execute(ctx, s.Executor, command, Task[order.Order]{
		Aggregate: Orders,
		Decide: func(ctx context.Context, _ Loaded[order.Order]) ([]domain.Event, error) {
			// What is wrong in itself is said before the catalogue is asked.
			if _, err := create(asNamed(in.Items)); err != nil {
				return nil, err
			}
			lines, err := s.priced(ctx, command.MayPrice, in.Currency, in.Items, ordersPointer)
			if err != nil {
				return nil, err
			}
			return create(lines)
		},
	})
}

// AddItem adds pieces of a SKU to an order.
// Codes: order_not_open, price_mismatch, too_many_lines, price_changed.
func (s *Service) AddItem(ctx context.Context, command Command, orderID string, item NewLine) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, func(ctx context.Context, current Loaded[order.Order]) ([]domain.Event, error) {
		o := current.State
		named := asNamed([]NewLine{item})[0]
		if _, err := o.AddItem(named); err != nil && (o.Status != order.StatusCreated || domain.KindOf(err) == domain.KindInvalid) {
			return nil, err
		}
		lines, err := s.priced(ctx, command.MayPrice, o.Currency, []NewLine{item}, itemPointer)
		if err != nil {
			return nil, err
		}
		return o.AddItem(lines[0])
	})
}

// RemoveItem takes pieces of a SKU away, the whole line where quantity is nil.
// Codes: order_not_open, item_not_in_order, quantity_exceeds_line.
func (s *Service) RemoveItem(ctx context.Context, command Command, orderID, sku string, quantity *int64) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, decide(func(o order.Order) ([]domain.Event, error) {
		return o.RemoveItem(sku, quantity)
	}))
}

// ConfirmOrder closes an order for changes and starts its fulfilment. Codes: order_empty, invalid_transition.
func (s *Service) ConfirmOrder(ctx context.Context, command Command, orderID string) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, decide(order.Order.Confirm))
}

// PrepareOrder says that everything of an order is reserved and paid. Code: invalid_transition.
func (s *Service) PrepareOrder(ctx context.Context, command Command, orderID string) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, decide(order.Order.Prepare))
}

// ShipOrder says that the goods have left. Code: invalid_transition.
func (s *Service) ShipOrder(ctx context.Context, command Command, orderID, carrier, trackingNumber string) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, decide(func(o order.Order) ([]domain.Event, error) {
		return o.Ship(carrier, trackingNumber)
	}))
}

// CancelOrder ends an order that has not been shipped. Code: invalid_transition.
func (s *Service) CancelOrder(ctx context.Context, command Command, orderID, reason string) (Result[order.Order], error) {
	return s.onOrder(ctx, command, orderID, decide(func(o order.Order) ([]domain.Event, error) {
		return o.Cancel(reason)
	}))
}

func (s *Service) onOrder(ctx context.Context, command Command, id string,
	decision func(context.Context, Loaded[order.Order]) ([]domain.Event, error),
) (Result[order.Order], error) {
	if id == "" {
		return Result[order.Order]{}, domain.NotFound(Orders.Noun, id)
	}
	return Execute(ctx, s.Executor, command, Task[order.Order]{Aggregate: Orders, ID: id, Decide: decision})
}
