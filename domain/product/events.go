// Package product is the Product aggregate: what a SKU is called and what it costs.
package product

// Listed puts a SKU into the catalogue.
type Listed struct {
	Name      string `json:"name"`
	UnitPrice int64  `json:"unitPrice"` // minor units
	Currency  string `json:"currency"`
}

// PriceChanged gives a SKU another price.
type PriceChanged struct {
	UnitPrice int64  `json:"unitPrice"` // minor units
	Currency  string `json:"currency"`
}

// Withdrawn takes a SKU out of the catalogue for good.
type Withdrawn struct{}

// Stored names.
func (Listed) EventType() string       { return "ProductListed" }
func (PriceChanged) EventType() string { return "PriceChanged" }
func (Withdrawn) EventType() string    { return "ProductWithdrawn" }
