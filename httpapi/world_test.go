package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/application"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/account"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
	"github.com/tidemark-dev/tidemark/domain/inventory"
	"github.com/tidemark-dev/tidemark/domain/order"
	"github.com/tidemark-dev/tidemark/domain/product"
	"github.com/tidemark-dev/tidemark/readmodels"
)

const (
	someOrder   = "0199a1b2-c3d4-7e5f-8a6b-7c8d9e0f1a2b"
	someAccount = "0199a1b2-0000-7a00-8000-00000000acc1"
	someSKU     = "TEA-EARL-GREY"
	someJob     = "0199a1b2-0000-7b00-8000-000000000001"
)

var someTime = time.Date(2026, 3, 1, 9, 15, 0, 0, time.UTC)

// call is a command that got through to the application.
type call struct {
	command application.Command
	args    []any
}

// watched stands in for the application: it notes what reaches it and answers as told. That commands do
// what they should is proved where they are written, and by the tests of the whole program.
type watched struct {
	mu       sync.Mutex
	calls    []call
	fail     func(call) error // nil: everything succeeds
	block    chan struct{}    // not nil: commands wait for it
	revision int64
	replayed bool
	created  bool
}

func (w *watched) took() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]call(nil), w.calls...)
}

func result[S any](ctx context.Context, w *watched, category, id string, state S, command application.Command, args ...any) (application.Result[S], error) {
	c := call{command, args}
	w.mu.Lock()
	if at := command.IfRevision; at != nil && *at != w.revision {
		defer w.mu.Unlock()
		return application.Result[S]{}, &domain.Error{Kind: domain.KindMismatch, Code: "revision_mismatch", Revision: &w.revision}
	}
	w.calls = append(w.calls, c)
	block, fail := w.block, w.fail
	r := application.Result[S]{ID: id, Stream: domain.Stream(category, id), State: state, Revision: w.revision, Created: w.created, Replayed: w.replayed}
	w.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return r, ctx.Err()
		}
	}
	if fail != nil {
		return r, fail(c)
	}
	return r, nil
}

func (w *watched) order(ctx context.Context, c application.Command, id string, args ...any) (application.Result[order.Order], error) {
	state := order.Order{CustomerID: "customer-42", AccountID: someAccount, Status: order.StatusCreated, Currency: "EUR",
		Items: []order.Line{{SKU: someSKU, Name: "Earl Grey", Quantity: 2, UnitPrice: 450}}, Total: 900, TotalItems: 2, CreatedAt: someTime, UpdatedAt: someTime}
	return result(ctx, w, "order", id, state, c, append([]any{id}, args...)...)
}

func (w *watched) CreateOrder(ctx context.Context, c application.Command, in application.CreateOrder) (application.Result[order.Order], error) {
	lines := make([]order.Line, len(in.Items))
	for i, l := range in.Items {
		lines[i] = order.Line{SKU: l.SKU, Name: l.Name, Quantity: l.Quantity, UnitPrice: 450} // the catalogue's
		if l.UnitPrice != nil {
			lines[i].UnitPrice = *l.UnitPrice
		}
	}
	if _, err := order.Create(order.Created{CustomerID: in.CustomerID, AccountID: in.AccountID, Currency: in.Currency, Items: lines, Address: in.Address, Note: in.Note}); err != nil {
		return application.Result[order.Order]{}, err
	}
	return w.order(ctx, c, someOrder, in)
}

func (w *watched) AddItem(ctx context.Context, c application.Command, id string, in application.NewLine) (application.Result[order.Order], error) {
	return w.order(ctx, c, id, in)
}

func (w *watched) RemoveItem(ctx context.Context, c application.Command, id, sku string, quantity *int64) (application.Result[order.Order], error) {
	return w.order(ctx, c, id, sku, quantity)
}

func (w *watched) ConfirmOrder(ctx context.Context, c application.Command, id string) (application.Result[order.Order], error) {
	return w.order(ctx, c, id)
}

func (w *watched) ShipOrder(ctx context.Context, c application.Command, id, carrier, tracking string) (application.Result[order.Order], error) {
	if _, err := (order.Order{Status: order.StatusPrepared}).Ship(carrier, tracking); err != nil {
		return application.Result[order.Order]{}, err
	}
	return w.order(ctx, c, id, carrier, tracking)
}

