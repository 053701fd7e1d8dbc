package order

import (
	"fmt"

	"github.com/tidemark-dev/tidemark/domain"
)

// Limits of an order.
const (
	MaxLines         = 200
	MaxName          = 200 // characters, like those below
	MaxNote          = 2000
	MaxReason        = 200
	MaxShippingWord  = 100 // carrier, tracking number
	MaxAddress       = 1000
	MaxAddressFields = 20
)

// Create opens an order: 1 to MaxLines lines, each SKU once. It refuses with KindInvalid only.
func Create(c Created) ([]domain.Event, error) {
	var found domain.Findings
	found.CustomerID("/customerId", c.CustomerID)
	found.UUID("/accountId", c.AccountID)
	found.Currency("/currency", c.Currency)
	found.Text("/note", c.Note, false, MaxNote)
	checkAddress(&found, c.Address)
	switch {
	case len(c.Items) == 0:
		found.Add("/items", "required", "must have at least one line")
	case len(c.Items) > MaxLines:
		found.Add("/items", "too_many", "must have at most %d lines", MaxLines)
	default:
		checkLines(&found, c.Items)
	}
	if err := found.Err(); err != nil {
		return nil, err
	}
	return []domain.Event{c}, nil
}

func checkLines(found *domain.Findings, lines []Line) {
	seen := make(map[string]bool, len(lines))
	total, fits := int64(0), true
	for i, line := range lines {
		pointer := fmt.Sprintf("/items/%d", i)
		checkLine(found, pointer, line)
		if seen[line.SKU] {
			found.Add(pointer+"/sku", "duplicate", "must be on one line only")
		}
		seen[line.SKU] = true
		if sum, ok := addLine(total, line); ok && fits {
			total = sum
		} else {
			fits = false
		}
	}
	if !fits {
		found.Add("/items", "out_of_range", "must cost at most %d in total", domain.MaxAmount)
	}
}

func checkLine(found *domain.Findings, pointer string, line Line) {
	found.SKU(pointer+"/sku", line.SKU)
	found.Text(pointer+"/name", line.Name, false, MaxName)
	found.Range(pointer+"/quantity", line.Quantity, 1, domain.MaxQuantity)
	found.Range(pointer+"/unitPrice", line.UnitPrice, 0, domain.MaxAmount)
}

func addLine(total int64, line Line) (int64, bool) {
	cost, ok := domain.Mul(line.Quantity, line.UnitPrice)
	if !ok {
		return 0, false
	}
	return domain.Add(total, cost)
}

// checkAddress takes nothing, a string, or a flat object of strings.
func checkAddress(found *domain.Findings, address any) {
	const pointer = "/shippingAddress"
	switch a := address.(type) {
	case nil:
	case string:
		found.Text(pointer, a, false, MaxAddress)
	case map[string]any:
		if len(a) > MaxAddressFields {
			found.Add(pointer, "too_many", "must have at most %d fields", MaxAddressFields)
			return
		}
		for _, name := range sortedKeys(a) {
			text, ok := a[name].(string)
			if !ok {
				found.Add(pointer+"/"+escaped(name), "invalid_format", "must be a string")
				continue
			}
			found.Text(pointer, name, true, MaxShippingWord)
			found.Text(pointer+"/"+escaped(name), text, false, MaxAddress)
		}
	default:
		found.Add(pointer, "invalid_format", "must be a string or an object of strings")
	}
}

