package application

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/order"
)

// ordersInRun is how many orders the run takes; TIDEMARK_TEST_ORDERS=10000 is the full one.
func ordersInRun(t *testing.T) int {
	if text := os.Getenv("TIDEMARK_TEST_ORDERS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return 100
	}
	return 400
}

// Many customers order scarce goods with scarce money, change their minds and ship, while several workers
// fulfil: their stores fail, they die, deliveries are lost, repeated and late. At the end every process
// has ended and an independent count of the streams agrees with what the orders say.
func TestManyOrdersOverScarceGoodsAndMoney(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("TIDEMARK_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("TIDEMARK_TEST_SEED=%d", seed)
	orders := ordersInRun(t)
	synctest.Test(t, func(t *testing.T) { newMarket(t, seed, orders).run() })
}

// market is a depot with everybody at work at once. Time is the bubble's.
type market struct {
	t      *testing.T
	store  *scripted
	broker *broker
	index  *deadlineIndex
	people *Service
	orders int

	mu       sync.Mutex
	random   *rand.Rand
	accounts []string
	skus     []string
	placed   []string
	late     int // reservations and payments that came too late and were undone
}

func newMarket(t *testing.T, seed uint64, orders int) *market {
	m := &market{t: t, store: newScripted(), orders: orders, random: rand.New(rand.NewPCG(seed, 2)), index: newDeadlineIndex()}
	m.broker = &broker{m: m, wake: make(chan struct{}, 1)}
	m.people = NewService(tapped{m.store, m}, m.options())
	for i := range max(5, orders/15) {
		m.skus = append(m.skus, fmt.Sprintf("SKU-%d", i))
	}
	return m
}

func (m *market) options() Options {
	return Options{SnapshotEvery: -1, StoreWait: 500 * time.Millisecond, Attempts: 64}
}

func (m *market) chance(percent int) bool { return m.pick(100) < percent }

func (m *market) pick(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.random.IntN(n)
}

// pass lets some time go by.
func (m *market) pass(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(m.pick(int(most)))):
	case <-ctx.Done():
	}
}

func (m *market) run() {
	ctx, cancel := context.WithCancel(m.t.Context())
	var background, customers sync.WaitGroup
	m.open(ctx)
	for _, held := range []int{1, 1, 1, 30} {
		background.Go(func() { m.work(ctx, held) })
	}
	timers := NewTimers(m.index, func(ctx context.Context, id string) error {
		return m.manager(1).Advance(ctx, id)
	}, bubbleAlarms{}, TimersOptions{})
	background.Go(func() { _ = timers.Run(ctx) })
	open, closed := context.WithCancel(ctx)
	background.Go(func() { m.supply(open) })
	for range 32 {
		customers.Go(func() { m.shop(ctx) })
	}
	customers.Wait()
	closed()
	m.settle(ctx)
	cancel()
	background.Wait()
	m.audit()
}

// open makes accounts: most with some money, some closed, foreign, in another currency, or none at all.
func (m *market) open(ctx context.Context) {
	for i := range max(10, m.orders/20) {
		in := OpenAccount{CustomerID: shopCustomer, Currency: "EUR", OverdraftLimit: int64(m.pick(3) * 500)}
		switch i % 20 {
		case 17:
			in.CustomerID = "c-2"
		case 18:
			in.Currency = "USD"
		}
		a := must[Result[account.Account]](m.t)(m.people.OpenAccount(ctx, Command{}, in))
		if i%20 == 19 {
			must[Result[account.Account]](m.t)(m.people.CloseAccount(ctx, Command{}, a.ID))
		}
		m.accounts = append(m.accounts, a.ID)
	}
	m.accounts = append(m.accounts, "0198c1f2-7b3a-7c4d-8e5f-60718293a4b5")
}

// supply brings goods and money now and then, never quite enough, and breaks some.
func (m *market) supply(ctx context.Context) {
	for ctx.Err() == nil {
		sku := m.skus[m.pick(len(m.skus))]
		_, _ = m.people.ReceiveStock(ctx, Command{}, sku, int64(1+m.pick(20)), "")
		_, _ = m.people.Deposit(ctx, Command{}, m.accounts[m.pick(len(m.accounts))], int64(1+m.pick(2000)), "EUR", "")
		_, _ = m.people.DamageStock(ctx, Command{}, sku, int64(1+m.pick(3)), "wet")
		m.pass(ctx, 50*time.Millisecond)
	}
}

