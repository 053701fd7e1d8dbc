package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
)

// demoOptions sizes the shop that the demo builds.
type demoOptions struct {
	orders    int
	customers int
	seed      uint64
	callers   int
}

func demoCommand(program *program) *cobra.Command {
	options := demoOptions{}
	command := &cobra.Command{
		Use:   "demo",
		Short: "fill a running service with a believable shop, through its public API",
		Long: `Fill a running service with a believable shop: products, stock, customers with accounts, and orders in
every state, failures included. Everything goes through the public API; running it again adds more.`,
		Args: cobra.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			client, err := program.runningService()
			if err != nil {
				return err
			}
			return program.runDemo(command.Context(), client, options)
		},
	}
	command.Flags().IntVar(&options.orders, "orders", 300, "how many orders")
	command.Flags().IntVar(&options.customers, "customers", 40, "how many customers")
	command.Flags().Uint64Var(&options.seed, "seed", 0, "seed of the random choices; 0 draws one and prints it")
	command.Flags().IntVar(&options.callers, "callers", 8, "how many calls run side by side")
	return command
}

// demoShop is what the demo knows of the shop it builds.
type demoShop struct {
	client   *apiClient
	products []demoProduct
	accounts []demoAccount
	run      string // short mark that keeps the SKUs of two runs apart

	mu       sync.Mutex
	statuses map[string]int
	example  demoExample
}

type demoProduct struct {
	sku, name string
	price     int64
	stock     int64
}

type demoAccount struct {
	customer, id string
	deposit      int64
}

// demoExample are the entities that the summary links to.
type demoExample struct{ order, customer, account, sku string }

// runDemo builds the shop and prints what it made.
func (p *program) runDemo(ctx context.Context, client *apiClient, options demoOptions) error {
	if options.orders < 1 || options.customers < 1 || options.callers < 1 {
		return usageError{errors.New("--orders, --customers and --callers are at least 1")}
	}
	if options.seed == 0 {
		options.seed = uint64(time.Now().UnixNano())
	}
	random := rand.New(rand.NewPCG(options.seed, 1))
	shop := &demoShop{client: client, statuses: map[string]int{}, run: fmt.Sprintf("%04X", random.Uint32()&0xffff)}
	shop.plan(random, options)
	began := time.Now()
	stages := []struct {
		name  string
		count int
		do    func(ctx context.Context, i int, seed uint64) error
	}{
		{"products and stock", len(shop.products), shop.stockProduct},
		{"customer accounts", len(shop.accounts), shop.openAccount},
		{"orders", options.orders, shop.order},
	}
	bars := newBars(p.errs)
	for _, stage := range stages {
		bar := bars.add(stage.name, int64(stage.count))
		err := forEach(ctx, stage.count, options.callers, func(ctx context.Context, i int) error {
			defer bar.increment(1)
			return stage.do(ctx, i, options.seed+uint64(i)*7919)
		})
		bar.finish()
		if err != nil {
			bars.wait()
			return fmt.Errorf("%s: %w", stage.name, err)
		}
	}
	bars.wait()
	return shop.summary(p, options, time.Since(began))
}

