package readmodels

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
)

// shop is a small history with something on every screen.
func shop(s *script) {
	id := orderID(1)
	s.append("product-A", product.Listed{Name: "Ax", UnitPrice: 150, Currency: "EUR"})
	s.append("inventory-A", inventory.Received{Quantity: 20, Reference: "first"})
	s.append("account-"+accountID(0), account.Opened{CustomerID: "c1", Currency: "EUR", OverdraftLimit: 50})
	s.append("account-"+accountID(0), account.Deposited{Amount: 1000, Currency: "EUR", Reference: "cash"})
	s.append("order-"+id, created())
	s.append("order-"+id, order.Confirmed{})
	s.append("fulfilment-"+id, fulfilment.Started{CustomerID: "c1", AccountID: accountID(0), Currency: "EUR", Total: 300, Lines: []fulfilment.Line{{SKU: "A", Quantity: 2}},
		PrepareBy: scriptStart.Add(time.Hour), Steps: []fulfilment.Planned{{Step: fulfilment.StepReserve, SKU: "A"}}})
	s.append("inventory-A", inventory.Reserved{OrderID: id, Quantity: 2})
	s.append("account-"+accountID(0), account.Withdrawn{Amount: 300, Currency: "EUR", OrderID: id})
	s.append("order-"+id, order.Prepared{})
	s.append("order-"+orderID(2), created())
}

// fields are the names of an answer's members, sorted by encoding.
func fields(t *testing.T, answer any) string {
	t.Helper()
	var members map[string]json.RawMessage
	text := must(json.Marshal(answer))
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	names := make([]string, 0, len(members))
	for name := range members {
		names = append(names, name)
	}
	sortBy(names, strings.Compare)
	return strings.Join(names, " ")
}

func TestShapesAreThoseOfTheAPI(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	params := map[string]string{"id": orderID(1), "sku": "A", "orderId": orderID(1)}
	accountParams := map[string]string{"id": accountID(0)}
	for _, c := range []struct {
		operation string
		params    map[string]string
		want      string // of the body, or of the first item
	}{
		{"getOrder", params, "accountId confirmedAt createdAt currency customerId fulfilment id items preparedAt revision status timeline total totalItems updatedAt"},
		{"listOrders", nil, "createdAt currency customerId id revision status total totalItems updatedAt"},
		{"listCustomerOrders", map[string]string{"id": "c1"}, "createdAt currency customerId id revision status total totalItems updatedAt"},
		{"getCustomer", map[string]string{"id": "c1"}, "customerId id open orders spent"},
		{"getProduct", params, "currency id listedAt name revision sku status unitPrice updatedAt"},
		{"listProducts", nil, "currency id listedAt name revision sku status unitPrice updatedAt"},
		{"getBoard", nil, "counts oldestWaiting toShip"},
		{"getStock", params, "available id lowStock onHand reserved revision sku updatedAt"},
		{"listStock", nil, "available id lowStock onHand reserved revision sku updatedAt"},
		{"listStockMovements", params, "at available onHand orderId quantity reserved revision sku type"},
		{"getAccount", accountParams, "available balance currency customerId id openedAt overdraftLimit revision status updatedAt"},
		{"getAccountStatement", accountParams, "accountId amount at balance currency reference revision type"},
		{"getFulfilment", params, "ageSeconds id orderId prepareBy revision startedAt status steps waitsFor waitsUntil"},
		{"listFulfilments", nil, "ageSeconds id orderId prepareBy revision startedAt status steps waitsFor waitsUntil"},
		{"listSales", nil, "cancelled confirmed created currency day revenue shipped units"},
		{"listAudit", nil, "actor at causationId commandId correlationId data id revision schemaVersion stream type"},
		{"getOrderHistory", params, "actor at causationId commandId correlationId data id revision schemaVersion stream type"},
	} {
		answer := answerTo(t, e, c.operation, Ask{Params: c.params})
		shown := answer.Body
		if answer.List {
			if len(answer.Items) == 0 {
				t.Errorf("%s lists nothing", c.operation)
				continue
			}
			shown = answer.Items[0]
		}
		if got := fields(t, shown); got != c.want {
			t.Errorf("%s shows\n%s, want\n%s", c.operation, got, c.want)
		}
	}
}

