package product

import (
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// FoldVersion changes whenever Apply or the shape of Product does; snapshots of another version are not used.
const FoldVersion = 1

// MaxName bounds a product's name, in characters.
const MaxName = 200

// Status is where a product stands.
type Status string

// The statuses.
const (
	StatusListed    Status = "listed"
	StatusWithdrawn Status = "withdrawn"
)

// Product is a product's state; the zero value is one that was never listed. Its SKU is its stream's id.
type Product struct {
	Name      string    `json:"name"`
	UnitPrice int64     `json:"unitPrice"` // minor units
	Currency  string    `json:"currency"`
	Status    Status    `json:"status"`
	ListedAt  time.Time `json:"listedAt"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// Events lists a zero value of every event of a product.
func Events() []domain.Event {
	return []domain.Event{Listed{}, PriceChanged{}, Withdrawn{}}
}

// Apply is the product after one more event; it takes any history.
func (p Product) Apply(r domain.Recorded) Product {
	switch e := r.Event.(type) {
	case Listed:
		p.Name, p.UnitPrice, p.Currency = e.Name, e.UnitPrice, e.Currency
		p.Status, p.ListedAt = StatusListed, r.Meta.At
	case PriceChanged:
		p.UnitPrice, p.Currency = e.UnitPrice, e.Currency
	case Withdrawn:
		p.Status = StatusWithdrawn
	default:
		return p
	}
	p.UpdatedAt = r.Meta.At
	return p
}

// List puts a SKU into the catalogue; one that was withdrawn stays so. Codes: product_exists, product_withdrawn.
func (p Product) List(sku string, l Listed) ([]domain.Event, error) {
	var found domain.Findings
	found.SKU("/sku", sku)
	found.Text("/name", l.Name, true, MaxName)
	found.Range("/unitPrice", l.UnitPrice, 0, domain.MaxAmount)
	found.Currency("/currency", l.Currency)
	if err := found.Err(); err != nil {
		return nil, err
	}
	switch p.Status {
	case "":
		return []domain.Event{l}, nil
	case StatusWithdrawn:
		return nil, withdrawn()
	default:
		return nil, domain.Refuse("product_exists", "The catalogue already has %s.", sku)
	}
}

// ChangePrice gives the product another price; the price it has is no change. Code: product_withdrawn.
func (p Product) ChangePrice(c PriceChanged) ([]domain.Event, error) {
	var found domain.Findings
	found.Range("/unitPrice", c.UnitPrice, 0, domain.MaxAmount)
	found.Currency("/currency", c.Currency)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if err := p.listed(); err != nil {
		return nil, err
	}
	if c.UnitPrice == p.UnitPrice && c.Currency == p.Currency {
		return nil, nil
	}
	return []domain.Event{c}, nil
}

// Withdraw takes the product out of the catalogue for good. Code: product_withdrawn.
func (p Product) Withdraw() ([]domain.Event, error) {
	if err := p.listed(); err != nil {
		return nil, err
	}
	return []domain.Event{Withdrawn{}}, nil
}

func (p Product) listed() error {
	switch p.Status {
	case StatusListed:
		return nil
	case StatusWithdrawn:
		return withdrawn()
	default:
		return domain.NotFound("product", "")
	}
}

func withdrawn() error {
	return domain.Refuse("product_withdrawn", "The product was withdrawn from the catalogue.")
}
