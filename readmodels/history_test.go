package readmodels

import (
	"fmt"
	"time"

	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// orderIDs and skus are few, so that random histories meet often.
func orderID(n int) string   { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }
func accountID(n int) string { return fmt.Sprintf("00000000-0000-7000-9000-%012d", n) }
func sku(n int) string       { return fmt.Sprintf("SKU-%d", n) }

// drawHistory appends a random history: legal first events, then anything that could follow.
func drawHistory(t *rapid.T, s *script, most int) {
	started := map[string]bool{}
	for range rapid.IntRange(1, most).Draw(t, "events") {
		n := rapid.IntRange(0, 3).Draw(t, "which")
		switch rapid.SampledFrom([]string{"order", "order", "order", "inventory", "account", "product", "fulfilment"}).Draw(t, "category") {
		case "order":
			stream := domain.Stream("order", orderID(n))
			s.append(stream, drawOrderEvent(t, !started[stream]))
			started[stream] = true
		case "inventory":
			s.append(domain.Stream("inventory", sku(n)), drawStockEvent(t))
		case "account":
			stream := domain.Stream("account", accountID(n))
			s.append(stream, drawAccountEvent(t, !started[stream]))
			started[stream] = true
		case "product":
			stream := domain.Stream("product", sku(n))
			s.append(stream, drawProductEvent(t, !started[stream]))
			started[stream] = true
		case "fulfilment":
			stream := domain.Stream("fulfilment", orderID(n))
			s.append(stream, drawFulfilmentEvent(t, !started[stream]))
			started[stream] = true
		}
	}
}

func drawLine(t *rapid.T) order.Line {
	return order.Line{SKU: sku(rapid.IntRange(0, 3).Draw(t, "sku")), Name: "thing", Quantity: rapid.Int64Range(1, 9).Draw(t, "quantity"), UnitPrice: rapid.Int64Range(0, 500).Draw(t, "price")}
}

func drawOrderEvent(t *rapid.T, first bool) domain.Event {
	if first {
		created := order.Created{CustomerID: fmt.Sprintf("c%d", rapid.IntRange(0, 1).Draw(t, "customer")), AccountID: accountID(0),
			Currency: rapid.SampledFrom([]string{"EUR", "CHF"}).Draw(t, "currency"), Items: []order.Line{drawLine(t)}}
		if rapid.Bool().Draw(t, "address") {
			created.Address, created.Note = map[string]any{"city": "Köln", "street": "<Hohe Straße> & \"9\""}, "ring\ttwice"
		}
		return created
	}
	line := drawLine(t)
	return rapid.SampledFrom([]domain.Event{order.ItemAdded{Line: line}, order.ItemRemoved{SKU: line.SKU, Quantity: line.Quantity}, order.Confirmed{},
		order.Prepared{}, order.Shipped{Carrier: "DHL", TrackingNumber: "1"}, order.Cancelled{Reason: "changed my mind"}}).Draw(t, "order event")
}

func drawStockEvent(t *rapid.T) domain.Event {
	quantity, id := rapid.Int64Range(1, 20).Draw(t, "pieces"), orderID(rapid.IntRange(0, 2).Draw(t, "for"))
	return rapid.SampledFrom([]domain.Event{inventory.Received{Quantity: quantity, Reference: "r"}, inventory.Reserved{OrderID: id, Quantity: quantity},
		inventory.Released{OrderID: id, Quantity: quantity}, inventory.Damaged{Quantity: quantity, Reason: "wet"}, inventory.Shipped{OrderID: id, Quantity: quantity}}).Draw(t, "stock event")
}

func drawAccountEvent(t *rapid.T, first bool) domain.Event {
	if first {
		return account.Opened{CustomerID: "c0", Currency: "EUR", OverdraftLimit: rapid.Int64Range(0, 100).Draw(t, "limit")}
	}
	amount := rapid.Int64Range(1, 1000).Draw(t, "amount")
	return rapid.SampledFrom([]domain.Event{account.Deposited{Amount: amount, Currency: "EUR"}, account.Withdrawn{Amount: amount, Currency: "EUR", OrderID: orderID(0)},
		account.Credited{Amount: amount, Currency: "EUR", OrderID: orderID(0), Reason: "back"}, account.Closed{}}).Draw(t, "account event")
}

func drawProductEvent(t *rapid.T, first bool) domain.Event {
	if first {
		return product.Listed{Name: "Lamp", UnitPrice: 100, Currency: "EUR"}
	}
	return rapid.SampledFrom([]domain.Event{product.PriceChanged{UnitPrice: rapid.Int64Range(0, 999).Draw(t, "new price"), Currency: "EUR"}, product.Withdrawn{}}).Draw(t, "product event")
}

func drawFulfilmentEvent(t *rapid.T, first bool) domain.Event {
	if first {
		return fulfilment.Started{CustomerID: "c0", AccountID: accountID(0), Currency: "EUR", Total: 5, Lines: []fulfilment.Line{{SKU: sku(0), Quantity: 1}},
			PrepareBy: scriptStart.Add(time.Hour), Steps: []fulfilment.Planned{{Step: fulfilment.StepReserve, SKU: sku(0)}, {Step: fulfilment.StepPay}}}
	}
	return rapid.SampledFrom([]domain.Event{fulfilment.StepIntended{Step: fulfilment.StepReserve, SKU: sku(0), Attempt: 1}, fulfilment.LineReserved{SKU: sku(0), Quantity: 1},
		fulfilment.StepFailed{Step: fulfilment.StepPay, Code: "x", RetryAt: scriptStart}, fulfilment.Prepared{}, fulfilment.Completed{},
		fulfilment.Compensating{Reason: "payment_declined"}, fulfilment.Compensated{}}).Draw(t, "fulfilment event")
}
