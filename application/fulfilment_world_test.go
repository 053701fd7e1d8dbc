package application

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// settable is a clock that a test moves.
type settable struct {
	mu  sync.Mutex
	now time.Time
}

func (c *settable) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *settable) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// depot is a store with goods, money and workers that fulfil orders.
type depot struct {
	t       testing.TB
	store   *scripted
	clock   *settable
	service *Service // of the people: no fault strikes it
	random  *rand.Rand
	acked   map[string]int64 // stream → revision up to which deliveries were settled
	lost    func(domain.Recorded) bool
}

const (
	shopCustomer = "c-1"
	startMoney   = 10_000
	startStock   = 10
)

func newDepot(t testing.TB, seed uint64) *depot {
	s := &depot{t: t, store: newScripted(), clock: &settable{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)},
		random: rand.New(rand.NewPCG(seed, 1)), acked: map[string]int64{}}
	s.service = NewService(s.store, s.options())
	return s
}

func (s *depot) options() Options {
	return Options{Clock: s.clock, StoreWait: time.Minute, Backoff: time.Microsecond, SnapshotEvery: -1}
}

// worker is a process manager over the store as wrap shows it.
func (s *depot) worker(wrap func(EventStore) EventStore) *Fulfilment {
	store := EventStore(s.store)
	if wrap != nil {
		store = wrap(store)
	}
	return NewFulfilment(NewService(store, s.options()), FulfilmentOptions{})
}

