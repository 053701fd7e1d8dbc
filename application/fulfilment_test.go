package application

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// stocked is a depot with plenty of A and B.
func stocked(t *testing.T) *depot {
	t.Helper()
	s := newDepot(t, 1)
	s.receive("A", startStock)
	s.receive("B", startStock)
	return s
}

func TestPaymentIsDeclined(t *testing.T) {
	codes := map[string]string{}
	for name, open := range map[string]func(*depot) string{
		"unknown account": func(*depot) string { return "0198c1f2-7b3a-7c4d-8e5f-60718293a4b5" },
		"too little":      func(s *depot) string { return s.account(299) },
		"another's account": func(s *depot) string {
			a := must[Result[account.Account]](s.t)(s.service.OpenAccount(s.t.Context(), Command{}, OpenAccount{CustomerID: "c-2", Currency: "EUR", OverdraftLimit: 1000}))
			return a.ID
		},
		"another currency": func(s *depot) string {
			a := must[Result[account.Account]](s.t)(s.service.OpenAccount(s.t.Context(), Command{}, OpenAccount{CustomerID: shopCustomer, Currency: "USD", OverdraftLimit: 1000}))
			return a.ID
		},
		"closed account": func(s *depot) string {
			id := s.account(0)
			must[Result[account.Account]](s.t)(s.service.CloseAccount(s.t.Context(), Command{}, id))
			return id
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := stocked(t)
			id := s.confirmed(open(s))
			s.deliver(s.worker(nil))
			s.settledWell(id, "cancelled/compensated")
			if o := s.order(id); o.CancelReason != "payment_declined" {
				t.Errorf("cancelled because of %q", o.CancelReason)
			}
			codes[name] = s.declined(id)
		})
	}
	if codes["another's account"] != codes["unknown account"] || codes["unknown account"] == codes["too little"] {
		t.Errorf("the customer reads %v", codes)
	}
}

func TestWhatCostsNothingNeedsNoAccount(t *testing.T) {
	s := stocked(t)
	free := int64(0)
	o := must[Result[order.Order]](t)(s.service.CreateOrder(t.Context(), Command{MayPrice: true}, CreateOrder{
		CustomerID: shopCustomer, AccountID: "0198c1f2-7b3a-7c4d-8e5f-60718293a4b5", Currency: "EUR",
		Items: []NewLine{{SKU: "A", Quantity: 1, UnitPrice: &free}},
	}))
	must[Result[order.Order]](t)(s.service.ConfirmOrder(t.Context(), Command{}, o.ID))
	s.deliver(s.worker(nil))
	s.settledWell(o.ID, "prepared/prepared")
}

func TestReasonsAndRecords(t *testing.T) {
	s := newDepot(t, 1)
	s.receive("A", 2)
	o := must[Result[order.Order]](t)(Execute(t.Context(), s.service.Executor, Command{CorrelationID: "the-order"}, Task[order.Order]{
		Aggregate: Orders, Decide: decide(func(order.Order) ([]domain.Event, error) {
			return order.Create(order.Created{CustomerID: shopCustomer, AccountID: s.account(0), Currency: "EUR",
				Items: []order.Line{{SKU: "A", Quantity: 2, UnitPrice: 5}, {SKU: "B", Quantity: 1}}})
		}),
	}))
	must[Result[order.Order]](t)(s.service.ConfirmOrder(t.Context(), Command{CorrelationID: "the-order"}, o.ID))
	s.deliver(s.worker(nil))
	s.settledWell(o.ID, "cancelled/compensated")
	if p := s.process(o.ID); p.Reason != "out_of_stock" || s.order(o.ID).CancelReason != "out_of_stock" {
		t.Errorf("process %q, order %q", p.Reason, s.order(o.ID).CancelReason)
	}
	known := map[string]bool{}
	for _, stream := range []string{"order-" + o.ID, "fulfilment-" + o.ID, "inventory-A"} {
		for _, r := range s.store.events(stream) {
			known[r.ID], known[r.Meta.CommandID] = true, true
		}
	}
	for _, stream := range []string{"order-" + o.ID, "fulfilment-" + o.ID, "inventory-A"} {
		for _, r := range s.store.events(stream) {
			if !known[r.Meta.CausationID] {
				t.Errorf("%s@%d %s: caused by %s, which is nowhere", stream, r.Revision, r.Type, r.Meta.CausationID)
			}
			if r.Meta.Actor == FulfilmentActor && r.Meta.CorrelationID != "the-order" {
				t.Errorf("%s@%d %s: belongs to %q", stream, r.Revision, r.Type, r.Meta.CorrelationID)
			}
		}
	}
}

