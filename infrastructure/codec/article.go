package codec

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// Version 1 is the shape of the article the service grew from: snake_case names, integer ids, decimal
// amounts, the aggregate's own id in the data, times in the data. What it did not say is filled in so
// that the fold ends in the state the article's readers would expect:
//
//   - The currency is EUR unless the metadata names one; amounts are × 100, exactly or not at all.
//   - order_id and account_id repeat the stream's name and are dropped; total and balance follow from
//     the events and are dropped (the article's own example contradicts itself there).
//   - ItemAdded had no price. It becomes an addition at unit price 0, which the fold reads as more of
//     the line that is there, at that line's price, and as a free line where there is none.
//   - An order had no payment account: AccountID is empty unless the data names one, and a payment from
//     no account is declined.
//
// The same version number was also used by writers of today's shape that sent no metadata. The two are
// told apart by their keys: today's has no snake_case key, the article's has at least one.

// articleFields gives access to the fields of version-1 data.
type articleFields map[string]json.RawMessage

// articleKeys are the keys that only version 1 has. An empty object is the same in both shapes.
var articleKeys = []string{
	"order_id", "customer_id", "account_id", "item_id", "created_at", "timestamp",
	"confirmed_at", "shipped_at", "cancelled_at", "tracking_number",
}

// articleTimes are where version-1 data says when.
var articleTimes = []string{"timestamp", "created_at", "confirmed_at", "shipped_at", "cancelled_at"}

// article makes an upcaster of a function from fields to an event. Data in today's shape is left to
// the caller: no event, no error.
func article(upcast func(old envelope, fields articleFields) (domain.Event, error)) upcaster {
	return func(old envelope, data []byte) (domain.Event, time.Time, error) {
		var fields articleFields
		if err := json.Unmarshal(data, &fields); err != nil {
			return nil, time.Time{}, err
		}
		if !slices.ContainsFunc(articleKeys, func(key string) bool { return fields[key] != nil }) {
			return nil, time.Time{}, nil
		}
		event, err := upcast(old, fields)
		if err != nil {
			return nil, time.Time{}, err
		}
		for _, key := range articleTimes {
			var text string
			if json.Unmarshal(fields[key], &text) == nil && !parseTime(text).IsZero() {
				return event, parseTime(text), nil
			}
		}
		return event, time.Time{}, nil
	}
}

// id reads an id: a string as it is, an integer as its decimal string; empty if it is missing.
func (f articleFields) id(key string) (string, error) {
	raw := f[key]
	if raw == nil || string(raw) == "null" {
		return "", nil
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text, nil
	}
	value, err := scaled(string(raw), 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return fmt.Sprint(value), nil
}

// whole reads an integer; 0 if it is missing.
func (f articleFields) whole(key string) (int64, error) { return f.number(key, 0) }

// money reads a decimal amount as minor units; 0 if it is missing.
func (f articleFields) money(key string) (int64, error) { return f.number(key, 2) }

func (f articleFields) number(key string, scale int) (int64, error) {
	raw := string(f[key])
	if raw == "" || raw == "null" {
		return 0, nil
	}
	var text string
	if json.Unmarshal(f[key], &text) == nil {
		raw = text
	}
	value, err := scaled(raw, scale)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", key, err)
	}
	return value, nil
}

// text reads a string; empty if it is missing or something else.
func (f articleFields) text(key string) (value string) {
	if json.Unmarshal(f[key], &value) != nil {
		return ""
	}
	return value
}

func orderCreated(old envelope, fields articleFields) (domain.Event, error) {
	customer, err := fields.id("customer_id")
	if err != nil {
		return nil, err
	}
	account, err := fields.id("account_id")
	if err != nil {
		return nil, err
	}
	created := order.Created{CustomerID: customer, AccountID: account, Currency: old.currency, Items: []order.Line{}}
	var items []articleFields
	if raw := fields["items"]; raw != nil {
		if err := json.Unmarshal(raw, &items); err != nil {
			return nil, fmt.Errorf("items: %w", err)
		}
	}
	for i, item := range items {
		line, err := articleLine(item)
		if err != nil {
			return nil, fmt.Errorf("items/%d: %w", i, err)
		}
		created.Items = addLine(created.Items, line)
	}
	return created, nil
}

// addLine keeps one line per SKU where the article's writer repeated an item at the same price.
func addLine(lines []order.Line, line order.Line) []order.Line {
	for i, same := range lines {
		if same.SKU == line.SKU && same.UnitPrice == line.UnitPrice && same.Quantity <= maxAmount-line.Quantity {
			lines[i].Quantity += line.Quantity
			return lines
		}
	}
	return append(lines, line)
}

func articleLine(fields articleFields) (line order.Line, err error) {
	if line.SKU, err = fields.id("item_id"); err != nil {
		return line, err
	}
	if line.Quantity, err = fields.whole("quantity"); err != nil {
		return line, err
	}
	line.Name = fields.text("name")
	line.UnitPrice, err = fields.money("price")
	return line, err
}

func itemAdded(_ envelope, fields articleFields) (domain.Event, error) {
	line, err := articleLine(fields)
	return order.ItemAdded{Line: line}, err
}

func itemRemoved(_ envelope, fields articleFields) (domain.Event, error) {
	line, err := articleLine(fields)
	return order.ItemRemoved{SKU: line.SKU, Quantity: line.Quantity}, err
}

func orderConfirmed(envelope, articleFields) (domain.Event, error) { return order.Confirmed{}, nil }

func orderShipped(_ envelope, fields articleFields) (domain.Event, error) {
	tracking, err := fields.id("tracking_number")
	return order.Shipped{Carrier: fields.text("carrier"), TrackingNumber: tracking}, err
}

func orderCancelled(_ envelope, fields articleFields) (domain.Event, error) {
	return order.Cancelled{Reason: fields.text("reason")}, nil
}

func inventoryReserved(_ envelope, fields articleFields) (domain.Event, error) {
	id, quantity, err := fields.reservation()
	return inventory.Reserved{OrderID: id, Quantity: quantity}, err
}

func inventoryReleased(_ envelope, fields articleFields) (domain.Event, error) {
	id, quantity, err := fields.reservation()
	return inventory.Released{OrderID: id, Quantity: quantity}, err
}

func (f articleFields) reservation() (orderID string, quantity int64, err error) {
	if orderID, err = f.id("order_id"); err != nil {
		return "", 0, err
	}
	quantity, err = f.whole("quantity")
	return orderID, quantity, err
}

func inventoryDamaged(_ envelope, fields articleFields) (domain.Event, error) {
	quantity, err := fields.whole("quantity")
	return inventory.Damaged{Quantity: quantity, Reason: fields.text("reason")}, err
}

func deposited(old envelope, fields articleFields) (domain.Event, error) {
	amount, err := fields.money("amount")
	return account.Deposited{Amount: amount, Currency: old.currency}, err
}

func accountCredited(old envelope, fields articleFields) (domain.Event, error) {
	amount, err := fields.money("amount")
	return account.Credited{Amount: amount, Currency: old.currency, Reason: fields.text("reason")}, err
}