// AddItem adds pieces of a SKU, at the price that the order already has for it.
// Codes: order_not_open, price_mismatch, too_many_lines.
func (o Order) AddItem(line Line) ([]domain.Event, error) {
	var found domain.Findings
	checkLine(&found, "", line)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	if have, ok := o.Line(line.SKU); ok {
		if have.UnitPrice != line.UnitPrice {
			return nil, domain.Refuse("price_mismatch", "The order already has %s at %d, not at %d.", line.SKU, have.UnitPrice, line.UnitPrice)
		}
		if have.Quantity+line.Quantity > domain.MaxQuantity {
			found.Add("/quantity", "out_of_range", "must leave the line at %d pieces or fewer", domain.MaxQuantity)
			return nil, found.Err()
		}
	} else if len(o.Items) >= MaxLines {
		return nil, domain.Refuse("too_many_lines", "The order already has %d lines, the most it may have.", MaxLines)
	}
	if _, ok := addLine(o.Total, line); !ok {
		found.Add("/unitPrice", "out_of_range", "must leave the order's total at %d or less", domain.MaxAmount)
		return nil, found.Err()
	}
	return []domain.Event{ItemAdded{line}}, nil
}

// RemoveItem takes pieces of a SKU away, the whole line where quantity is nil.
// Codes: order_not_open, item_not_in_order, quantity_exceeds_line.
func (o Order) RemoveItem(sku string, quantity *int64) ([]domain.Event, error) {
	if quantity != nil {
		var found domain.Findings
		found.Range("/quantity", *quantity, 1, domain.MaxQuantity)
		if err := found.Err(); err != nil {
			return nil, err
		}
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	line, ok := o.Line(sku)
	if !ok {
		return nil, domain.Refuse("item_not_in_order", "The order has no %s.", sku)
	}
	removed := line.Quantity
	if quantity != nil {
		removed = *quantity
	}
	if removed > line.Quantity {
		return nil, domain.Refuse("quantity_exceeds_line", "The order has %d of %s, fewer than %d.", line.Quantity, sku, removed)
	}
	return []domain.Event{ItemRemoved{SKU: sku, Quantity: removed}}, nil
}

// Confirm closes the order for changes. Codes: invalid_transition, order_empty.
func (o Order) Confirm() ([]domain.Event, error) {
	if err := o.transition("confirmed", StatusCreated); err != nil {
		return nil, err
	}
	if len(o.Items) == 0 {
		return nil, domain.Refuse("order_empty", "An order without lines can't be confirmed.")
	}
	return []domain.Event{Confirmed{}}, nil
}

// Prepare says that everything is reserved and paid. Code: invalid_transition.
func (o Order) Prepare() ([]domain.Event, error) {
	if err := o.transition("prepared", StatusConfirmed); err != nil {
		return nil, err
	}
	return []domain.Event{Prepared{}}, nil
}

// Ship says that the goods have left. Code: invalid_transition.
func (o Order) Ship(carrier, trackingNumber string) ([]domain.Event, error) {
	var found domain.Findings
	found.Text("/carrier", carrier, true, MaxShippingWord)
	found.Text("/trackingNumber", trackingNumber, true, MaxShippingWord)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if err := o.transition("shipped", StatusPrepared); err != nil {
		return nil, err
	}
	return []domain.Event{Shipped{Carrier: carrier, TrackingNumber: trackingNumber}}, nil
}

// Cancel ends an order that hasn't been shipped. Code: invalid_transition.
func (o Order) Cancel(reason string) ([]domain.Event, error) {
	var found domain.Findings
	found.Text("/reason", reason, true, MaxReason)
	if err := found.Err(); err != nil {
		return nil, err
	}
	if err := o.transition("cancelled", StatusCreated, StatusConfirmed, StatusPrepared); err != nil {
		return nil, err
	}
	return []domain.Event{Cancelled{Reason: reason}}, nil
}

func (o Order) open() error {
	switch o.Status {
	case "":
		return domain.NotFound("order", "")
	case StatusCreated:
		return nil
	default:
		return domain.Refuse("order_not_open", "The order is %s; it can't be changed any more.", o.Status)
	}
}

func (o Order) transition(to string, from ...Status) error {
	if o.Status == "" {
		return domain.NotFound("order", "")
	}
	for _, status := range from {
		if o.Status == status {
			return nil
		}
	}
	if string(o.Status) == to {
		return domain.Refuse("invalid_transition", "The order is %s already.", to)
	}
	return domain.Refuse("invalid_transition", "An order that is %s can't be %s.", o.Status, to)
}
