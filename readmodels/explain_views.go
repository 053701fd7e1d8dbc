package readmodels

import (
	"encoding/json"

	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// The rules of what the screens show.
var (
	orderRules = rules{
		"total": {"items[*].quantity", "items[*].unitPrice"}, "totalItems": {"items[*].quantity"},
		"items[*].lineTotal":  {"items[=].quantity", "items[=].unitPrice"},
		"fulfilment.waitsFor": {"fulfilment.status", "fulfilment.steps"}, "fulfilment.waitsUntil": {"fulfilment.status", "fulfilment.prepareBy", "fulfilment.steps"},
	}
	orderRowRules   = rules{"total": {"~.items[*].quantity", "~.items[*].unitPrice"}, "totalItems": {"~.items[*].quantity"}, "deadlineAt": {"status", "since"}}
	stockRules      = rules{"available": {"onHand", "reserved"}, "lowStock": {"onHand", "reserved"}}
	accountRules    = rules{"available": {"balance", "overdraftLimit"}}
	fulfilmentRules = rules{"waitsFor": {"status", "steps"}, "waitsUntil": {"status", "prepareBy", "steps"}}

	entryRules    = rules{"balance": {"~.balance"}, "currency": {"~.currency"}}
	movementRules = rules{"onHand": {"~.onHand"}, "reserved": {"~.reserved"}, "available": {"~.onHand", "~.reserved"}}
)

// shows is what a model's screen shows of a document, so that an explanation names the fields that
// people see; a model that isn't here is explained by its document.
func (r *Reader) shows(w *working) (view, rules) {
	at := w.reached[w.model.streams(w.id)[0]]
	switch d := w.state.(type) {
	case *orderPage:
		return view{shown: orderView(r, w.id, w.reached, d)}, orderRules
	case *product.Product:
		return view{shown: ProductView(w.id, at, *d)}, nil
	case *inventory.Stock:
		return view{shown: StockView(w.id, at, *d, r.engine.options.LowStock)}, stockRules
	case *account.Account:
		return view{shown: AccountView(w.id, at, *d)}, accountRules
	case *orderRow:
		return view{shown: rowView(w.id, at, d.Order), basis: d.Order}, orderRowRules
	case *boardRow:
		return view{shown: r.boardView(w.id, at, d), basis: d.Order}, orderRowRules
	case *monitored:
		return view{shown: FulfilmentView(w.id, at, d.Process)}, fulfilmentRules
	}
	return view{shown: w.state}, nil
}

// rowHistory is how many events before its own a row of a model may be computed from, as far as they are
// looked at; all of them for -1.
func rowHistory(m *Model) (before int64, r rules) {
	switch m {
	case accountStatement:
		return maxCauses - 1, entryRules
	case stockLevels:
		return maxCauses - 1, movementRules
	case salesByDay:
		return -1, salesRules
	}
	return 0, nil
}

// showsRow is the row that the newest event of a document has added; nothing if it added none.
func showsRow(w *working) view {
	v := view{shown: json.RawMessage("{}"), basis: w.state, fresh: true}
	if len(w.rows) > 0 {
		last := w.rows[len(w.rows)-1]
		if _, revision, _ := rowPlace(last.ID); revision == w.reached[w.model.streams(w.id)[0]] {
			v.shown = json.RawMessage(last.Body)
		}
	}
	return v
}
