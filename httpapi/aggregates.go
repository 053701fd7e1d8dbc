package httpapi

import (
	"context"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/readmodels"
)

// Commands carries out commands: *application.Service. It is an interface so that tests of the edge can
// watch what reaches it.
type Commands interface {
	CreateOrder(ctx context.Context, command application.Command, in application.CreateOrder) (application.Result[order.Order], error)
	AddItem(ctx context.Context, command application.Command, orderID string, item application.NewLine) (application.Result[order.Order], error)
	RemoveItem(ctx context.Context, command application.Command, orderID, sku string, quantity *int64) (application.Result[order.Order], error)
	ConfirmOrder(ctx context.Context, command application.Command, orderID string) (application.Result[order.Order], error)
	ShipOrder(ctx context.Context, command application.Command, orderID, carrier, trackingNumber string) (application.Result[order.Order], error)
	CancelOrder(ctx context.Context, command application.Command, orderID, reason string) (application.Result[order.Order], error)

	ListProduct(ctx context.Context, command application.Command, in application.ListProduct) (application.Result[product.Product], error)
	ChangePrice(ctx context.Context, command application.Command, sku string, unitPrice int64, currency string) (application.Result[product.Product], error)
	WithdrawProduct(ctx context.Context, command application.Command, sku string) (application.Result[product.Product], error)

	ReceiveStock(ctx context.Context, command application.Command, sku string, quantity int64, reference string) (application.Result[inventory.Stock], error)
	DamageStock(ctx context.Context, command application.Command, sku string, quantity int64, reason string) (application.Result[inventory.Stock], error)
	ReserveStock(ctx context.Context, command application.Command, sku, orderID string, quantity int64) (application.Result[inventory.Stock], error)
	ReleaseStock(ctx context.Context, command application.Command, sku, orderID string) (application.Result[inventory.Stock], error)

	OpenAccount(ctx context.Context, command application.Command, in application.OpenAccount) (application.Result[account.Account], error)
	Deposit(ctx context.Context, command application.Command, id string, amount int64, currency, reference string) (application.Result[account.Account], error)
	Withdraw(ctx context.Context, command application.Command, id string, amount int64, currency, reference, orderID string) (application.Result[account.Account], error)
	Credit(ctx context.Context, command application.Command, id string, amount int64, currency, reason, reference, orderID string) (application.Result[account.Account], error)
	CloseAccount(ctx context.Context, command application.Command, id string) (application.Result[account.Account], error)

	RetryProcess(ctx context.Context, command application.Command, orderID string) (application.Result[fulfilment.Process], error)
	ResolveProcess(ctx context.Context, command application.Command, orderID, reason string) (application.Result[fulfilment.Process], error)
}

// doing is a command's own part: what it takes from the request and hands to the application.
type doing = func(ctx context.Context, command application.Command, in input) (outcome, error)

// with is doing for commands whose body is a B.
func with[B, S any](view func(string, int64, S) any, do func(ctx context.Context, command application.Command, params map[string]string, body B) (application.Result[S], error)) doing {
	return func(ctx context.Context, command application.Command, in input) (outcome, error) {
		body, err := decode[B](in)
		if err != nil {
			return outcome{}, err
		}
		result, err := do(ctx, command, in.params, body)
		return outcomeOf(result, err, view)
	}
}

func viewOrder(id string, revision int64, o order.Order) any {
	return readmodels.OrderView(id, revision, o, nil)
}

func viewProduct(id string, revision int64, p product.Product) any {
	return readmodels.ProductView(id, revision, p)
}

func viewAccount(id string, revision int64, a account.Account) any {
	return readmodels.AccountView(id, revision, a)
}

func viewFulfilment(id string, revision int64, p fulfilment.Process) any {
	return readmodels.FulfilmentView(id, revision, p)
}

func (s *Server) viewStock(id string, revision int64, stock inventory.Stock) any {
	return readmodels.StockView(id, revision, stock, s.options.LowStock)
}

func (l lineBody) line() application.NewLine {
	return application.NewLine{SKU: l.SKU, Name: l.Name, Quantity: l.Quantity, UnitPrice: l.UnitPrice}
}

func (b createOrderBody) order() application.CreateOrder {
	lines := make([]application.NewLine, len(b.Items))
	for i, item := range b.Items {
		lines[i] = item.line()
	}
	return application.CreateOrder{CustomerID: b.CustomerID, AccountID: b.AccountID, Currency: b.Currency, Items: lines, Address: b.Address, Note: b.Note}
}

type (
	commandOf = application.Command
	paramsOf  = map[string]string
	orderOf   = application.Result[order.Order]
	productOf = application.Result[product.Product]
	stockOf   = application.Result[inventory.Stock]
	accountOf = application.Result[account.Account]
)