// shop places orders until enough are placed, and does with each what customers and clerks do.
func (m *market) shop(ctx context.Context) {
	for {
		m.mu.Lock()
		enough := len(m.placed) >= m.orders
		m.mu.Unlock()
		if enough {
			return
		}
		in := CreateOrder{CustomerID: shopCustomer, AccountID: m.accounts[m.pick(len(m.accounts))], Currency: "EUR"}
		first := m.pick(len(m.skus))
		for i := range 1 + m.pick(3) {
			price := int64(m.pick(4) * 100)
			in.Items = append(in.Items, NewLine{SKU: m.skus[(first+i)%len(m.skus)], Quantity: int64(1 + m.pick(3)), UnitPrice: &price})
		}
		o := must[Result[order.Order]](m.t)(m.people.CreateOrder(ctx, Command{MayPrice: true}, in))
		m.mu.Lock()
		m.placed = append(m.placed, o.ID)
		m.mu.Unlock()
		if m.chance(97) { // else it expires
			must[Result[order.Order]](m.t)(m.people.ConfirmOrder(ctx, Command{}, o.ID))
		}
		if m.chance(25) {
			m.pass(ctx, 300*time.Millisecond)
			_, _ = m.people.CancelOrder(ctx, Command{}, o.ID, "changed my mind")
		}
		for wanted := m.chance(60); wanted; m.pass(ctx, 300*time.Millisecond) {
			_, err := m.people.ShipOrder(ctx, Command{}, o.ID, "UPS", "T")
			current := must[Loaded[order.Order]](m.t)(Load(ctx, m.people.Executor, Orders, o.ID)).State
			wanted = err != nil && current.Status == order.StatusConfirmed
		}
	}
}

// manager is a process manager whose store fails now and then, and holds it up that often.
func (m *market) manager(held int) *Fulfilment {
	return NewFulfilment(NewService(faulty{tapped{m.store, m}, m, held}, m.options()), FulfilmentOptions{
		Limits: m.index.limits,
		Late: func(_, _ string, err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if err == nil {
				m.late++
			}
		},
	})
}

// work takes deliveries; now and then the worker dies in the middle and another takes its place.
func (m *market) work(ctx context.Context, held int) {
	for ctx.Err() == nil {
		life, die := context.WithCancel(ctx)
		if m.chance(50) {
			life, die = context.WithTimeout(ctx, time.Duration(1+m.pick(int(time.Minute))))
		}
		worker := m.manager(held)
		for life.Err() == nil {
			batch := m.broker.take(1 + m.pick(20))
			if len(batch) == 0 {
				m.broker.await(life)
				continue
			}
			for i, err := range worker.Handle(life, batch) {
				if err != nil || life.Err() != nil { // the acknowledgements of a dead worker don't arrive
					m.broker.again(batch[i])
				}
			}
		}
		die()
	}
}

// settle waits until nothing is under way any more, which the timers see to.
func (m *market) settle(ctx context.Context) {
	for began := time.Now(); ; {
		if time.Since(began) > 72*time.Hour {
			m.t.Fatalf("still under way: %v", m.index.underway())
		}
		if len(m.index.underway()) == 0 && m.broker.empty() {
			return
		}
		m.pass(ctx, time.Minute)
	}
}