// Imported orders have decimal ids, and no account.
func TestAnImportedOrderIsFulfilledOrCancelled(t *testing.T) {
	s := stocked(t)
	_, err := s.store.Append(t.Context(), "order-123", domain.Tip{Revision: domain.NoStream}, []domain.Proposed{
		{ID: "e1", Event: order.Created{CustomerID: "456", Currency: "EUR", Items: []order.Line{{SKU: "A", Quantity: 2, UnitPrice: 999}}}, Meta: domain.Meta{At: s.clock.Now()}},
		{ID: "e2", Event: order.Confirmed{}, Meta: domain.Meta{At: s.clock.Now()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.deliver(s.worker(nil))
	s.settledWell("123", "cancelled/compensated")
}

func TestAClerksReservationIsMadeToFit(t *testing.T) {
	for _, quantity := range []int64{1, 2, 5} {
		t.Run(fmt.Sprint(quantity), func(t *testing.T) {
			s := stocked(t)
			id := s.confirmed(s.account(startMoney))
			must[Result[inventory.Stock]](t)(s.service.ReserveStock(t.Context(), Command{}, "A", id, quantity))
			s.deliver(s.worker(nil))
			s.settledWell(id, "prepared/prepared")
			ship(s, id)
			s.deliver(s.worker(nil))
			s.settledWell(id, "shipped/completed")
		})
	}
}

// The goods left although somebody had taken their reservation away: the books follow the goods, at once
// or when there are enough pieces again.
func TestGoodsThatLeftWithoutReservationAreBooked(t *testing.T) {
	s := stocked(t)
	id := s.confirmed(s.account(startMoney))
	worker := s.worker(nil)
	s.deliver(worker)
	must[Result[inventory.Stock]](t)(s.service.ReleaseStock(t.Context(), Command{}, "A", id))
	must[Result[inventory.Stock]](t)(s.service.DamageStock(t.Context(), Command{}, "A", startStock-1, "wet"))
	ship(s, id)
	s.deliver(worker)
	p := s.process(id)
	if step, _ := p.Step(fulfilment.StepShip, "A"); step.Status != fulfilment.Failed || step.Code != "insufficient_stock" {
		t.Fatalf("%s, step %+v", p.Status, step)
	}
	s.receive("A", 5)
	must[Result[fulfilment.Process]](t)(s.service.RetryProcess(t.Context(), Command{Actor: "op"}, id))
	s.deliver(worker)
	s.settledWell(id, "shipped/completed")
}

func TestACreditThatAClosedAccountRefusesIsSettledByHand(t *testing.T) {
	s := stocked(t)
	accountID := s.account(300)
	id := s.confirmed(accountID)
	worker := s.worker(nil)
	s.deliver(worker)
	must[Result[account.Account]](t)(s.service.CloseAccount(t.Context(), Command{}, accountID))
	cancel(s, id)
	s.deliver(worker)
	p := s.process(id)
	if step, _ := p.Step(fulfilment.StepCredit, ""); p.Status != fulfilment.StatusCompensating || step.Code != "account_closed" {
		t.Fatalf("%s, step %+v", p.Status, step)
	}
	if held := s.stock("A").Reserved; held != 0 {
		t.Errorf("%d still reserved", held)
	}
	must[Result[fulfilment.Process]](t)(s.service.ResolveProcess(t.Context(), Command{Actor: "op"}, id, "paid back in cash"))
	s.deliver(worker)
	if p := s.process(id); p.Status != fulfilment.StatusCompensated {
		t.Errorf("%s: %+v", p.Status, p.Steps)
	}
	if _, err := s.service.ResolveProcess(t.Context(), Command{}, id, "again"); domain.CodeOf(err) != "fulfilment_ended" {
		t.Error(err)
	}
	// Neither the last look nor a delivery that comes again gives back what was given back by hand.
	s.clock.advance(time.Minute)
	meanwhile(s, id)
	if p := s.process(id); p.Unchecked {
		t.Error("the last look does not come to an end")
	}
	clear(s.acked)
	s.deliver(worker)
	if n := s.books().credits[id]; n != 0 {
		t.Errorf("%d credits beside the one by hand", n)
	}
}

// A credit fails because the account can't be read. An operator gives the money back in another way; once the
// account can be read again it must not be given back a second time.
func TestWhatWasGivenBackByHandIsNotGivenBackAgain(t *testing.T) {
	s := stocked(t)
	accountID := s.account(startMoney)
	id := s.confirmed(accountID)
	s.deliver(s.worker(nil))
	worker := s.worker(nil) // one that remembers nothing of the account
	s.store.before = func(c call) error {
		if c.name == "read" && c.stream == "account-"+accountID {
			return &domain.Error{Kind: domain.KindUndecodable, Code: "undecodable_event", Message: "It can't be read."}
		}
		return nil
	}
	cancel(s, id)
	s.deliver(worker)
	must[Result[fulfilment.Process]](t)(s.service.ResolveProcess(t.Context(), Command{Actor: "op"}, id, "deposited by hand"))
	s.store.before = nil
	must[Result[account.Account]](t)(s.service.Deposit(t.Context(), Command{}, accountID, 300, "EUR", "for "+id))
	s.deliver(worker)
	s.clock.advance(time.Minute)
	meanwhile(s, id)
	clear(s.acked)
	s.deliver(worker)
	p, b := s.process(id), s.books()
	if p.Status != fulfilment.StatusCompensated || p.Unchecked || b.credits[id] != 0 || b.in-b.out != startMoney {
		t.Errorf("%s, %d credits, %d in accounts", p.Status, b.credits[id], b.in-b.out)
	}
}

// An order that nobody heard of is found by its deadline, is cancelled at it and not before, and once.
func TestUnconfirmedOrdersExpireOnTimeAndOnce(t *testing.T) {
	s := stocked(t)
	price := int64(1)
	o := must[Result[order.Order]](t)(s.service.CreateOrder(t.Context(), Command{MayPrice: true}, CreateOrder{
		CustomerID: shopCustomer, AccountID: s.account(0), Currency: "EUR", Items: []NewLine{{SKU: "A", Quantity: 1, UnitPrice: &price}},
	}))
	workers := []*Fulfilment{s.worker(nil), s.worker(nil)}
	look := func() {
		var all sync.WaitGroup
		for _, w := range workers {
			all.Go(func() {
				if err := w.Advance(t.Context(), o.ID); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	s.clock.advance(24*time.Hour - time.Microsecond)
	look()
	if status := s.order(o.ID).Status; status != order.StatusCreated {
		t.Fatalf("%s before its time", status)
	}
	s.clock.advance(time.Microsecond)
	look()
	look()
	if o := s.order(o.ID); o.Status != order.StatusCancelled || o.CancelReason != "expired" {
		t.Fatalf("%s because of %q", o.Status, o.CancelReason)
	}
	if n := len(s.store.events("order-" + o.ID)); n != 2 {
		t.Errorf("%d events", n)
	}
}

// A dead worker leaves a half-fulfilled order; the deadline undoes it, whoever looks at it then.
func TestWhatIsNotPreparedInTimeIsUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stocked(t)
		id := s.confirmed(s.account(startMoney))
		var victim *interposed
		worker := s.worker(func(store EventStore) EventStore {
			victim = &interposed{EventStore: store}
			victim.around = func(n int, _ string, do func() (domain.Appended, error)) (domain.Appended, error) {
				if n == 4 {
					victim.die()
					return domain.Appended{}, unavailable()
				}
				return do()
			}
			return victim
		})
		if err := worker.Advance(t.Context(), id); domain.KindOf(err) != domain.KindUnavailable {
			t.Fatal(err)
		}
		s.clock.advance(15 * time.Minute)
		meanwhile(s, id)
		s.settledWell(id, "cancelled/compensated")
		if o := s.order(id); o.CancelReason != "expired" {
			t.Errorf("cancelled because of %q", o.CancelReason)
		}
	})
}

// What a worker can't read is no reason to undo anything: it waits for the repair.
func TestAStreamThatCantBeReadWaitsForItsRepair(t *testing.T) {
	s := stocked(t)
	id := s.confirmed(s.account(startMoney))
	unreadable := true
	s.store.before = func(c call) error {
		if unreadable && c.name == "read" && c.stream == "inventory-B" {
			return &domain.Error{Kind: domain.KindUndecodable, Code: "undecodable_event", Message: "It can't be read."}
		}
		return nil
	}
	worker := s.worker(nil)
	s.deliver(worker)
	p := s.process(id)
	if step, _ := p.Step(fulfilment.StepReserve, "B"); step.Status != fulfilment.Failed || p.Status != fulfilment.StatusRunning {
		t.Fatalf("%s, step %+v", p.Status, step)
	}
	unreadable = false
	s.clock.advance(30 * time.Second)
	meanwhile(s, id)
	s.settledWell(id, "prepared/prepared")
}

// One order that trips a defect doesn't take the others with it.
func TestAPanicStaysWithItsOrder(t *testing.T) {
	s := stocked(t)
	well, ill := s.confirmed(s.account(startMoney)), s.confirmed(s.account(startMoney))
	s.store.before = func(c call) error {
		if c.stream == "fulfilment-"+ill {
			panic("a defect")
		}
		return nil
	}
	batch := s.pending()
	for i, err := range s.worker(nil).Handle(t.Context(), batch) {
		if bad := batch[i].Stream == "order-"+ill && batch[i].Type == "OrderConfirmed"; bad != (err != nil) || bad && domain.KindOf(err) != domain.KindInternal {
			t.Errorf("%s@%d: %v", batch[i].Stream, batch[i].Revision, err)
		}
	}
	s.store.before = nil
	s.settledWell(well, "prepared/prepared")
}
