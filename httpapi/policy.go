package httpapi

import (
	"slices"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
)

// The roles that a token can name.
const (
	roleCustomer = "customer" // own orders and accounts only
	roleClerk    = "clerk"    // works orders, products, stock and accounts
	roleOperator = "operator" // everything
	roleAuditor  = "auditor"  // reads all, changes nothing
	roleService  = "service"  // a program of the house: what clerks do
)

var allRoles = []string{roleCustomer, roleClerk, roleOperator, roleAuditor, roleService}

// The columns of the policy, by who is let in.
var (
	open       []string // everybody, without a token
	ownChanges = []string{roleCustomer, roleClerk, roleOperator, roleService}
	ownReads   = []string{roleCustomer, roleClerk, roleOperator, roleAuditor, roleService}
	changes    = []string{roleClerk, roleOperator, roleService}
	reads      = []string{roleClerk, roleOperator, roleAuditor, roleService}
	audits     = []string{roleOperator, roleAuditor}
	operates   = []string{roleOperator}
)

// policy says who may call which operation. Where customers are let in, what they see and change is
// narrowed to their own (access.customer), by the query or the command itself. The OpenAPI document
// names the same roles; a difference stops the start.
var policy = map[string][]string{
	"createOrder": ownChanges, "addOrderItem": ownChanges, "removeOrderItem": ownChanges, "confirmOrder": ownChanges, "cancelOrder": ownChanges,
	"shipOrder": changes, "importOrders": changes,
	"createProduct": changes, "changeProductPrice": changes, "withdrawProduct": changes,
	"receiveStock": changes, "damageStock": changes, "reserveStock": changes, "releaseStock": changes,
	"openAccount": ownChanges, "deposit": ownChanges, "withdraw": ownChanges, "closeAccount": ownChanges, "credit": changes,

	"getOrder": ownReads, "getOrderHistory": ownReads, "listOrders": ownReads, "listCustomerOrders": ownReads, "getCustomer": ownReads,
	"listProducts": ownReads, "getProduct": ownReads, "getProductHistory": reads,
	"getAccount": ownReads, "getAccountStatement": ownReads, "getAccountHistory": ownReads,
	"getBoard": reads, "getStock": reads, "listStock": reads, "listStockMovements": reads, "getStockHistory": reads,
	"getFulfilment": ownReads, "getFulfilmentHistory": ownReads, "listFulfilments": ownReads, "listSales": reads, "listAudit": audits,

	"listReadModels": audits, "getReadModel": audits, "listBlocked": audits, "listJobs": audits, "getJob": audits,
	"listSubscriptions": audits, "getSubscription": audits, "listParked": audits,
	"retryBlocked": operates, "skipBlocked": operates, "rebuildReadModel": operates, "switchReadModel": operates, "rollbackReadModel": operates,
	"verifyReadModel": operates, "pauseReadModel": operates, "resumeReadModel": operates, "dropReadModel": operates, "cancelJob": operates,
	"retryFulfilment": operates, "resolveFulfilment": operates,
	"createSubscription": operates, "updateSubscription": operates, "deleteSubscription": operates, "resetSubscription": operates, "replayParked": operates,

	"healthz": open, "readyz": open, "metrics": open,
}

func rolesOf(operation string) []string { return slices.Sorted(slices.Values(policy[operation])) }

// principal is who asks.
type principal struct {
	subject  string
	roles    []string
	customer string // customer_id of the token
	expires  time.Time
	trusted  bool // nobody proved anything: a loopback caller of a server without keys
}

func (p principal) has(role string) bool { return slices.Contains(p.roles, role) }

// access is what a principal may do with an operation it was let in to.
type access struct {
	customer string // not empty: only this customer's things exist
	mayPrice bool   // may name prices and order what isn't in the catalogue
}

// authorize lets a principal in to an operation, or refuses. Several roles add up: who is a clerk
// besides being a customer is not narrowed to own things.
func authorize(p principal, operation string) (access, error) {
	allowed, known := policy[operation]
	if !known {
		return access{}, fail("forbidden", "This operation is open to nobody.")
	}
	let := false
	for _, role := range allowed {
		if !p.has(role) {
			continue
		}
		if role != roleCustomer {
			return access{mayPrice: true}, nil
		}
		let = true
	}
	switch {
	case !let:
		return access{}, fail("forbidden", "None of the caller's roles may do this.")
	case !domain.ValidCustomerID(p.customer):
		return access{}, fail("forbidden", "The token names no customer in customer_id.")
	}
	return access{customer: p.customer}, nil
}