func orderCommands(do Commands) map[string]doing {
	return map[string]doing{
		"createOrder": with(viewOrder, func(ctx context.Context, c commandOf, _ paramsOf, b createOrderBody) (orderOf, error) {
			return do.CreateOrder(ctx, c, b.order())
		}),
		"addOrderItem": with(viewOrder, func(ctx context.Context, c commandOf, p paramsOf, b lineBody) (orderOf, error) {
			return do.AddItem(ctx, c, p["id"], b.line())
		}),
		"removeOrderItem": with(viewOrder, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (orderOf, error) {
			var quantity *int64
			if n, err := parseInteger(p["quantity"]); err == nil {
				quantity = &n
			}
			return do.RemoveItem(ctx, c, p["id"], p["sku"], quantity)
		}),
		"confirmOrder": with(viewOrder, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (orderOf, error) {
			return do.ConfirmOrder(ctx, c, p["id"])
		}),
		"shipOrder": with(viewOrder, func(ctx context.Context, c commandOf, p paramsOf, b shipOrderBody) (orderOf, error) {
			return do.ShipOrder(ctx, c, p["id"], b.Carrier, b.TrackingNumber)
		}),
		"cancelOrder": with(viewOrder, func(ctx context.Context, c commandOf, p paramsOf, b cancelOrderBody) (orderOf, error) {
			return do.CancelOrder(ctx, c, p["id"], b.Reason)
		}),
	}
}

func productCommands(do Commands) map[string]doing {
	return map[string]doing{
		"createProduct": with(viewProduct, func(ctx context.Context, c commandOf, _ paramsOf, b createProductBody) (productOf, error) {
			return do.ListProduct(ctx, c, application.ListProduct{SKU: b.SKU, Name: b.Name, UnitPrice: b.UnitPrice, Currency: b.Currency})
		}),
		"changeProductPrice": with(viewProduct, func(ctx context.Context, c commandOf, p paramsOf, b changePriceBody) (productOf, error) {
			return do.ChangePrice(ctx, c, p["sku"], b.UnitPrice, b.Currency)
		}),
		"withdrawProduct": with(viewProduct, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (productOf, error) {
			return do.WithdrawProduct(ctx, c, p["sku"])
		}),
	}
}

func (s *Server) stockCommands(do Commands) map[string]doing {
	receive := with(s.viewStock, func(ctx context.Context, c commandOf, p paramsOf, b receiveStockBody) (stockOf, error) {
		return do.ReceiveStock(ctx, c, p["sku"], b.Quantity, b.Reference)
	})
	return map[string]doing{
		"receiveStock": func(ctx context.Context, c commandOf, in input) (outcome, error) {
			if in.mustExist() {
				if err := s.exists(ctx, "getStock", in.params); err != nil {
					return outcome{}, err
				}
			}
			return receive(ctx, c, in)
		},
		"damageStock": with(s.viewStock, func(ctx context.Context, c commandOf, p paramsOf, b damageStockBody) (stockOf, error) {
			return do.DamageStock(ctx, c, p["sku"], b.Quantity, b.Reason)
		}),
		"reserveStock": with(s.viewStock, func(ctx context.Context, c commandOf, p paramsOf, b reserveStockBody) (stockOf, error) {
			return do.ReserveStock(ctx, c, p["sku"], b.OrderID, b.Quantity)
		}),
		"releaseStock": with(s.viewStock, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (stockOf, error) {
			return do.ReleaseStock(ctx, c, p["sku"], p["orderId"])
		}),
	}
}

// exists is for If-Match: * on a command that would make what it is about.
func (s *Server) exists(ctx context.Context, operation string, params map[string]string) error {
	screen := s.screens[operation]
	if screen.Answer == nil {
		return nil
	}
	_, err := screen.Answer(ctx, s.options.Reader, readmodels.Ask{Params: params})
	if err != nil && domain.KindOf(err) == domain.KindNotFound {
		return &domain.Error{Kind: domain.KindMismatch, Code: "revision_mismatch", Message: "If-Match demands that it exists, but it does not."}
	}
	return err
}

func accountCommands(do Commands) map[string]doing {
	return map[string]doing{
		"openAccount": with(viewAccount, func(ctx context.Context, c commandOf, _ paramsOf, b openAccountBody) (accountOf, error) {
			if c.Customer != "" && b.OverdraftLimit != 0 {
				return accountOf{}, fail("forbidden", "Customers don't choose their overdraft limit.")
			}
			return do.OpenAccount(ctx, c, application.OpenAccount{CustomerID: b.CustomerID, Currency: b.Currency, OverdraftLimit: b.OverdraftLimit})
		}),
		"deposit": with(viewAccount, func(ctx context.Context, c commandOf, p paramsOf, b depositBody) (accountOf, error) {
			return do.Deposit(ctx, c, p["id"], b.Amount, b.Currency, b.Reference)
		}),
		"withdraw": with(viewAccount, func(ctx context.Context, c commandOf, p paramsOf, b depositBody) (accountOf, error) {
			return do.Withdraw(ctx, c, p["id"], b.Amount, b.Currency, b.Reference, "")
		}),
		"credit": with(viewAccount, func(ctx context.Context, c commandOf, p paramsOf, b creditBody) (accountOf, error) {
			return do.Credit(ctx, c, p["id"], b.Amount, b.Currency, b.Reason, b.Reference, "")
		}),
		"closeAccount": with(viewAccount, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (accountOf, error) {
			return do.CloseAccount(ctx, c, p["id"])
		}),
	}
}

type processOf = application.Result[fulfilment.Process]

func fulfilmentCommands(do Commands) map[string]doing {
	return map[string]doing{
		"retryFulfilment": with(viewFulfilment, func(ctx context.Context, c commandOf, p paramsOf, _ emptyBody) (processOf, error) {
			return do.RetryProcess(ctx, c, p["orderId"])
		}),
		"resolveFulfilment": with(viewFulfilment, func(ctx context.Context, c commandOf, p paramsOf, b resolveFulfilmentBody) (processOf, error) {
			return do.ResolveProcess(ctx, c, p["orderId"], b.Reason)
		}),
	}
}