func (w *watched) CancelOrder(ctx context.Context, c application.Command, id, reason string) (application.Result[order.Order], error) {
	return w.order(ctx, c, id, reason)
}

func (w *watched) product(ctx context.Context, c application.Command, sku string, args ...any) (application.Result[product.Product], error) {
	state := product.Product{Name: "Earl Grey", UnitPrice: 450, Currency: "EUR", Status: product.StatusListed, ListedAt: someTime, UpdatedAt: someTime}
	return result(ctx, w, "product", sku, state, c, append([]any{sku}, args...)...)
}

func (w *watched) ListProduct(ctx context.Context, c application.Command, in application.ListProduct) (application.Result[product.Product], error) {
	return w.product(ctx, c, in.SKU, in)
}

func (w *watched) ChangePrice(ctx context.Context, c application.Command, sku string, price int64, currency string) (application.Result[product.Product], error) {
	return w.product(ctx, c, sku, price, currency)
}

func (w *watched) WithdrawProduct(ctx context.Context, c application.Command, sku string) (application.Result[product.Product], error) {
	return w.product(ctx, c, sku)
}

func (w *watched) stock(ctx context.Context, c application.Command, sku string, args ...any) (application.Result[inventory.Stock], error) {
	return result(ctx, w, "inventory", sku, inventory.Stock{OnHand: 500, Reserved: 2, Available: 498, UpdatedAt: someTime}, c, append([]any{sku}, args...)...)
}

func (w *watched) ReceiveStock(ctx context.Context, c application.Command, sku string, n int64, reference string) (application.Result[inventory.Stock], error) {
	return w.stock(ctx, c, sku, n, reference)
}

func (w *watched) DamageStock(ctx context.Context, c application.Command, sku string, n int64, reason string) (application.Result[inventory.Stock], error) {
	return w.stock(ctx, c, sku, n, reason)
}

func (w *watched) ReserveStock(ctx context.Context, c application.Command, sku, id string, n int64) (application.Result[inventory.Stock], error) {
	return w.stock(ctx, c, sku, id, n)
}

func (w *watched) ReleaseStock(ctx context.Context, c application.Command, sku, id string) (application.Result[inventory.Stock], error) {
	return w.stock(ctx, c, sku, id)
}

func (w *watched) account(ctx context.Context, c application.Command, id string, args ...any) (application.Result[account.Account], error) {
	state := account.Account{CustomerID: "customer-42", Currency: "EUR", Balance: 25000, Available: 25000, Status: account.StatusOpen, OpenedAt: someTime, UpdatedAt: someTime}
	return result(ctx, w, "account", id, state, c, append([]any{id}, args...)...)
}

func (w *watched) OpenAccount(ctx context.Context, c application.Command, in application.OpenAccount) (application.Result[account.Account], error) {
	return w.account(ctx, c, someAccount, in)
}

func (w *watched) Deposit(ctx context.Context, c application.Command, id string, n int64, currency, reference string) (application.Result[account.Account], error) {
	return w.account(ctx, c, id, n, currency, reference)
}

func (w *watched) Withdraw(ctx context.Context, c application.Command, id string, n int64, currency, reference, orderID string) (application.Result[account.Account], error) {
	return w.account(ctx, c, id, n, currency, reference, orderID)
}

func (w *watched) Credit(ctx context.Context, c application.Command, id string, n int64, currency, reason, reference, orderID string) (application.Result[account.Account], error) {
	return w.account(ctx, c, id, n, currency, reason, reference, orderID)
}

func (w *watched) CloseAccount(ctx context.Context, c application.Command, id string) (application.Result[account.Account], error) {
	return w.account(ctx, c, id)
}

func (w *watched) process(ctx context.Context, c application.Command, id string, args ...any) (application.Result[fulfilment.Process], error) {
	return result(ctx, w, "fulfilment", id, fulfilment.Process{Status: "running", StartedAt: someTime}, c, append([]any{id}, args...)...)
}

func (w *watched) RetryProcess(ctx context.Context, c application.Command, id string) (application.Result[fulfilment.Process], error) {
	return w.process(ctx, c, id)
}

func (w *watched) ResolveProcess(ctx context.Context, c application.Command, id, reason string) (application.Result[fulfilment.Process], error) {
	return w.process(ctx, c, id, reason)
}