// forEach calls do for 0..count-1 from several goroutines and stops at the first error.
func forEach(ctx context.Context, count, callers int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(callers, count) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

var demoGoods = []struct {
	name  string
	price int64
}{
	{"Rain jacket", 12900}, {"Wool socks", 1490}, {"Trail shoes", 13990}, {"Tide clock", 8900}, {"Sea chart", 2450},
	{"Brass compass", 5900}, {"Dry bag 20 l", 3290}, {"Headlamp", 4490}, {"Thermos 1 l", 3690}, {"Deck brush", 1290},
	{"Oilskin hat", 3990}, {"Signal mirror", 990}, {"Mooring line 10 m", 4250}, {"Fender", 2990}, {"Logbook", 1890},
	{"Barometer", 14900}, {"Hand bearing compass", 9900}, {"Life jacket", 15900}, {"Flare kit", 7490}, {"Bosun's chair", 18900},
	{"Sail needle set", 1190}, {"Waxed twine", 690}, {"Storm lantern", 4990}, {"Enamel mug", 890},
}

// plan draws prices, stock and deposits; every eighth product is scarce and every tenth account poor, so
// that refused lines and declined payments happen.
func (s *demoShop) plan(random *rand.Rand, options demoOptions) {
	for i, good := range demoGoods {
		p := demoProduct{sku: fmt.Sprintf("%s-%03d", s.run, i+1), name: good.name, price: good.price, stock: 200 + random.Int64N(800)}
		if i%8 == 7 {
			p.stock = 30 + random.Int64N(30)
		}
		s.products = append(s.products, p)
	}
	for i := range options.customers {
		a := demoAccount{customer: fmt.Sprintf("customer-%s-%03d", s.run, i+1), deposit: 500_000 + random.Int64N(1_500_000)}
		if i%10 == 9 {
			a.deposit = 1_000
		}
		s.accounts = append(s.accounts, a)
	}
}

func (s *demoShop) stockProduct(ctx context.Context, i int, _ uint64) error {
	p := s.products[i]
	product := map[string]any{"sku": p.sku, "name": p.name, "unitPrice": p.price, "currency": "EUR"}
	if _, err := s.client.call(ctx, "POST", "/v1/products", product, nil); err != nil {
		return err
	}
	receipt := map[string]any{"quantity": p.stock, "reference": "opening stock"}
	_, err := s.client.call(ctx, "POST", "/v1/inventory/"+p.sku+"/receipts", receipt, nil)
	return err
}

func (s *demoShop) openAccount(ctx context.Context, i int, _ uint64) error {
	a := &s.accounts[i]
	var opened struct {
		ID string `json:"id"`
	}
	if _, err := s.client.call(ctx, "POST", "/v1/accounts", map[string]any{"customerId": a.customer, "currency": "EUR"}, &opened); err != nil {
		return err
	}
	a.id = opened.ID
	deposit := map[string]any{"amount": a.deposit, "currency": "EUR", "reference": "first deposit"}
	_, err := s.client.call(ctx, "POST", "/v1/accounts/"+a.id+"/deposits", deposit, nil)
	return err
}

// order takes one order as far as its dice say. Refusals by the shop's rules are part of the picture.
func (s *demoShop) order(ctx context.Context, i int, seed uint64) error {
	random := rand.New(rand.NewPCG(seed, 2))
	account := s.accounts[random.IntN(len(s.accounts))]
	var order demoOrder
	got, err := s.client.call(ctx, "POST", "/v1/orders", s.draft(random, account), &order, "Idempotency-Key", fmt.Sprintf("demo-%s-%d", s.run, i))
	if err != nil {
		return err
	}
	o := &orderAtWork{demoShop: s, id: order.ID, tidemark: got.header.Get("Tidemark")}
	if random.IntN(4) == 0 {
		p := s.products[random.IntN(len(s.products))]
		if err := o.do(ctx, "items", map[string]any{"sku": p.sku, "name": p.name, "quantity": 1, "unitPrice": p.price}); err != nil {
			return err
		}
	}
	dice := random.IntN(100)
	switch {
	case dice < 10: // stays open
	case dice < 16:
		if err := o.do(ctx, "cancel", map[string]any{"reason": "changed my mind"}); err != nil {
			return err
		}
	default:
		if err := o.do(ctx, "confirm", nil); err != nil {
			return err
		}
		if err := o.afterConfirm(ctx, dice); err != nil {
			return err
		}
	}
	return o.note(ctx, account)
}

// orderAtWork is an order that the demo drives. Its tidemark is that of the last command, so that what
// the demo reads includes what it wrote.
type orderAtWork struct {
	*demoShop
	id, tidemark string
}

// do sends one command; a refusal by the order's state is not the demo's failure.
func (o *orderAtWork) do(ctx context.Context, what string, body any) error {
	got, err := o.client.call(ctx, "POST", "/v1/orders/"+o.id+"/"+what, body, nil)
	if refusal, ok := errors.AsType[*problem](err); ok && refusal.Status == 409 {
		return nil
	}
	if err == nil {
		o.tidemark = got.header.Get("Tidemark")
	}
	return err
}

// read gives the order as the screens show it, with all that the demo did to it.
func (o *orderAtWork) read(ctx context.Context) (order demoOrder, err error) {
	_, err = o.client.call(ctx, "GET", "/v1/orders/"+o.id, nil, &order, "Tidemark", o.tidemark, "Prefer", "wait=30")
	return order, err
}

// afterConfirm waits for the fulfilment to prepare the order and ships most of what it prepared.
func (o *orderAtWork) afterConfirm(ctx context.Context, dice int) error {
	if dice < 22 {
		return nil
	}
	var order demoOrder
	deadline := time.Now().Add(10 * time.Second)
	for wait := 5 * time.Millisecond; ; wait = min(wait*2, 250*time.Millisecond) {
		var err error
		if order, err = o.read(ctx); err != nil {
			return err
		}
		if order.Status != "confirmed" || time.Now().After(deadline) {
			break
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case order.Status == "prepared" && dice < 82:
		return o.do(ctx, "ship", map[string]any{"carrier": "Harbour Express", "trackingNumber": "HX-" + o.id[len(o.id)-8:]})
	case order.Status == "prepared" && dice < 88:
		return o.do(ctx, "cancel", map[string]any{"reason": "customer called"})
	}
	return nil
}

type demoOrder struct {
	ID     string `json:"id"`
	Status string `json:"status"`
}

// draft draws one to four lines.
func (s *demoShop) draft(random *rand.Rand, account demoAccount) map[string]any {
	var items []map[string]any
	for _, n := range random.Perm(len(s.products))[:1+random.IntN(4)] {
		p := s.products[n]
		items = append(items, map[string]any{"sku": p.sku, "name": p.name, "quantity": 1 + random.IntN(3), "unitPrice": p.price})
	}
	return map[string]any{"customerId": account.customer, "accountId": account.id, "currency": "EUR", "items": items}
}

// note counts the order by its status and remembers one of each kind for the links.
func (o *orderAtWork) note(ctx context.Context, account demoAccount) error {
	order, err := o.read(ctx)
	if err != nil {
		return err
	}
	s := o.demoShop
	s.mu.Lock()
	defer s.mu.Unlock()
	s.statuses[order.Status]++
	if s.example.order == "" || order.Status == "shipped" {
		s.example = demoExample{order: o.id, customer: account.customer, account: account.id, sku: s.products[0].sku}
	}
	return nil
}

// summary tells what was made. Orders that were left confirmed are being prepared meanwhile.
func (s *demoShop) summary(p *program, options demoOptions, took time.Duration) error {
	base := s.client.base
	links := [][2]string{
		{"console", "/console"}, {"order desk", "/v1/board"}, {"an order", "/v1/orders/" + s.example.order}, {"its history", "/v1/orders/" + s.example.order + "/history"},
		{"a customer", "/v1/customers/" + s.example.customer + "/orders"}, {"an account", "/v1/accounts/" + s.example.account + "/statement"},
		{"low stock", "/v1/inventory?lowStock=true"}, {"sales", "/v1/sales"}, {"API docs", "/docs"},
	}
	if p.json {
		at := map[string]string{}
		for _, link := range links {
			at[link[0]] = base + link[1]
		}
		return printJSON(p.out, map[string]any{"products": len(s.products), "customers": len(s.accounts), "orders": options.orders,
			"statuses": s.statuses, "seed": options.seed, "seconds": took.Seconds(), "links": at})
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nA shop with %d products, %d customers and %d orders, in %.1f s (seed %d).\n\n",
		len(s.products), len(s.accounts), options.orders, took.Seconds(), options.seed)
	for _, status := range []string{"created", "confirmed", "prepared", "shipped", "cancelled"} {
		note := ""
		if status == "confirmed" && s.statuses[status] > 0 {
			note = "   being prepared by the fulfilment"
		}
		fmt.Fprintf(&text, "  %-10s %5d%s\n", status, s.statuses[status], note)
	}
	fmt.Fprintf(&text, "\nLook at it:\n")
	for _, link := range links {
		fmt.Fprintf(&text, "  %-12s %s%s\n", link[0], base, link[1])
	}
	_, err := io.WriteString(p.out, text.String())
	return err
}
