package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/tidemark-dev/tidemark/application/storetest"
	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/infrastructure/telemetry"
	"github.com/tidemark-dev/tidemark/readmodels/documentstest"
)

// edge is the whole program in this process, seen from outside. Its event store is behind a wire that
// can be cut, and the calls to it and to its documents behind faults that can be set.
type edge struct {
	t         *testing.T
	app       *app
	written   []string // tidemarks of the last commands
	config    Config
	documents *documentstest.Faulty
	store     *storetest.Faulty
	secret    []byte // not nil: callers need tokens
	token     string
	storeWait time.Duration // how long the event store may be silent; 0: as in production
	witness   *witness
	shared    bool
	mu        sync.Mutex
}

// shown waits until the screens behind paths show everything written so far.
func (e *edge) shown(paths ...string) {
	e.t.Helper()
	e.mu.Lock()
	tokens := strings.Join(e.written, ", ")
	e.mu.Unlock()
	for _, path := range paths {
		e.send("GET", path, nil, "Tidemark", tokens, "Prefer", "wait=30").expect(http.StatusOK, "")
	}
}

// edgeOptions say what differs from the defaults.
type edgeOptions struct {
	keys   bool   // callers need tokens
	store  string // connection string of an event store that is elsewhere
	shared bool   // that store's log is others' too, so that its end says nothing of this test
	data   string // directory; a fresh one
	config func(*Config)
}