// shown stands in for the screens: each answers what the document's example says, or as told.
type shown struct {
	mu     sync.Mutex
	asked  []readmodels.Ask
	answer func(operation string, ask readmodels.Ask) (readmodels.Answer, error) // nil: the example
}

func (w *shown) took() []readmodels.Ask {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]readmodels.Ask(nil), w.asked...)
}

// screens makes a screen for each query of the document.
func (w *shown) screens(t testing.TB) []readmodels.Screen {
	t.Helper()
	var all []readmodels.Screen
	for _, real := range readmodels.Screens() {
		operation := real.Operation
		all = append(all, readmodels.Screen{Operation: operation, Model: real.Model,
			Answer: func(_ context.Context, _ *readmodels.Reader, ask readmodels.Ask) (readmodels.Answer, error) {
				w.mu.Lock()
				w.asked = append(w.asked, ask)
				answer := w.answer
				w.mu.Unlock()
				if answer != nil {
					return answer(operation, ask)
				}
				if ask.Cursor != "" {
					return readmodels.Answer{}, &domain.Error{Kind: domain.KindMalformed, Code: "invalid_cursor"}
				}
				if strings.HasPrefix(operation, "list") || strings.HasSuffix(operation, "History") || strings.HasSuffix(operation, "Statement") {
					return readmodels.Answer{List: true, Items: []any{}}, nil
				}
				return readmodels.Answer{Body: map[string]any{"revision": 3}, ETag: "3"}, nil
			},
			Item: func(_ context.Context, _ *readmodels.Reader, ask readmodels.Ask, change readmodels.Change) (any, bool, error) {
				moved := strings.HasPrefix(change.Document, "moved") && ask.Params["status"] != "" // out of that status
				return map[string]any{"id": change.Document, "revision": change.Revision}, change.Document != "hidden" && !moved, nil
			}})
	}
	return all
}

// world is a server with what stands behind it.
type world struct {
	*Server
	t        testing.TB
	commands *watched
	shown    *shown
	token    string
}

func newWorld(t testing.TB, edit ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, commands: &watched{}, shown: &shown{}}
	o := Options{Commands: w.commands, Screens: w.shown.screens(t), Models: standInModels{}, Groups: standInGroups{}, RateLimit: -1,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "# metrics\n") })}
	for _, e := range edit {
		e(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Stop(context.Background()) })
	w.Server = s
	return w
}

// answered is an answer, read.
type answered struct {
	*httptest.ResponseRecorder
	t testing.TB
}

// json decodes the body.
func (a answered) json() map[string]any {
	a.t.Helper()
	var value map[string]any
	if err := json.Unmarshal(a.Body.Bytes(), &value); err != nil {
		a.t.Fatalf("the body is no JSON object: %v\n%s", err, a.Body)
	}
	return value
}

// code is that of the problem.
func (a answered) code() string {
	a.t.Helper()
	if a.Body.Len() == 0 {
		return ""
	}
	code, _ := a.json()["code"].(string)
	return code
}

// send makes a request from this machine: headers are pairs.
func (w *world) send(method, target, body string, headers ...string) answered {
	w.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, "http://127.0.0.1:8080/", content)
	w.aim(r, target)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		switch name := headers[i]; {
		case headers[i+1] == "-":
			r.Header.Del(name)
		case name == "Host":
			r.Host = headers[i+1]
		default:
			r.Header.Set(name, headers[i+1])
		}
	}
	return w.do(r)
}

// aim sets the request's target as it would come over the wire, well-formed or not.
func (w *world) aim(r *http.Request, target string) {
	w.t.Helper()
	u, err := r.URL.Parse(target)
	if err != nil {
		w.t.Fatalf("target %q: %v", target, err)
	}
	r.URL, r.RequestURI = u, target
}

func (w *world) do(r *http.Request) answered {
	recorder := httptest.NewRecorder()
	w.Handler().ServeHTTP(recorder, r)
	return answered{recorder, w.t}
}

// expect checks status and code.
func (a answered) expect(status int, code string) answered {
	a.t.Helper()
	if a.Code != status || (code != "" && a.code() != code) {
		a.t.Errorf("answer %d %s, want %d %s\n%s", a.Code, a.codeOrNone(), status, code, clipped(a.Body))
	}
	return a
}

func (a answered) codeOrNone() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.Body.Bytes(), &p)
	return p.Code
}

func clipped(b *bytes.Buffer) string {
	text := b.String()
	return text[:min(len(text), 600)]
}
