package readmodels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

// pictures are the answers of every screen at one time, about several things each.
func pictures(t *rapid.T, e *Engine, question Ask) map[string]string {
	all := map[string]string{}
	for _, screen := range Screens() {
		for n := range 2 {
			id := orderID(n)
			switch screen.Operation {
			case "getAccount", "getAccountStatement", "getAccountHistory":
				id = accountID(n)
			case "getCustomer", "listCustomerOrders":
				id = fmt.Sprint("c", n)
			}
			asked := question
			asked.Params, asked.Limit = map[string]string{"id": id, "sku": sku(n), "orderId": orderID(n)}, 200
			if strings.HasPrefix(screen.Operation, "list") { // there these would be filters
				delete(asked.Params, "orderId")
			}
			answer, err := screen.Answer(t.Context(), e.Reader(), asked)
			if err != nil && domain.KindOf(err) != domain.KindNotFound {
				t.Fatalf("%s: %v", screen.Operation, err)
			}
			text, _ := json.Marshal([]any{answer.Body, answer.Items})
			all[fmt.Sprint(screen.Operation, " ", n)] = string(text)
		}
	}
	return all
}

// Time travel equals a recording taken at the time.
func TestThePastIsAsItWas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		live := s.side(newMemory())
		drawHistory(t, s, 30)
		deliver(t, live, s.deliveries())
		then, recorded := s.Now(), pictures(t, live, Ask{})
		drawHistory(t, s, 30)
		deliver(t, live, s.deliveries())
		asked := pictures(t, live, Ask{AsOf: then})
		if diff := cmp.Diff(recorded, asked); diff != "" {
			t.Fatalf("(-recorded +asked)\n%s", diff)
		}
		if n := len(recorded) / 2; n != len(Screens()) || n < 20 {
			t.Fatalf("%d screens were asked", n)
		}
	})
}

func TestRevisionsOfTheirOwn(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	for revision, want := range []string{"created", "confirmed", "prepared"} {
		at := int64(revision)
		answer := answerTo(t, e, "getOrder", Ask{Params: map[string]string{"id": orderID(1)}, Revision: &at})
		if got := answer.Body.(Order); got.Status != want || got.Revision != at || (got.Fulfilment != nil) != (revision == 2) {
			t.Errorf("revision %d: %+v", revision, got)
		}
	}
	beyond := int64(3)
	if _, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}, Revision: &beyond}); domain.KindOf(err) != domain.KindNotFound {
		t.Errorf("a revision that isn't there: %v", err)
	}
	if _, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}, AsOf: scriptStart}); domain.KindOf(err) != domain.KindNotFound {
		t.Errorf("before it was: %v", err)
	}
}

// What is missing says the same, whether it is unknown, somebody else's or not yet that far: nobody
// learns from it what others have.
func TestWhatIsMissingDoesNotTellWhy(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	deliver(t, e, s.deliveries())
	beyond := int64(99)
	for name, ask := range map[string]Ask{"now": {}, "a revision": {Revision: &beyond}, "long ago": {AsOf: scriptStart}} {
		said := map[string]string{}
		for _, id := range []string{orderID(1), orderID(99)} {
			ask.Customer, ask.Params = "somebody-else", map[string]string{"id": id}
			_, err := answerOrder(t.Context(), e.Reader(), ask)
			if domain.KindOf(err) != domain.KindNotFound {
				t.Fatalf("%s: %v", name, err)
			}
			said[strings.ReplaceAll(err.Error(), id, "it")] = id
		}
		if len(said) != 1 {
			t.Errorf("%s: %v", name, said)
		}
	}
}

func TestThePastWaitsForNothing(t *testing.T) {
	s := newScript()
	shop(s)
	e := s.side(newMemory())
	question := Ask{AsOf: s.Now(), After: Tidemark{{"order-" + orderID(1), 2}}}
	if answer := answerTo(t, e, "listOrders", question); len(answer.Items) != 2 {
		t.Errorf("%+v", answer.Items)
	}
}

func TestThePastHasItsPrice(t *testing.T) {
	s := newScript()
	e := s.side(newMemory(), func(o *Options) { o.AsOfEvents = 5 })
	for range 6 {
		s.append("inventory-A", inventory.Received{Quantity: 1})
	}
	_, err := stockList.answer(t.Context(), e.Reader(), Ask{AsOf: s.Now()})
	if domain.KindOf(err) != domain.KindInvalid || domain.CodeOf(err) != "as_of_too_expensive" {
		t.Errorf("a list: %v", err)
	}
	if _, err := answerStock(t.Context(), e.Reader(), Ask{Params: map[string]string{"sku": "A"}, AsOf: s.Now()}); err != nil {
		t.Errorf("one document: %v", err)
	}
}

// unreachable is a read store that can't be reached while it is so.
type unreachable struct {
	*memory
	is bool
}

func (u *unreachable) fault() error {
	if !u.is {
		return nil
	}
	return &domain.Error{Kind: domain.KindUnavailable, Code: "read_store_unavailable", Message: "It can't be reached."}
}

func (u *unreachable) Ensure(ctx context.Context, c Collection) error {
	return errors.Join(u.fault(), u.memory.Ensure(ctx, c))
}

func (u *unreachable) Load(ctx context.Context, collection string, ids []string) ([]Document, error) {
	if err := u.fault(); err != nil {
		return nil, err
	}
	return u.memory.Load(ctx, collection, ids)
}

func (u *unreachable) Find(ctx context.Context, collection string, find Find) ([]Document, error) {
	if err := u.fault(); err != nil {
		return nil, err
	}
	return u.memory.Find(ctx, collection, find)
}

func TestEntityReadsSurviveTheReadStore(t *testing.T) {
	s := newScript()
	shop(s)
	store := newMemory()
	down := &unreachable{memory: store, is: true}
	e := s.side(down)
	for operation, params := range map[string]map[string]string{
		"getOrder": {"id": orderID(1)}, "getStock": {"sku": "A"}, "getProduct": {"sku": "A"}, "getAccount": {"id": accountID(0)}, "getFulfilment": {"orderId": orderID(1)}, "getOrderHistory": {"id": orderID(1)},
	} {
		if answer, err := screenOf(t, operation).Answer(t.Context(), e.Reader(), Ask{Params: params, After: Tidemark{{"order-" + orderID(1), 2}}}); err != nil || answer.Body == nil && len(answer.Items) == 0 {
			t.Errorf("%s: %v", operation, err)
		}
	}
	if _, err := orderList.answer(t.Context(), e.Reader(), Ask{}); domain.KindOf(err) != domain.KindUnavailable || domain.CodeOf(err) != "read_store_unavailable" {
		t.Errorf("a list: %v", err)
	}
	for _, m := range e.Models() {
		for _, err := range e.Projector(m.Name).Handle(t.Context(), s.deliveries()[:1]) {
			if !transient(err) {
				t.Errorf("%s: a delivery has to come again, not %v", m.Name, err)
			}
		}
	}
	down.is = false
	s.fail(errors.New("gone"))
	if _, err := answerOrder(t.Context(), e.Reader(), Ask{Params: map[string]string{"id": orderID(1)}}); domain.KindOf(err) != domain.KindUnavailable {
		t.Errorf("with neither store: %v", err)
	}
}
