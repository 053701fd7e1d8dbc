package codec

import (
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// today has an example of each event in today's shape, every field set: what -update makes goldens of.
func today() []domain.Event {
	price := int64(1250)
	line := order.Line{SKU: "BOOK-1", Name: "A <book> & more", Quantity: 2, UnitPrice: 999, CataloguePrice: &price}
	return append([]domain.Event{
		order.Created{CustomerID: "cust-1", AccountID: "018f0000-0000-7000-8000-000000000001", Currency: "EUR",
			Items: []order.Line{line, {SKU: "PEN", Quantity: 1, UnitPrice: maxAmount}}, Address: map[string]any{"city": "Köln"}, Note: "ring twice"},
		order.ItemAdded{Line: line}, order.ItemRemoved{SKU: "PEN", Quantity: 1}, order.Confirmed{}, order.Prepared{},
		order.Shipped{Carrier: "DHL", TrackingNumber: "T-1"}, order.Cancelled{Reason: "expired"},
		product.Listed{Name: "A book", UnitPrice: 1250, Currency: "EUR"},
		product.PriceChanged{UnitPrice: 0, Currency: "EUR"}, product.Withdrawn{},
		inventory.Received{Quantity: 10, Reference: "truck 7"}, inventory.Reserved{OrderID: "o-1", Quantity: 2},
		inventory.Released{OrderID: "o-1", Quantity: 2}, inventory.Damaged{Quantity: 1, Reason: "wet"}, inventory.Shipped{OrderID: "o-1", Quantity: 2},
		account.Opened{CustomerID: "cust-1", Currency: "EUR", OverdraftLimit: 500},
		account.Deposited{Amount: 1000, Currency: "EUR", Reference: "salary"},
		account.Withdrawn{Amount: 400, Currency: "EUR", OrderID: "o-1", Reference: "order"},
		account.Credited{Amount: 400, Currency: "EUR", OrderID: "o-1", Reference: "order", Reason: "cancelled"}, account.Closed{},
		domain.KeyClaimed{Operation: "createOrder", Stream: "order-1", RequestHash: "abc", After: -1, Empty: true},
		domain.SnapshotTaken{FoldVersion: 1, Revision: 99, Position: 1 << 60, Hash: "def", Commands: "packed", State: `{"a":1}`, Checksum: "123"},
	}, todayOfFulfilment()...)
}

func todayOfFulfilment() []domain.Event {
	at := time.Date(2026, 3, 1, 12, 15, 0, 123456000, time.UTC)
	steps := []fulfilment.Planned{{Step: "reserve", SKU: "PEN"}, {Step: "pay"}}
	return []domain.Event{
		fulfilment.Started{CustomerID: "cust-1", AccountID: "a-1", Currency: "EUR", Total: 400,
			Lines: []fulfilment.Line{{SKU: "PEN", Quantity: 2}}, PrepareBy: at, Steps: steps},
		fulfilment.StepIntended{Step: "reserve", SKU: "PEN", Attempt: 1},
		fulfilment.LineReserved{SKU: "PEN", Quantity: 2}, fulfilment.LineRefused{SKU: "PEN", Code: "insufficient_stock"},
		fulfilment.PaymentTaken{AccountID: "a-1", Amount: 400, Currency: "EUR"}, fulfilment.PaymentDeclined{Code: "insufficient_funds"},
		fulfilment.Prepared{}, fulfilment.GivingUp{Reason: "out_of_stock", Steps: steps}, fulfilment.Shipping{Steps: steps},
		fulfilment.LineShipped{SKU: "PEN", Quantity: 2}, fulfilment.Completed{}, fulfilment.Compensating{Reason: "expired", Steps: steps},
		fulfilment.LineReleased{SKU: "PEN"}, fulfilment.PaymentCredited{AccountID: "a-1", Amount: 400, Currency: "EUR"},
		fulfilment.OrderCancelled{Reason: "expired"}, fulfilment.StepSkipped{Step: "pay"},
		fulfilment.StepFailed{Step: "release", SKU: "PEN", Code: "event_store_unavailable", RetryAt: at},
		fulfilment.Retried{}, fulfilment.Resolved{Step: "credit", SKU: "PEN", Reason: "paid by hand"}, fulfilment.Compensated{Check: true}, fulfilment.Checked{},
	}
}