func must[A any](t testing.TB) func(A, error) A {
	return func(a A, err error) A {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func (s *depot) receive(sku string, quantity int64) {
	s.t.Helper()
	must[Result[inventory.Stock]](s.t)(s.service.ReceiveStock(s.t.Context(), Command{}, sku, quantity, ""))
}

func (s *depot) account(money int64) string {
	s.t.Helper()
	a := must[Result[account.Account]](s.t)(s.service.OpenAccount(s.t.Context(), Command{}, OpenAccount{CustomerID: shopCustomer, Currency: "EUR"}))
	if money > 0 {
		must[Result[account.Account]](s.t)(s.service.Deposit(s.t.Context(), Command{}, a.ID, money, "EUR", ""))
	}
	return a.ID
}

// confirmed makes an order for two pieces of A and one of B, each at 100, and confirms it.
func (s *depot) confirmed(accountID string) string {
	s.t.Helper()
	price := int64(100)
	o := must[Result[order.Order]](s.t)(s.service.CreateOrder(s.t.Context(), Command{MayPrice: true}, CreateOrder{
		CustomerID: shopCustomer, AccountID: accountID, Currency: "EUR",
		Items: []NewLine{{SKU: "A", Quantity: 2, UnitPrice: &price}, {SKU: "B", Quantity: 1, UnitPrice: &price}},
	}))
	must[Result[order.Order]](s.t)(s.service.ConfirmOrder(s.t.Context(), Command{}, o.ID))
	return o.ID
}

func (s *depot) order(id string) order.Order {
	s.t.Helper()
	return must[Loaded[order.Order]](s.t)(Load(s.t.Context(), s.service.Executor, Orders, id)).State
}

func (s *depot) process(id string) fulfilment.Process {
	s.t.Helper()
	return must[Loaded[fulfilment.Process]](s.t)(Load(s.t.Context(), s.service.Executor, Fulfilments, id)).State
}

// declined is the code under which the order's payment was declined.
func (s *depot) declined(id string) (code string) {
	s.t.Helper()
	for _, r := range s.store.events("fulfilment-" + id) {
		if declined, ok := r.Event.(fulfilment.PaymentDeclined); ok {
			code = declined.Code
		}
	}
	return code
}

func (s *depot) stock(sku string) inventory.Stock {
	s.t.Helper()
	return must[Loaded[inventory.Stock]](s.t)(Load(s.t.Context(), s.service.Executor, Stocks, sku)).State
}

// pending are the deliveries that nobody has settled, shuffled, some of them twice.
func (s *depot) pending() []domain.Delivery {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	var streams []string
	for stream := range s.store.streams {
		if slices.ContainsFunc(FulfilmentGroup().Prefixes, func(p string) bool { return strings.HasPrefix(stream, p) }) {
			streams = append(streams, stream)
		}
	}
	slices.Sort(streams)
	var batch []domain.Delivery
	for _, stream := range streams {
		for _, r := range s.store.streams[stream] {
			if after, known := s.acked[stream]; known && r.Revision <= after || s.lost != nil && s.lost(r) {
				continue
			}
			batch = append(batch, domain.Delivery{Recorded: r})
			if s.random.IntN(4) == 0 {
				batch = append(batch, domain.Delivery{Recorded: r, Retry: 1})
			}
		}
	}
	s.random.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
	return batch
}

// deliver hands pending deliveries to workers until all are settled. What a worker fails at is delivered
// again, to the next one.
func (s *depot) deliver(workers ...*Fulfilment) {
	s.t.Helper()
	for turn := 0; ; turn++ {
		if turn > 200 {
			s.t.Fatal("deliveries don't settle")
		}
		batch := s.pending()
		if len(batch) == 0 {
			return
		}
		worker := workers[min(turn, len(workers)-1)]
		failed := map[string]int64{}
		for i, err := range worker.Handle(s.t.Context(), batch) {
			stream, revision := batch[i].Stream, batch[i].Revision
			if err == nil {
				continue
			}
			switch domain.KindOf(err) {
			case domain.KindUnavailable, domain.KindUnknown, domain.KindConflict:
			default:
				s.t.Fatalf("delivery of %s@%d: %v", stream, revision, err)
			}
			if before, ok := failed[stream]; !ok || revision < before {
				failed[stream] = revision
			}
		}
		for _, d := range batch {
			if first, ok := failed[d.Stream]; ok && d.Revision >= first {
				continue
			}
			if after, known := s.acked[d.Stream]; !known || d.Revision > after {
				s.acked[d.Stream] = d.Revision
			}
		}
	}
}

// books is an independent count of what the streams say, sharing nothing with the folds.
type books struct {
	received, damaged, shipped, reserved map[string]int64 // by SKU
	held                                 map[string]int64 // by SKU and order
	in, out                              int64            // of money
	paid                                 map[string]int64 // by order: withdrawn less credited
	withdrawals, credits                 map[string]int
}

func (s *depot) books() books {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	b := books{map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}, 0, 0,
		map[string]int64{}, map[string]int{}, map[string]int{}}
	ids := map[string]bool{}
	for stream, events := range s.store.streams {
		sku := domain.StreamID(stream)
		for i, r := range events {
			if r.Revision != int64(i) || ids[r.ID] {
				s.t.Errorf("%s@%d: event %d with id %s", stream, r.Revision, i, r.ID)
			}
			ids[r.ID] = true
			switch e := r.Event.(type) {
			case inventory.Received:
				b.received[sku] += e.Quantity
			case inventory.Damaged:
				b.damaged[sku] += e.Quantity
			case inventory.Reserved:
				b.held[sku+"/"+e.OrderID] += e.Quantity
				b.reserved[sku] += e.Quantity
			case inventory.Released:
				b.held[sku+"/"+e.OrderID] -= e.Quantity
				b.reserved[sku] -= e.Quantity
			case inventory.Shipped:
				b.held[sku+"/"+e.OrderID] -= e.Quantity
				b.reserved[sku] -= e.Quantity
				b.shipped[sku] += e.Quantity
			case account.Deposited:
				b.in += e.Amount
			case account.Withdrawn:
				b.out += e.Amount
				b.paid[e.OrderID] += e.Amount
				b.withdrawals[e.OrderID]++
			case account.Credited:
				b.out -= e.Amount
				b.paid[e.OrderID] -= e.Amount
				b.credits[e.OrderID]++
			}
		}
		for sku, n := range b.reserved {
			if n < 0 || n > b.received[sku]-b.damaged[sku]-b.shipped[sku] && domain.Category(stream) == "inventory" && sku == domain.StreamID(stream) {
				s.t.Errorf("%s: %d reserved of %d", sku, n, b.received[sku]-b.shipped[sku])
			}
		}
	}
	return b
}

// settledWell checks one order at the end: where it may have come to, and that goods and money agree.
func (s *depot) settledWell(id string, ends ...string) {
	s.t.Helper()
	s.legal(id)
	o, p, b := s.order(id), s.process(id), s.books()
	end := fmt.Sprintf("%s/%s", o.Status, p.Status)
	if !slices.Contains(ends, end) {
		s.t.Errorf("ended %s (%s), want %v; steps %+v", end, p.Reason, ends, p.Steps)
	}
	paid, held := o.Total, int64(1)
	switch o.Status {
	case order.StatusCancelled:
		paid, held = 0, 0
	case order.StatusShipped:
		held = 0
	}
	if b.paid[id] != paid || b.withdrawals[id] > 1 || b.credits[id] > 1 {
		s.t.Errorf("%s: paid %d in %d withdrawals and %d credits, want %d", end, b.paid[id], b.withdrawals[id], b.credits[id], paid)
	}
	for _, line := range o.Items {
		if got := b.held[line.SKU+"/"+id]; got != held*line.Quantity {
			s.t.Errorf("%s: %d of %s held, want %d", end, got, line.SKU, held*line.Quantity)
		}
		if o.Status != order.StatusShipped && b.shipped[line.SKU] != 0 || o.Status == order.StatusShipped && b.shipped[line.SKU] != line.Quantity {
			s.t.Errorf("%s: %d of %s shipped", end, b.shipped[line.SKU], line.SKU)
		}
	}
}

// legal checks that no outcome is recorded twice, nothing is undone that the process did not try, and
// nothing follows the end.
func (s *depot) legal(id string) {
	s.t.Helper()
	seen, ended := map[string]bool{}, false
	for _, r := range s.store.events("fulfilment-" + id) {
		if _, checked := r.Event.(fulfilment.Checked); ended && (!checked || seen[r.Type]) {
			s.t.Errorf("%s follows the end", r.Type)
		}
		key := r.Type
		switch e := r.Event.(type) {
		case fulfilment.StepIntended:
			key = fmt.Sprint(key, e.Step, e.SKU, e.Attempt)
		case fulfilment.StepFailed, fulfilment.Retried:
			continue
		case fulfilment.LineReserved:
			key += e.SKU
		case fulfilment.LineReleased:
			key += e.SKU
		case fulfilment.LineShipped:
			key += e.SKU
		case fulfilment.StepSkipped:
			key = fmt.Sprint(key, e.Step, e.SKU)
		case fulfilment.Completed, fulfilment.Compensated:
			ended = true
		}
		if seen[key] {
			s.t.Errorf("%s is recorded twice", key)
		}
		seen[key] = true
	}
}

// interposed is a store that a test reaches into between a worker and the real one.
type interposed struct {
	EventStore
	mu      sync.Mutex
	appends int
	dead    bool
	around  func(number int, stream string, append func() (domain.Appended, error)) (domain.Appended, error)
}

func (i *interposed) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	i.mu.Lock()
	number, dead := i.appends, i.dead
	i.appends++
	i.mu.Unlock()
	if dead {
		return domain.Appended{}, unavailable()
	}
	do := func() (domain.Appended, error) { return i.EventStore.Append(ctx, stream, after, events) }
	if i.around == nil {
		return do()
	}
	return i.around(number, stream, do)
}

func (i *interposed) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.dead {
		return func(yield func(domain.Recorded, error) bool) { yield(domain.Recorded{}, unavailable()) }
	}
	return i.EventStore.ReadStream(ctx, stream, from)
}

func (i *interposed) die() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.dead = true
}