// audit counts the streams and compares each order with what they say.
func (m *market) audit() {
	s := &depot{t: m.t, store: m.store, service: NewService(m.store, m.options())}
	b := s.books()
	ends := map[string]int{}
	var paid, reserved int64
	held := map[string]int64{}
	for _, id := range m.placed {
		s.legal(id)
		o, p := s.order(id), s.process(id)
		end := fmt.Sprintf("%s/%s/%s", o.Status, p.Status, p.Reason)
		ends[end]++
		switch fmt.Sprintf("%s/%s", o.Status, p.Status) {
		case "prepared/prepared", "shipped/completed", "cancelled/compensated":
		default:
			if o.Status != order.StatusCancelled || o.ConfirmedAt != nil {
				m.t.Errorf("order %s ended %s: %+v", id, end, p.Steps)
			}
		}
		want := map[order.Status]int64{order.StatusPrepared: o.Total, order.StatusShipped: o.Total}[o.Status]
		if b.paid[id] != want || b.withdrawals[id] > 1 || b.credits[id] > 1 {
			m.t.Errorf("order %s %s: paid %d in %d withdrawals, %d credits, want %d", id, end, b.paid[id], b.withdrawals[id], b.credits[id], want)
		}
		paid += want
		for _, line := range o.Items {
			if o.Status == order.StatusPrepared {
				held[line.SKU+"/"+id] = line.Quantity
				reserved += line.Quantity
			}
		}
	}
	for key, n := range b.held {
		if n != held[key] {
			m.t.Errorf("%s: %d held, want %d", key, n, held[key])
		}
	}
	m.balanceUp(s, b, paid, reserved)
	m.t.Logf("%d orders ended %v; %d late commands were undone", len(m.placed), ends, m.late)
}

// balanceUp compares sums over all accounts and SKUs.
func (m *market) balanceUp(s *depot, b books, paid, reserved int64) {
	var money, have int64
	for _, id := range m.accounts[:len(m.accounts)-1] {
		a := must[Loaded[account.Account]](m.t)(Load(m.t.Context(), s.service.Executor, Accounts, id)).State
		money += a.Balance
		if a.Balance < -a.OverdraftLimit {
			m.t.Errorf("account %s is at %d", id, a.Balance)
		}
	}
	if money != b.in-paid || b.out != paid {
		m.t.Errorf("%d in accounts after %d deposited and %d paid", money, b.in, paid)
	}
	for _, sku := range m.skus {
		stock := s.stock(sku)
		have += stock.Reserved
		if stock.OnHand != b.received[sku]-b.damaged[sku]-b.shipped[sku] || stock.Available < 0 {
			m.t.Errorf("%s: %+v after %d received, %d damaged, %d shipped", sku, stock, b.received[sku], b.damaged[sku], b.shipped[sku])
		}
	}
	if have != reserved {
		m.t.Errorf("%d reserved, want %d", have, reserved)
	}
}

// tapped is the store with everything appended to it told to the broker and the index.
type tapped struct {
	*scripted
	m *market
}

func (s tapped) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	appended, err := s.scripted.Append(ctx, stream, after, events)
	if err == nil {
		all := s.events(stream)
		s.m.index.take(stream, all)
		for _, r := range all[after.Revision+1 : appended.Revision+1] {
			s.m.broker.publish(r)
		}
	}
	return appended, err
}

// faulty takes its time and fails now and then, before or after it has done what was asked, and holds up
// some of what it is asked for so long that others have carried on.
type faulty struct {
	EventStore
	m    *market
	held int // per cent
}

func (f faulty) Append(ctx context.Context, stream string, after domain.Tip, events []domain.Proposed) (domain.Appended, error) {
	f.m.pass(ctx, 5*time.Millisecond)
	if f.m.chance(f.held) { // held up for long; its caller has given up when it gets through
		f.m.pass(context.Background(), 10*time.Second)
		ctx = context.WithoutCancel(ctx)
	}
	if f.m.chance(2) {
		return domain.Appended{}, []error{unavailable(), unknown()}[f.m.pick(2)]
	}
	appended, err := f.EventStore.Append(ctx, stream, after, events)
	f.m.pass(ctx, 5*time.Millisecond)
	if err == nil && f.m.chance(2) {
		return domain.Appended{}, unknown()
	}
	return appended, err
}

func (f faulty) ReadStream(ctx context.Context, stream string, from int64) iter.Seq2[domain.Recorded, error] {
	f.m.pass(ctx, time.Millisecond)
	if f.m.chance(1) {
		return func(yield func(domain.Recorded, error) bool) { yield(domain.Recorded{}, unavailable()) }
	}
	return f.EventStore.ReadStream(ctx, stream, from)
}
