package readmodels

import (
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// shows is what a model's screen shows of a document, so that an explanation names the fields that
// people see; a model that isn't here is explained by its document.
func (r *Reader) shows(w *working) any {
	at := w.reached[w.model.streams(w.id)[0]]
	switch d := w.state.(type) {
	case *orderPage:
		return orderView(r, w.id, w.reached, d)
	case *product.Product:
		return ProductView(w.id, at, *d)
	case *inventory.Stock:
		return StockView(w.id, at, *d, r.engine.options.LowStock)
	case *account.Account:
		return AccountView(w.id, at, *d)
	case *orderRow:
		return rowView(w.id, at, d.Order)
	case *monitored:
		return FulfilmentView(w.id, at, d.Process)
	}
	return w.state
}
