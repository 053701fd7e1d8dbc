// Package order is the Order aggregate: what a customer wants, until it is shipped or cancelled.
package order

// Line is one SKU of an order. CataloguePrice is set where somebody entitled to it named another
// price than the catalogue's, so that the override is on record.
type Line struct {
	SKU            string `json:"sku"`
	Name           string `json:"name,omitempty"`
	Quantity       int64  `json:"quantity"`
	UnitPrice      int64  `json:"unitPrice"` // minor units
	CataloguePrice *int64 `json:"cataloguePrice,omitempty"`
}

// Created opens an order. Address is a string or a flat object of strings, as the caller gave it.
type Created struct {
	CustomerID string `json:"customerId"`
	AccountID  string `json:"accountId"`
	Currency   string `json:"currency"`
	Items      []Line `json:"items"`
	Address    any    `json:"shippingAddress,omitempty"`
	Note       string `json:"note,omitempty"`
}

// ItemAdded adds pieces of a SKU: a new line, or more of an existing one at the same price.
type ItemAdded struct {
	Line
}

// ItemRemoved takes pieces of a line away; the line goes with its last piece.
type ItemRemoved struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Confirmed closes the order for changes and starts its fulfilment.
type Confirmed struct{}

// Prepared says that every line is reserved and the total is paid.
type Prepared struct{}

// Shipped says that the goods have left.
type Shipped struct {
	Carrier        string `json:"carrier"`
	TrackingNumber string `json:"trackingNumber"`
}

// Cancelled ends the order. The process gives the reasons out_of_stock, payment_declined and expired.
type Cancelled struct {
	Reason string `json:"reason"`
}

// Stored names.
func (Created) EventType() string     { return "OrderCreated" }
func (ItemAdded) EventType() string   { return "ItemAdded" }
func (ItemRemoved) EventType() string { return "ItemRemoved" }
func (Confirmed) EventType() string   { return "OrderConfirmed" }
func (Prepared) EventType() string    { return "OrderPrepared" }
func (Shipped) EventType() string     { return "OrderShipped" }
func (Cancelled) EventType() string   { return "OrderCancelled" }
