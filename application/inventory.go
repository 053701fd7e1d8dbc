package application

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// Stocks says how the stock of a SKU is folded; the id is the SKU.
var Stocks = &Aggregate[inventory.Stock]{
	Category: "inventory", Noun: "stock item", Fold: inventory.FoldVersion,
	Apply: inventory.Stock.Apply,
	Weigh: func(s inventory.Stock) int { return 100 * len(s.Reservations) },
	Long:  true,
}

// ReceiveStock adds pieces to the stock; the first receipt of a SKU makes its stock.
func (s *Service) ReceiveStock(ctx context.Context, command Command, sku string, quantity int64, reference string) (Result[inventory.Stock], error) {
	receive := func(stock inventory.Stock) ([]domain.Event, error) { return stock.Receive(quantity, reference) }
	if !domain.ValidSKU(sku) {
		var found domain.Findings
		found.SKU("/sku", sku)
		return Result[inventory.Stock]{}, found.Err()
	}
	return Execute(ctx, s.Executor, command, Task[inventory.Stock]{
		Aggregate: Stocks, ID: sku, Creates: true, Decide: decide(receive),
	})
}

// DamageStock writes available pieces off. Code: insufficient_stock. A SKU that was never received is
// KindNotFound.
func (s *Service) DamageStock(ctx context.Context, command Command, sku string, quantity int64, reason string) (Result[inventory.Stock], error) {
	return s.onStock(ctx, command, sku, func(stock inventory.Stock) ([]domain.Event, error) {
		return stock.Damage(quantity, reason)
	})
}

// ReserveStock promises pieces to an order; an order that has a reservation keeps it as it is. Code:
// insufficient_stock, also for a SKU that was never received: of that none is available.
func (s *Service) ReserveStock(ctx context.Context, command Command, sku, orderID string, quantity int64) (Result[inventory.Stock], error) {
	return Execute(ctx, s.Executor, command, Task[inventory.Stock]{
		Aggregate: Stocks, ID: sku, Creates: true,
		Decide: decide(func(stock inventory.Stock) ([]domain.Event, error) {
			return stock.Reserve(orderID, quantity)
		}),
	})
}

// HoldStock makes an order's reservation exactly quantity pieces, whoever reserved before. Code:
// insufficient_stock, also for a SKU that was never received.
func (s *Service) HoldStock(ctx context.Context, command Command, sku, orderID string, quantity int64) (Result[inventory.Stock], error) {
	return Execute(ctx, s.Executor, command, Task[inventory.Stock]{
		Aggregate: Stocks, ID: sku, Creates: true,
		Decide: decide(func(stock inventory.Stock) ([]domain.Event, error) {
			return stock.Hold(orderID, quantity)
		}),
	})
}

// ReleaseStock takes an order's reservation back. Code: not_reserved.
func (s *Service) ReleaseStock(ctx context.Context, command Command, sku, orderID string) (Result[inventory.Stock], error) {
	return s.onStock(ctx, command, sku, func(stock inventory.Stock) ([]domain.Event, error) {
		return stock.Release(orderID)
	})
}

// ShipStock moves an order's reserved pieces out of the house. Code: not_reserved.
func (s *Service) ShipStock(ctx context.Context, command Command, sku, orderID string) (Result[inventory.Stock], error) {
	return s.onStock(ctx, command, sku, func(stock inventory.Stock) ([]domain.Event, error) {
		return stock.Ship(orderID)
	})
}

func (s *Service) onStock(ctx context.Context, command Command, sku string, decision func(inventory.Stock) ([]domain.Event, error)) (Result[inventory.Stock], error) {
	return Execute(ctx, s.Executor, command, Task[inventory.Stock]{
		Aggregate: Stocks, ID: sku, Decide: decide(decision),
	})
}
