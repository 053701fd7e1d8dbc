package readmodels

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// catalogue: one document per SKU.
var catalogue = define(Model{
	Name: "catalogue", Title: "Catalogue", Version: 1, Categories: []string{"product"},
	Indexes: [][]string{{"status"}},
}, func(p *product.Product, r domain.Recorded) (any, error) {
	*p = p.Apply(r)
	return nil, nil
}, nil)

// The screens that show it.
var catalogueScreens = []Screen{
	{Operation: "getProduct", Model: "catalogue", Answer: answerProduct, Item: wholeItem(answerProduct, "sku")},
	productList.screen("catalogue"),
}

var productList = listing{
	operation: "listProducts",
	model:     func() *Model { return catalogue },
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		return ask.equals(map[string]string{"status": "status"}), nil
	},
	item: func(d Document, _ *Reader) (any, error) {
		f, err := decodeFound[product.Product](d)
		return ProductView(f.id, f.revision(catalogue), *f.body), err
	},
}

func answerProduct(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	sku := ask.param("sku")
	f, ok, err := fetch[product.Product](ctx, r, catalogue, ask, sku)
	if err == nil && !ok {
		err = ask.missing("product", sku)
	}
	if err != nil {
		return Answer{}, err
	}
	return r.single(ctx, catalogue, ask, f.sources, sku, ProductView(sku, f.revision(catalogue), *f.body))
}