// startEdge starts the program.
func startEdge(t *testing.T, o edgeOptions) *edge {
	t.Helper()
	config, err := loadConfig(nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &edge{t: t, witness: newWitness(), shared: o.shared}
	config.HTTPAddr, config.NodeAddr, config.DataDir = "127.0.0.1:0", "off", o.data
	if config.DataDir == "" {
		config.DataDir = t.TempDir()
	}
	if o.store != "" {
		config.Eventstore = o.store
	}
	if o.keys {
		e.secret = []byte("0123456789abcdef0123456789abcdef")
		config.AuthHs256SecretFile = filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(config.AuthHs256SecretFile, e.secret, 0o600); err != nil {
			t.Fatal(err)
		}
		config.RateLimit = "off"
	}
	if o.store == "" { // nothing will be wrong with it, so its silence is only that of a busy machine
		e.storeWait, config.RequestTimeout = patience, patience
	}
	if o.config != nil {
		o.config(&config)
	}
	e.config = config
	e.start()
	return e
}

// edge is a process seen from outside.
func (p *process) edge() *edge {
	return &edge{t: p.t, app: &app{url: p.api.base}, witness: newWitness()}
}

// start wires the program as newApp does, with faults between the engine and its documents.
func (e *edge) start() {
	e.t.Helper()
	ctx := e.witness.begin()
	defer pprof.SetGoroutineLabels(context.Background())
	a := &app{config: e.config, role: roleAll, log: slog.New(slog.DiscardHandler), metrics: telemetry.NewMetrics(), fatal: make(chan error, 1)}
	a.life, a.end = context.WithCancel(ctx)
	a.storeWait = e.storeWait
	e.app = a
	e.t.Cleanup(e.stop)
	e.t.Cleanup(e.holdInvariants)
	listener, err := listen(e.config.HTTPAddr, "TIDEMARK_HTTP_ADDR")
	if err != nil {
		e.t.Fatal(err)
	}
	if err := a.openStores(ctx); err != nil {
		e.t.Fatal(err)
	}
	e.documents = documentstest.NewFaulty(e.witness.of(a.documents), documentstest.Faults{})
	a.documents = e.documents
	e.store = storetest.NewFaulty(a.events, nil, storetest.Faults{})
	a.events = e.store
	a.openReadSide()
	a.openWriteSide()
	if err := a.openAPI(listener); err != nil {
		e.t.Fatal(err)
	}
	if err := a.start(); err != nil {
		e.t.Fatal(err)
	}
}

// stop ends the program as a signal would.
func (e *edge) stop() {
	if e.app == nil {
		return
	}
	if err := stopApp(context.Background(), e.app); err != nil {
		e.t.Errorf("stop: %v", err)
	}
	e.app = nil
	e.witness.allEnded(e.t)
}

// as makes a token for a subject with a role; for customers the subject is the customer, too.
func (e *edge) as(role, subject string) string {
	e.t.Helper()
	claims := jwt.MapClaims{"sub": subject, "role": role, "exp": time.Now().Add(time.Hour).Unix()}
	if role == "customer" {
		claims["customer_id"] = subject
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(e.secret)
	if err != nil {
		e.t.Fatal(err)
	}
	return token
}

// got is an answer, read.
type got struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
	what   string
}

// send makes a request; in is nil, a string, or marshalled. Headers are pairs.
func (e *edge) send(method, path string, in any, headers ...string) got {
	e.t.Helper()
	var body []byte
	switch v := in.(type) {
	case nil:
	case string:
		body = []byte(v)
	default:
		var err error
		if body, err = json.Marshal(v); err != nil {
			e.t.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, e.app.url+path, bytes.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	if e.token != "" {
		r.Header.Set("Authorization", "Bearer "+e.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, text := e.do(r)
	e.witness.heard(exchange{method: method, path: path, body: body, asked: r.Header, status: response.StatusCode, header: response.Header, answer: text})
	if token := response.Header.Get("Tidemark"); token != "" && method != http.MethodGet {
		e.mu.Lock()
		e.written = append(e.written, token)
		e.mu.Unlock()
	}
	return got{e.t, response.StatusCode, response.Header, text, method + " " + path}
}

// do makes a request and reads the answer.
func (e *edge) do(r *http.Request) (*http.Response, []byte) {
	e.t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return response, text
}

// json decodes the body.
func (g got) json() map[string]any {
	g.t.Helper()
	var value map[string]any
	if err := json.Unmarshal(g.body, &value); err != nil {
		g.t.Fatalf("%s: %v\n%s", g.what, err, g.body)
	}
	return value
}

func (g got) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(g.body, &p) // what is no problem has no code
	return p.Code
}

// expect checks status and code.
func (g got) expect(status int, code string) got {
	g.t.Helper()
	if g.status != status || code != "" && g.code() != code {
		g.t.Fatalf("%s: %d %s, want %d %s\n%.600s", g.what, g.status, g.code(), status, code, g.body)
	}
	return g
}

// shop is a small believable shop.
type shop struct {
	sku, order, account, customer string
}

// furnish makes a product with stock, an account with money and an order of a customer.
func (e *edge) furnish(customer string) shop {
	e.t.Helper()
	s := shop{sku: "TEA-" + strings.ToUpper(customer), customer: customer}
	e.send("POST", "/v1/products", map[string]any{"sku": s.sku, "name": "Tea", "unitPrice": 450, "currency": "EUR"}).expect(http.StatusCreated, "")
	e.send("POST", "/v1/inventory/"+s.sku+"/receipts", map[string]any{"quantity": 100}).expect(http.StatusCreated, "")
	s.account = e.send("POST", "/v1/accounts", map[string]any{"customerId": customer, "currency": "EUR"}).expect(http.StatusCreated, "").json()["id"].(string)
	e.send("POST", "/v1/accounts/"+s.account+"/deposits", map[string]any{"amount": 50000, "currency": "EUR"}).expect(http.StatusOK, "")
	s.order = e.order(s)
	return s
}

// order makes an order of the shop's customer.
func (e *edge) order(s shop) string {
	e.t.Helper()
	return e.send("POST", "/v1/orders", e.orderBody(s)).expect(http.StatusCreated, "").json()["id"].(string)
}

func (e *edge) orderBody(s shop) map[string]any {
	return map[string]any{"customerId": s.customer, "accountId": s.account, "currency": "EUR", "items": []any{map[string]any{"sku": s.sku, "quantity": 2, "unitPrice": 450}}}
}

// events counts everything that is in the log, claims of keys included, by category.
func (e *edge) events() map[string]int {
	e.t.Helper()
	counted := map[string]int{}
	done := fmt.Errorf("history has been read")
	err := e.app.store.Tail(e.t.Context(), domain.From{}, []string{"order-", "product-", "inventory-", "account-", "fulfilment-", "idempotency-"},
		func(_ context.Context, batch []domain.Delivery, _ uint64, live bool) error {
			for _, d := range batch {
				counted[domain.Category(d.Stream)]++
			}
			if live {
				return done
			}
			return nil
		})
	if err != done {
		e.t.Fatal(err)
	}
	return counted
}

// until waits for something to come true, or fails.
func (e *edge) until(what string, within time.Duration, holds func() bool) {
	e.t.Helper()
	eventually(e.t, what, within, holds)
}

// eventually waits for something to come true, or fails.
func eventually(t testing.TB, what string, within time.Duration, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(within)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", within, what)
		case <-tick.C:
		}
	}
}
