package readmodels

import (
	"context"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// stockLevels: one document per SKU, and one row per movement. The document is the aggregate's state
// without the list of live reservations, which the sums don't need and which grows with the trade.
var stockLevels = define(Model{
	Name: "stock_levels", Title: "Stock levels", Version: 1, Categories: []string{"inventory"},
	Indexes:    [][]string{{"available"}},
	RowIndexes: [][]string{{"sku", "revision"}, {"sku", "at"}},
}, foldStock, nil)

// The screens that show it.
var stockLevelsScreens = []Screen{
	{Operation: "getStock", Model: "stock_levels", Answer: answerStock, Item: wholeItem(answerStock, "sku")},
	stockList.screen("stock_levels"),
	movementList.screen("stock_levels"),
}

// Movement is one change of a SKU's stock, with the stock after it.
type Movement struct {
	SKU       string `json:"sku"`
	Revision  int64  `json:"revision"`
	At        string `json:"at"`
	Type      string `json:"type"` // received, reserved, released, damaged, shipped
	Quantity  int64  `json:"quantity"`
	OrderID   string `json:"orderId,omitempty"`
	Reference string `json:"reference,omitempty"`
	Reason    string `json:"reason,omitempty"`
	OnHand    int64  `json:"onHand"`
	Reserved  int64  `json:"reserved"`
	Available int64  `json:"available"`
}

func foldStock(s *inventory.Stock, r domain.Recorded) (any, error) {
	*s = s.Apply(r)
	s.Reservations = nil
	m := Movement{SKU: domain.StreamID(r.Stream), Revision: r.Revision, At: Stamp(r.Meta.At), OnHand: s.OnHand, Reserved: s.Reserved, Available: s.Available}
	switch e := r.Event.(type) {
	case inventory.Received:
		m.Type, m.Quantity, m.Reference = "received", e.Quantity, e.Reference
	case inventory.Reserved:
		m.Type, m.Quantity, m.OrderID = "reserved", e.Quantity, e.OrderID
	case inventory.Released:
		m.Type, m.Quantity, m.OrderID = "released", e.Quantity, e.OrderID
	case inventory.Damaged:
		m.Type, m.Quantity, m.Reason = "damaged", e.Quantity, e.Reason
	case inventory.Shipped:
		m.Type, m.Quantity, m.OrderID = "shipped", e.Quantity, e.OrderID
	}
	return m, nil
}

var stockList = listing{
	operation: "listStock",
	model:     func() *Model { return stockLevels },
	where: func(ask Ask, r *Reader) ([]Condition, error) {
		switch ask.param("lowStock") {
		case "true":
			return []Condition{{Path: "available", Op: Less, Value: r.engine.options.LowStock}}, nil
		case "false":
			return []Condition{{Path: "available", Op: GreaterOrEqual, Value: r.engine.options.LowStock}}, nil
		}
		return nil, nil
	},
	item: func(d Document, r *Reader) (any, error) {
		f, err := decodeFound[inventory.Stock](d)
		return StockView(f.id, f.revision(stockLevels), *f.body, r.engine.options.LowStock), err
	},
}

var movementList = listing{
	operation: "listStockMovements",
	model:     func() *Model { return stockLevels },
	rows:      true,
	sort:      []Sort{{Path: "revision"}},
	where: func(ask Ask, _ *Reader) ([]Condition, error) {
		period, err := ask.period("at")
		where := ask.equals(map[string]string{"type": "type", "orderId": "orderId"})
		return append(append([]Condition{{Path: "sku", Op: Equal, Value: ask.param("sku")}}, where...), period...), err
	},
	item: rowItem[Movement],
	exists: func(ctx context.Context, r *Reader, ask Ask) error {
		_, err := fetchStock(ctx, r, ask)
		return err
	},
}

func fetchStock(ctx context.Context, r *Reader, ask Ask) (found[inventory.Stock], error) {
	sku := ask.param("sku")
	f, ok, err := fetch[inventory.Stock](ctx, r, stockLevels, ask, sku)
	if err == nil && !ok {
		err = ask.missing("stock item", sku)
	}
	return f, err
}

func answerStock(ctx context.Context, r *Reader, ask Ask) (Answer, error) {
	f, err := fetchStock(ctx, r, ask)
	if err != nil {
		return Answer{}, err
	}
	return r.single(ctx, stockLevels, ask, f.sources, f.id, StockView(f.id, f.revision(stockLevels), *f.body, r.engine.options.LowStock))
}