func screenOf(t interface{ Fatalf(string, ...any) }, operation string) Screen {
	for _, screen := range Screens() {
		if screen.Operation == operation {
			return screen
		}
	}
	t.Fatalf("no screen answers %s", operation)
	return Screen{}
}

func answerTo(t *testing.T, e *Engine, operation string, question Ask) Answer {
	t.Helper()
	answer, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), question)
	if err != nil {
		t.Fatalf("%s: %v", operation, err)
	}
	return answer
}

func TestEveryScreenIsThereOnce(t *testing.T) {
	want := strings.Fields(`getOrder getOrderHistory listOrders listCustomerOrders getCustomer listProducts getProduct getProductHistory getBoard getStock listStock
		listStockMovements getStockHistory getAccount getAccountStatement getAccountHistory getFulfilment getFulfilmentHistory listFulfilments listSales listAudit`)
	seen := map[string]int{}
	for _, screen := range Screens() {
		seen[screen.Operation]++
		if screen.Answer == nil || screen.Item == nil {
			t.Errorf("%s is incomplete", screen.Operation)
		}
	}
	for _, operation := range want {
		if seen[operation] == 0 {
			t.Errorf("%s is missing", operation)
		}
	}
	for operation, times := range seen {
		if times != 1 {
			t.Errorf("%s is there %d times", operation, times)
		}
	}
}

func TestOrderShowsItsFulfilment(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	answer := answerTo(t, e, "getOrder", Ask{Params: map[string]string{"id": orderID(1)}})
	shown := answer.Body.(Order)
	if answer.ETag != "2" || answer.Validator != "2.0" || shown.Fulfilment == nil || shown.Fulfilment.Status != "running" || shown.Items[0].LineTotal != 300 {
		t.Errorf("%+v: %+v", answer, shown)
	}
	var line []string
	for _, m := range shown.Timeline {
		line = append(line, m.Type)
	}
	if diff := cmp.Diff([]string{"OrderCreated", "OrderConfirmed", "FulfilmentStarted", "OrderPrepared"}, line); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Tidemark{{"fulfilment-" + orderID(1), 0}, {"order-" + orderID(1), 2}}, answer.Reflects); diff != "" {
		t.Error(diff)
	}
}

func TestPagesOfEveryListAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		drawHistory(t, s, 60)
		e := s.side(newMemory())
		deliver(t, e, s.deliveries())
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		for _, operation := range []string{"listOrders", "listProducts", "listStock", "listFulfilments", "listSales", "listAudit", "getStockHistory", "listStockMovements"} {
			params := map[string]string{"sku": sku(0)}
			screen := screenOf(t, operation)
			whole, err := screen.Answer(t.Context(), e.Reader(), Ask{Params: params, Limit: 200})
			if domain.KindOf(err) == domain.KindNotFound && err != nil {
				continue
			} else if err != nil {
				t.Fatalf("%s: %v", operation, err)
			}
			var joined []any
			for cursor := ""; ; {
				page, err := screen.Answer(t.Context(), e.Reader(), Ask{Params: params, Limit: limit, Cursor: cursor})
				if err != nil {
					t.Fatalf("%s: %v", operation, err)
				}
				joined = append(joined, page.Items...)
				if cursor = page.Next; cursor == "" {
					break
				}
			}
			if got, want := string(must(json.Marshal(joined))), string(must(json.Marshal(whole.Items))); got != want && len(whole.Items) > 0 {
				t.Fatalf("%s in pages of %d: %s\nwhole: %s", operation, limit, got, want)
			}
		}
	})
}

