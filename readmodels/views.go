package readmodels

import (
	"time"

	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// The bodies of answers. Commands answer with the same shapes as the screens.
type (
	// Order is the answer about one order.
	Order struct {
		ID             string      `json:"id"`
		Revision       int64       `json:"revision"`
		CustomerID     string      `json:"customerId"`
		AccountID      string      `json:"accountId"`
		Status         string      `json:"status"`
		Currency       string      `json:"currency"`
		Items          []OrderItem `json:"items"`
		Total          int64       `json:"total"`
		TotalItems     int64       `json:"totalItems"`
		Address        any         `json:"shippingAddress,omitempty"`
		Note           string      `json:"note,omitempty"`
		CreatedAt      string      `json:"createdAt"`
		UpdatedAt      string      `json:"updatedAt"`
		ConfirmedAt    string      `json:"confirmedAt,omitempty"`
		PreparedAt     string      `json:"preparedAt,omitempty"`
		ShippedAt      string      `json:"shippedAt,omitempty"`
		CancelledAt    string      `json:"cancelledAt,omitempty"`
		CancelReason   string      `json:"cancelReason,omitempty"`
		Carrier        string      `json:"carrier,omitempty"`
		TrackingNumber string      `json:"trackingNumber,omitempty"`
		Fulfilment     *Fulfilment `json:"fulfilment,omitempty"`
		Timeline       []Moment    `json:"timeline,omitempty"`
	}

	// OrderItem is a line of an order.
	OrderItem struct {
		SKU            string `json:"sku"`
		Name           string `json:"name"`
		Quantity       int64  `json:"quantity"`
		UnitPrice      int64  `json:"unitPrice"`
		CataloguePrice *int64 `json:"cataloguePrice,omitempty"`
		LineTotal      int64  `json:"lineTotal"`
	}

	// OrderRow is an order in a list.
	OrderRow struct {
		ID         string `json:"id"`
		CustomerID string `json:"customerId"`
		Status     string `json:"status"`
		Currency   string `json:"currency"`
		Total      int64  `json:"total"`
		TotalItems int64  `json:"totalItems"`
		CreatedAt  string `json:"createdAt"`
		UpdatedAt  string `json:"updatedAt"`
		Revision   int64  `json:"revision"`
	}

	// Product is the answer about one SKU of the catalogue.
	Product struct {
		ID        string `json:"id"`
		SKU       string `json:"sku"`
		Name      string `json:"name"`
		UnitPrice int64  `json:"unitPrice"`
		Currency  string `json:"currency"`
		Status    string `json:"status"`
		ListedAt  string `json:"listedAt,omitempty"`
		UpdatedAt string `json:"updatedAt,omitempty"`
		Revision  int64  `json:"revision"`
	}

	// Stock is the answer about the stock of one SKU.
	Stock struct {
		ID        string `json:"id"`
		SKU       string `json:"sku"`
		OnHand    int64  `json:"onHand"`
		Reserved  int64  `json:"reserved"`
		Available int64  `json:"available"`
		LowStock  bool   `json:"lowStock"`
		UpdatedAt string `json:"updatedAt,omitempty"`
		Revision  int64  `json:"revision"`
	}

	// Account is the answer about one account.
	Account struct {
		ID             string `json:"id"`
		CustomerID     string `json:"customerId"`
		Currency       string `json:"currency"`
		Balance        int64  `json:"balance"`
		OverdraftLimit int64  `json:"overdraftLimit"`
		Available      int64  `json:"available"`
		Status         string `json:"status"`
		OpenedAt       string `json:"openedAt,omitempty"`
		UpdatedAt      string `json:"updatedAt,omitempty"`
		ClosedAt       string `json:"closedAt,omitempty"`
		Revision       int64  `json:"revision"`
	}
)

// OrderView is the answer about an order at a revision; f is nil where there is no fulfilment to tell of.
func OrderView(id string, revision int64, o order.Order, f *Fulfilment) Order {
	view := Order{ID: id, Revision: revision, CustomerID: o.CustomerID, AccountID: o.AccountID, Status: string(o.Status), Currency: o.Currency,
		Items: make([]OrderItem, len(o.Items)), Total: o.Total, TotalItems: o.TotalItems, Address: o.ShippingAddress, Note: o.Note,
		CreatedAt: Stamp(o.CreatedAt), UpdatedAt: Stamp(o.UpdatedAt), ConfirmedAt: stampOf(o.ConfirmedAt), PreparedAt: stampOf(o.PreparedAt),
		ShippedAt: stampOf(o.ShippedAt), CancelledAt: stampOf(o.CancelledAt), CancelReason: o.CancelReason, Carrier: o.Carrier, TrackingNumber: o.TrackingNumber, Fulfilment: f}
	for i, l := range o.Items {
		view.Items[i] = OrderItem{SKU: l.SKU, Name: l.Name, Quantity: l.Quantity, UnitPrice: l.UnitPrice, CataloguePrice: l.CataloguePrice, LineTotal: l.Total()}
	}
	return view
}

// ProductView is the answer about a product at a revision.
func ProductView(sku string, revision int64, p product.Product) Product {
	return Product{ID: sku, SKU: sku, Name: p.Name, UnitPrice: p.UnitPrice, Currency: p.Currency, Status: string(p.Status),
		ListedAt: Stamp(p.ListedAt), UpdatedAt: Stamp(p.UpdatedAt), Revision: revision}
}

// StockView is the answer about a SKU's stock at a revision; stock is low when fewer than lowStock pieces are available.
func StockView(sku string, revision int64, s inventory.Stock, lowStock int64) Stock {
	return Stock{ID: sku, SKU: sku, OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available, LowStock: s.Available < lowStock,
		UpdatedAt: Stamp(s.UpdatedAt), Revision: revision}
}

// AccountView is the answer about an account at a revision.
func AccountView(id string, revision int64, a account.Account) Account {
	return Account{ID: id, CustomerID: a.CustomerID, Currency: a.Currency, Balance: a.Balance, OverdraftLimit: a.OverdraftLimit,
		Available: a.Available, Status: string(a.Status), OpenedAt: Stamp(a.OpenedAt), UpdatedAt: Stamp(a.UpdatedAt),
		ClosedAt: stampOf(a.ClosedAt), Revision: revision}
}

// Fulfilment is the answer about the fulfilment of one order.
type Fulfilment struct {
	ID         string           `json:"id,omitempty"`
	OrderID    string           `json:"orderId"`
	Status     string           `json:"status"`
	Reason     string           `json:"reason,omitempty"`
	Steps      []FulfilmentStep `json:"steps"`
	WaitsFor   string           `json:"waitsFor,omitempty"`
	WaitsUntil string           `json:"waitsUntil,omitempty"`
	PrepareBy  string           `json:"prepareBy,omitempty"`
	StartedAt  string           `json:"startedAt"`
	PreparedAt string           `json:"preparedAt,omitempty"`
	EndedAt    string           `json:"endedAt,omitempty"`
	AgeSeconds *int64           `json:"ageSeconds,omitempty"`
	Revision   int64            `json:"revision"`
}

// FulfilmentStep is a step of a fulfilment.
type FulfilmentStep struct {
	Name      string `json:"name"`
	SKU       string `json:"sku,omitempty"`
	Status    string `json:"status"`
	Attempts  int    `json:"attempts"`
	At        string `json:"at"`
	Code      string `json:"code,omitempty"`
	Reason    string `json:"reason,omitempty"`
	RetryAt   string `json:"retryAt,omitempty"`
	CommandID string `json:"commandId,omitempty"` // of the command that was sent
}

// FulfilmentView is the answer about a fulfilment at a revision, without its age.
func FulfilmentView(orderID string, revision int64, p fulfilment.Process) Fulfilment {
	view := Fulfilment{OrderID: orderID, Status: string(p.Status), Reason: p.Reason, Steps: make([]FulfilmentStep, len(p.Steps)), PrepareBy: Stamp(p.PrepareBy),
		StartedAt: Stamp(p.StartedAt), PreparedAt: stampOf(p.PreparedAt), EndedAt: stampOf(p.EndedAt), Revision: revision}
	for i, s := range p.Steps {
		view.Steps[i] = FulfilmentStep{Name: string(s.Name), SKU: s.SKU, Status: string(s.Status), Attempts: s.Attempts, At: Stamp(s.At),
			Code: s.Code, Reason: s.Reason, RetryAt: stampOf(s.RetryAt)}
		if s.Attempts > 0 {
			view.Steps[i].CommandID = fulfilment.CommandID(orderID, s.Name, s.SKU)
		}
	}
	what, until := p.WaitsFor()
	view.WaitsFor, view.WaitsUntil = what, stampOf(until)
	return view
}

// aged adds the id and the age: until the end, or until now.
func (f Fulfilment) aged(now time.Time) Fulfilment {
	if end := ParseStamp(f.EndedAt); !end.IsZero() {
		now = end
	}
	seconds := max(0, int64(now.Sub(ParseStamp(f.StartedAt))/time.Second))
	f.ID, f.AgeSeconds = f.OrderID, &seconds
	return f
}

func stampOf(t *time.Time) string {
	if t == nil {
		return ""
	}
	return Stamp(*t)
}
