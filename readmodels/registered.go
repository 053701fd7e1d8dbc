package readmodels

import (
	"slices"

	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// models is the list: a new read model is a file and a word here and below.
var models = []*Model{
	orderDetails, customerOrders, orderBoard, catalogue, stockLevels, accountStatement, fulfilmentMonitor, salesByDay, auditLog,
}

// All lists the read models.
func All() []*Model { return slices.Clone(models) }

// Screens lists the answers of all read models, and the histories, which read streams.
func Screens() []Screen {
	return slices.Concat(orderDetailsScreens, customerOrdersScreens, orderBoardScreens, catalogueScreens, stockLevelsScreens,
		accountStatementScreens, fulfilmentMonitorScreens, salesByDayScreens, auditLogScreens, historyScreens)
}

// knownTypes are the stored names of the events that may be in streams of each category; any other
// blocks its stream instead of being passed over.
var knownTypes = map[string]map[string]bool{
	"order":      typesOf(order.Events()),
	"product":    typesOf(product.Events()),
	"inventory":  typesOf(inventory.Events()),
	"account":    typesOf(account.Events()),
	"fulfilment": typesOf(fulfilment.Events()),
}
