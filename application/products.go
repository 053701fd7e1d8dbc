package application

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// Products says how products are folded; their id is the SKU.
var Products = &Aggregate[product.Product]{
	Category: "product", Noun: "product", Fold: product.FoldVersion,
	Apply: product.Product.Apply,
}

// ListProduct is a SKU on its way into the catalogue.
type ListProduct struct {
	SKU       string
	Name      string
	UnitPrice int64 // minor units
	Currency  string
}

// ListProduct puts a SKU into the catalogue. Codes: product_exists, product_withdrawn.
func (s *Service) ListProduct(ctx context.Context, command Command, in ListProduct) (Result[product.Product], error) {
	list := func(p product.Product) ([]domain.Event, error) {
		return p.List(in.SKU, product.Listed{Name: in.Name, UnitPrice: in.UnitPrice, Currency: in.Currency})
	}
	if !domain.ValidSKU(in.SKU) {
		_, err := list(product.Product{}) // says everything that is wrong
		return Result[product.Product]{}, err
	}
	return Execute(ctx, s.Executor, command, Task[product.Product]{
		Aggregate: Products, ID: in.SKU, Creates: true, Decide: decide(list),
	})
}

// ChangePrice gives a product another price. Code: product_withdrawn.
func (s *Service) ChangePrice(ctx context.Context, command Command, sku string, unitPrice int64, currency string) (Result[product.Product], error) {
	return s.onProduct(ctx, command, sku, func(p product.Product) ([]domain.Event, error) {
		return p.ChangePrice(product.PriceChanged{UnitPrice: unitPrice, Currency: currency})
	})
}

// WithdrawProduct takes a product out of the catalogue for good. Code: product_withdrawn.
func (s *Service) WithdrawProduct(ctx context.Context, command Command, sku string) (Result[product.Product], error) {
	return s.onProduct(ctx, command, sku, product.Product.Withdraw)
}

func (s *Service) onProduct(ctx context.Context, command Command, sku string, decision func(product.Product) ([]domain.Event, error)) (Result[product.Product], error) {
	return Execute(ctx, s.Executor, command, Task[product.Product]{
		Aggregate: Products, ID: sku, Decide: decide(decision),
	})
}