func TestFiltersOfLists(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	end := scriptStart.Add(5 * time.Minute).Format(time.RFC3339) // when order 1 was created
	for _, c := range []struct {
		operation, filter string
		customer          string
		want              int
	}{
		{"listOrders", "status=prepared", "", 1},
		{"listOrders", "status=shipped", "", 0},
		{"listOrders", "customerId=c1", "", 2},
		{"listOrders", "customerId=c2", "", 0},
		{"listOrders", "", "c1", 2},
		{"listOrders", "", "c2", 0},
		{"listOrders", "from=" + end, "", 2},
		{"listOrders", "to=" + end, "", 0},
		{"listCustomerOrders", "id=c1&status=created", "", 1},
		{"listStock", "lowStock=true", "", 0},
		{"listStock", "lowStock=false", "", 1},
		{"listProducts", "status=withdrawn", "", 0},
		{"listFulfilments", "status=running", "", 1},
		{"listFulfilments", "olderThan=1h", "", 0},
		{"listFulfilments", "olderThan=2m", "", 1},
		{"listAudit", "type=OrderCreated", "", 2},
		{"listAudit", "stream=inventory-A", "", 2},
		{"listAudit", "actor=nobody", "", 0},
		{"listAudit", "correlationId=correlation-inventory-A", "", 2},
		{"listAudit", "to=" + end, "", 4},
		{"getOrderHistory", "id=" + orderID(1) + "&type=OrderConfirmed", "", 1},
		{"getOrderHistory", "id=" + orderID(1) + "&to=" + end, "", 0},
		{"listStockMovements", "sku=A&type=reserved", "", 1},
		{"getAccountStatement", "id=" + accountID(0), "c1", 2},
		{"listSales", "from=2026-03-02&currency=EUR", "", 0},
		{"listSales", "to=2026-03-01", "", 1},
	} {
		params := map[string]string{}
		for pair := range strings.SplitSeq(c.filter, "&") {
			name, value, _ := strings.Cut(pair, "=")
			params[name] = value
		}
		if answer := answerTo(t, e, c.operation, Ask{Params: params, Customer: c.customer}); len(answer.Items) != c.want {
			t.Errorf("%s?%s for %q lists %d, want %d", c.operation, c.filter, c.customer, len(answer.Items), c.want)
		}
	}
}

func TestOthersThingsDoNotExist(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	for operation, params := range map[string]map[string]string{
		"getOrder": {"id": orderID(1)}, "getOrderHistory": {"id": orderID(1)}, "getAccount": {"id": accountID(0)}, "getAccountStatement": {"id": accountID(0)},
		"getAccountHistory": {"id": accountID(0)}, "getCustomer": {"id": "c1"}, "listCustomerOrders": {"id": "c1"}, "getFulfilment": {"orderId": orderID(1)},
		"getFulfilmentHistory": {"orderId": orderID(1)},
	} {
		if _, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), Ask{Params: params, Customer: "c2"}); domain.KindOf(err) != domain.KindNotFound {
			t.Errorf("%s: %v", operation, err)
		}
		if _, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), Ask{Params: params, Customer: "c1"}); err != nil {
			t.Errorf("%s for its owner: %v", operation, err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("order-"+orderID(1), created()) // 22:01
	s.append("order-"+orderID(2), created())
	s.append("order-"+orderID(2), order.Confirmed{}) // 22:03
	deliver(t, e, s.deliveries())
	due, next, err := e.Reader().Deadlines(t.Context(), scriptStart.Add(3*time.Minute), 10)
	if err != nil || len(due) != 0 || !next.Equal(scriptStart.Add(3*time.Minute+30*time.Second)) {
		t.Errorf("%+v %s %v", due, next, err)
	}
	due, next, err = e.Reader().Deadlines(t.Context(), scriptStart.Add(10*time.Minute), 10)
	if err != nil || len(due) != 1 || due[0].OrderID != orderID(2) || !next.Equal(scriptStart.Add(18*time.Minute)) {
		t.Errorf("an order that stands still: %+v %s %v", due, next, err)
	}
	due, next, err = e.Reader().Deadlines(t.Context(), scriptStart.Add(18*time.Minute), 10)
	if err != nil || len(due) != 2 || due[0].OrderID != orderID(2) || due[0].Revision != 1 || due[0].Status != order.StatusConfirmed ||
		!due[0].At.Equal(scriptStart.Add(18*time.Minute)) || !next.Equal(scriptStart.Add(24*time.Hour+time.Minute)) {
		t.Errorf("%+v %s %v", due, next, err)
	}
}
