package application

import (
	"context"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// catalogueReads bounds how many products are read at once for one order.
const catalogueReads = 8

// ordersPointer and itemPointer say where a line's field stands in the request.
func ordersPointer(line int, field string) string { return fmt.Sprintf("/items/%d/%s", line, field) }
func itemPointer(_ int, field string) string      { return "/" + field }

// asNamed are the lines with the prices that were named, 0 where none was: enough to check all else.
func asNamed(items []NewLine) []order.Line {
	lines := make([]order.Line, len(items))
	for i, item := range items {
		lines[i] = order.Line{SKU: item.SKU, Name: item.Name, Quantity: item.Quantity}
		if item.UnitPrice != nil {
			lines[i].UnitPrice = *item.UnitPrice
		}
	}
	return lines
}

// priced gives lines their prices and names by the catalogue.
//
// Nobody but those who may price can pay anything else than the catalogue's price: another one is
// refused with price_changed, so that a buyer who saw an older price hears of it; a SKU that isn't
// listed, or is sold in another currency, is KindInvalid. Those who may price need the catalogue only
// for what they leave out, and where their price differs from the catalogue's, that one goes on record.
func (s *Service) priced(ctx context.Context, mayPrice bool, currency string, items []NewLine, pointer func(int, string) string) ([]order.Line, error) {
	products, err := s.catalogue(ctx, items)
	if err != nil {
		return nil, err
	}
	lines := asNamed(items)
	var found domain.Findings
	var changed error
	for i, item := range items {
		p, line := products[i], &lines[i]
		listed := p.Status == product.StatusListed
		if line.Name == "" && listed {
			line.Name = p.Name
		}
		switch {
		case listed && p.Currency == currency:
			switch {
			case item.UnitPrice == nil:
				line.UnitPrice = p.UnitPrice
			case *item.UnitPrice == p.UnitPrice:
			case mayPrice:
				catalogue := p.UnitPrice
				line.CataloguePrice = &catalogue
			case changed == nil:
				changed = priceChanged(item, p)
			}
		case mayPrice && item.UnitPrice != nil:
		case mayPrice && listed:
			found.Add(pointer(i, "unitPrice"), "required", "must be named: the catalogue has a price in %s only", p.Currency)
		case mayPrice:
			found.Add(pointer(i, "unitPrice"), "required", "must be named: the catalogue has no price for it")
		case listed:
			found.Add(pointer(i, "sku"), "currency_mismatch", "is sold in %s, not in %s", p.Currency, currency)
		default:
			found.Add(pointer(i, "sku"), "unknown", "must be in the catalogue")
		}
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	return lines, changed
}

func priceChanged(item NewLine, p product.Product) error {
	refusal := domain.Refuse("price_changed", "The catalogue's price of %s is %d now, in minor units of %s, not %d.", item.SKU, p.UnitPrice, p.Currency, *item.UnitPrice)
	refusal.Attrs = map[string]string{"sku": item.SKU, "unitPrice": strconv.FormatInt(p.UnitPrice, 10)}
	return refusal
}

// catalogue reads the product of each line; one that was never listed is the zero product.
func (s *Service) catalogue(ctx context.Context, items []NewLine) ([]product.Product, error) {
	products := make([]product.Product, len(items))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(catalogueReads)
	for i, item := range items {
		group.Go(func() error {
			loaded, err := Load(ctx, s.Executor, Products, item.SKU)
			products[i] = loaded.State
			return err
		})
	}
	return products, group.Wait()
}
