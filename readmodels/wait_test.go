package readmodels

import (
	"context"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

func created() order.Created {
	return order.Created{CustomerID: "c1", AccountID: accountID(0), Currency: "EUR", Items: []order.Line{{SKU: "A", Name: "Ax", Quantity: 2, UnitPrice: 150}}}
}

// state is the attribute of a stale answer.
func stateOf(err error) string {
	e, ok := err.(*domain.Error)
	if !ok || e.Kind != domain.KindStale {
		return ""
	}
	return e.Attrs["state"]
}

func TestQueryWaitsForItsWrite(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	stream := "order-" + orderID(1)
	r := s.append(stream, created())
	question := Ask{Params: map[string]string{"id": orderID(1)}, After: Tidemark{{stream, 0}}, Wait: time.Hour}
	answered := make(chan error, 1)
	go func() {
		answer, err := answerOrder(t.Context(), e.Reader(), question)
		if err == nil && answer.Body.(Order).Revision != 0 {
			t.Errorf("answered from revision %d", answer.Body.(Order).Revision)
		}
		answered <- err
	}()
	eventually(t, "the query waits", func() bool { return e.hub.waiters() > 0 })
	deliver(t, e, []domain.Delivery{{Recorded: r}})
	select {
	case err := <-answered:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("the document was written, and the query still waits")
	}
	if e.hub.waiters() != 0 {
		t.Error("the wait left something behind")
	}
}

func TestWaitEndsLagging(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("order-"+orderID(1), created())
	for _, operation := range []string{"getOrder", "listOrders", "getBoard", "listSales", "getCustomer", "listAudit"} {
		for _, screen := range Screens() {
			if screen.Operation != operation {
				continue
			}
			_, err := screen.Answer(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}, After: Tidemark{{"order-" + orderID(1), 0}}, Wait: 10 * time.Millisecond})
			if stateOf(err) != "lagging" {
				t.Errorf("%s: %v", operation, err)
			}
		}
	}
}

func TestWaitEndsBlockedAtOnce(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	stream := "inventory-A"
	s.append(stream, inventory.Received{Quantity: 1})
	s.append(stream, inventory.Received{Quantity: 2})
	s.poison(stream, 1, true)
	deliver(t, e, s.deliveries())
	question := Ask{Params: map[string]string{"sku": "A"}, After: Tidemark{{stream, 1}}, Wait: time.Hour}
	if _, err := answerStock(t.Context(), e.Reader(), question); stateOf(err) != "blocked" {
		t.Errorf("the poison's mark: %v", err)
	}
	question.After = Tidemark{{stream, 0}}
	if answer, err := answerStock(t.Context(), e.Reader(), question); err != nil || answer.Body.(Stock).OnHand != 1 {
		t.Errorf("the mark before the poison: %v %v", answer.Body, err)
	}
}

func TestMarksOfOtherModelsAreNotWaitedFor(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("inventory-A", inventory.Received{Quantity: 1})
	deliver(t, e, s.deliveries())
	question := Ask{Params: map[string]string{"sku": "A"}, After: Tidemark{{"order-" + orderID(1), 5}, {"inventory-A", 0}}}
	if _, err := answerStock(t.Context(), e.Reader(), question); err != nil {
		t.Error(err)
	}
}

func TestWaitEndsWithItsCaller(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- e.Reader().Wait(ctx, orderDetails, Tidemark{{"order-" + orderID(1), 0}}, time.Hour)
	}()
	eventually(t, "the query waits", func() bool { return e.hub.waiters() > 0 })
	cancel()
	if err := <-ended; err == nil || stateOf(err) != "" {
		t.Errorf("it ended with %v", err)
	}
}

func TestMissingDocumentIsFoldedFromItsStream(t *testing.T) {
	s := newScript()
	e := s.side(newMemory())
	s.append("order-"+orderID(1), created())
	answer, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}})
	if err != nil || answer.Body.(Order).Total != 300 || answer.ETag != "0" {
		t.Errorf("%+v, %v", answer, err)
	}
	if _, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(2)}}); domain.KindOf(err) != domain.KindNotFound {
		t.Errorf("an order that isn't there: %v", err)
	}
	if _, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}, Customer: "c2"}); domain.KindOf(err) != domain.KindNotFound {
		t.Errorf("another customer's order: %v", err)
	}
}
