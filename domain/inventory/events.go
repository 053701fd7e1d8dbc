// Package inventory is the Inventory aggregate: the pieces of one SKU, on hand and reserved.
package inventory

// Received adds pieces to the stock on hand.
type Received struct {
	Quantity  int64  `json:"quantity"`
	Reference string `json:"reference,omitempty"`
}

// Reserved promises pieces to an order.
type Reserved struct {
	OrderID  string `json:"orderId"`
	Quantity int64  `json:"quantity"`
}

// Released takes a promise back.
type Released struct {
	OrderID  string `json:"orderId"`
	Quantity int64  `json:"quantity"`
}

// Damaged writes available pieces off.
type Damaged struct {
	Quantity int64  `json:"quantity"`
	Reason   string `json:"reason"`
}

// Shipped moves reserved pieces out of the house.
type Shipped struct {
	OrderID  string `json:"orderId"`
	Quantity int64  `json:"quantity"`
}

// Stored names.
func (Received) EventType() string { return "StockReceived" }
func (Reserved) EventType() string { return "InventoryReserved" }
func (Released) EventType() string { return "InventoryReleased" }
func (Damaged) EventType() string  { return "InventoryDamaged" }
func (Shipped) EventType() string  { return "InventoryShipped" }
