package httpapi

import "github.com/tidemark-dev/tidemark/domain"

// The bodies of requests, as the document's schemas have them; a test holds one against the other.
// They are written by hand: a generator adds pointers, validators and an echo binder that the strict
// decoder would have to work around, and answers are the shapes of readmodels already.
type (
	lineBody struct {
		SKU       string `json:"sku"`
		Name      string `json:"name"`
		Quantity  int64  `json:"quantity"`
		UnitPrice *int64 `json:"unitPrice"`
	}
	createOrderBody struct {
		CustomerID string     `json:"customerId"`
		AccountID  string     `json:"accountId"`
		Currency   string     `json:"currency"`
		Items      []lineBody `json:"items"`
		Address    any        `json:"shippingAddress"`
		Note       string     `json:"note"`
	}
	shipOrderBody struct {
		Carrier        string `json:"carrier"`
		TrackingNumber string `json:"trackingNumber"`
	}
	cancelOrderBody struct {
		Reason string `json:"reason"`
	}
	resolveFulfilmentBody struct {
		Reason string `json:"reason"`
	}
	createProductBody struct {
		SKU       string `json:"sku"`
		Name      string `json:"name"`
		UnitPrice int64  `json:"unitPrice"`
		Currency  string `json:"currency"`
	}
	changePriceBody struct {
		UnitPrice int64  `json:"unitPrice"`
		Currency  string `json:"currency"`
	}
	receiveStockBody struct {
		Quantity  int64  `json:"quantity"`
		Reference string `json:"reference"`
	}
	damageStockBody struct {
		Quantity int64  `json:"quantity"`
		Reason   string `json:"reason"`
	}
	reserveStockBody struct {
		OrderID  string `json:"orderId"`
		Quantity int64  `json:"quantity"`
	}
	openAccountBody struct {
		CustomerID     string `json:"customerId"`
		Currency       string `json:"currency"`
		OverdraftLimit int64  `json:"overdraftLimit"`
	}
	depositBody struct {
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reference string `json:"reference"`
	}
	creditBody struct {
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reason    string `json:"reason"`
		Reference string `json:"reference"`
	}
	emptyBody   struct{}
	streamsBody struct {
		Streams []string `json:"streams"`
	}
	rebuildBody struct {
		Switch bool `json:"switch"`
	}
	resetBody struct {
		To any `json:"to"` // "start", "end" or a position
	}
	replayBody struct {
		Limit int64 `json:"limit"`
	}
	subscriptionBody struct {
		Group    string             `json:"group"`
		Prefixes []string           `json:"prefixes"`
		From     any                `json:"from"`
		Settings domain.GroupChange `json:"settings"`
	}
	updateSubscriptionBody struct {
		Settings domain.GroupChange `json:"settings"`
		Group    any                `json:"group"` // this and what follows is there to be refused in plain words
		Stream   any                `json:"stream"`
		Prefixes any                `json:"prefixes"`
		From     any                `json:"from"`
	}
)

// bodies says which type takes the body of each schema.
var bodies = map[string]any{
	"NewLine": lineBody{}, "CreateOrder": createOrderBody{}, "ShipOrder": shipOrderBody{}, "CancelOrder": cancelOrderBody{},
	"ResolveFulfilment": resolveFulfilmentBody{}, "CreateProduct": createProductBody{}, "ChangePrice": changePriceBody{}, "ReceiveStock": receiveStockBody{}, "DamageStock": damageStockBody{},
	"ReserveStock": reserveStockBody{}, "OpenAccount": openAccountBody{}, "Deposit": depositBody{}, "Credit": creditBody{}, "Empty": emptyBody{},
	"Streams": streamsBody{}, "Rebuild": rebuildBody{}, "Reset": resetBody{}, "Replay": replayBody{}, "NewSubscription": subscriptionBody{},
	"UpdateSubscription": updateSubscriptionBody{}, "SubscriptionSettings": domain.GroupChange{},
}
