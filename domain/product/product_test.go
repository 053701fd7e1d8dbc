package product_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/product"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	listed = product.Listed{Name: "Lamp", UnitPrice: 1999, Currency: "EUR"}
)

func given(events ...domain.Event) product.Product {
	var p product.Product
	for _, e := range events {
		p = p.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: noon}})
	}
	return p
}

type decision = func(product.Product) ([]domain.Event, error)

func list(sku string, l product.Listed) decision {
	return func(p product.Product) ([]domain.Event, error) { return p.List(sku, l) }
}

func change(price int64, currency string) decision {
	return func(p product.Product) ([]domain.Event, error) {
		return p.ChangePrice(product.PriceChanged{UnitPrice: price, Currency: currency})
	}
}

func TestDecisions(t *testing.T) {
	type events = []domain.Event
	for _, c := range []struct {
		name   string
		given  events
		decide decision
		want   events
		code   string
	}{
		{"list", nil, list("LAMP", listed), events{listed}, ""},
		{"list for nothing", nil, list("LAMP", product.Listed{Name: "x", Currency: "EUR"}), events{product.Listed{Name: "x", Currency: "EUR"}}, ""},
		{"list twice", events{listed}, list("LAMP", listed), nil, "product_exists"},
		{"list after withdrawal", events{listed, product.Withdrawn{}}, list("LAMP", listed), nil, "product_withdrawn"},
		{"list badly", nil, list("lamp", product.Listed{UnitPrice: -1, Currency: "?"}), nil, "invalid_request"},
		{"change", events{listed}, change(5, "EUR"), events{product.PriceChanged{UnitPrice: 5, Currency: "EUR"}}, ""},
		{"change to another currency", events{listed}, change(1999, "USD"), events{product.PriceChanged{UnitPrice: 1999, Currency: "USD"}}, ""},
		{"change to the same", events{listed}, change(1999, "EUR"), nil, ""},
		{"change below zero", events{listed}, change(-1, "EUR"), nil, "invalid_request"},
		{"change what isn't there", nil, change(5, "EUR"), nil, "not_found"},
		{"change what is withdrawn", events{listed, product.Withdrawn{}}, change(5, "EUR"), nil, "product_withdrawn"},
		{"withdraw", events{listed}, product.Product.Withdraw, events{product.Withdrawn{}}, ""},
		{"withdraw twice", events{listed, product.Withdrawn{}}, product.Product.Withdraw, nil, "product_withdrawn"},
		{"withdraw what isn't there", nil, product.Product.Withdraw, nil, "not_found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.decide(given(c.given...))
			code := ""
			if err != nil {
				code = domain.CodeOf(err)
			}
			if code != c.code {
				t.Fatalf("refused with %q, want %q", code, c.code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFold(t *testing.T) {
	got := given(listed, product.PriceChanged{UnitPrice: 5, Currency: "USD"}, product.Withdrawn{})
	want := product.Product{Name: "Lamp", UnitPrice: 5, Currency: "USD", Status: product.StatusWithdrawn, ListedAt: noon, UpdatedAt: noon}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, e := range product.Events() {
		if given(e).UpdatedAt.IsZero() {
			t.Errorf("%s does not fold", e.EventType())
		}
	}
}

func TestAnyHistoryFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		given(rapid.SliceOf(rapid.SampledFrom(append(product.Events(), nil))).Draw(t, "events")...)
	})
}
