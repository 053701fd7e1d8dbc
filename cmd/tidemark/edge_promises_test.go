package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
)

// carried is a command that was carried out, with its first answer.
type carried struct {
	method, path, key string
	body              any
	first             got
}

// promising sends commands and holds what the API promises of each of them.
type promising struct {
	*edge
	done []carried
}

// do sends one command. Before it a dry run and one at a revision that nobody is at change nothing; then it
// is applied under a key, at exactly the revision that entity, if there is one already, is at.
func (p *promising) do(method, path string, body any, status int, entity string) map[string]any {
	p.t.Helper()
	c := carried{method, path, uuid.NewString(), body, got{}}
	mark := "?"
	if strings.Contains(path, "?") {
		mark = "&"
	}
	before := p.events()
	dry := p.send(method, path+mark+"dryRun=true", body, "Idempotency-Key", c.key).expect(http.StatusOK, "")
	headers := []string{"Idempotency-Key", c.key}
	if entity != "" {
		at := p.send("GET", entity, nil, "Tidemark", p.done[len(p.done)-1].first.header.Get("Tidemark"), "Prefer", "wait=30").expect(http.StatusOK, "").header.Get("ETag")
		wrong := p.send(method, path, body, "Idempotency-Key", c.key, "If-Match", `"999"`).expect(http.StatusPreconditionFailed, "revision_mismatch")
		if current := wrong.json()["currentRevision"]; current == nil || `"`+strings.TrimSuffix(jsonText(current), ".0")+`"` != at {
			p.t.Errorf("%s %s: currentRevision %v at ETag %s", method, path, current, at)
		}
		headers = append(headers, "If-Match", at)
	}
	if after := p.events(); jsonText(after) != jsonText(before) {
		p.t.Errorf("%s %s: a dry run or a refusal appended: %v, %v before", method, path, after, before)
	}
	c.first = p.send(method, path, body, headers...).expect(status, "")
	if c.first.header.Get("Tidemark") == "" || c.first.header.Get("ETag") == "" || c.first.header.Get("Idempotent-Replayed") != "" {
		p.t.Errorf("%s %s: %v", method, path, c.first.header)
	}
	if entity != "" && dry.json()["revision"] != c.first.json()["revision"] {
		p.t.Errorf("%s %s: the dry run foresaw revision %v, it became %v", method, path, dry.json()["revision"], c.first.json()["revision"])
	}
	p.done = append(p.done, c)
	return c.first.json()
}

// repeat sends everything again and wants the first answers, byte for byte, and no new event.
func (p *promising) repeat(when string) {
	p.t.Helper()
	before := p.events()
	for _, c := range p.done {
		again := p.send(c.method, c.path, c.body, "Idempotency-Key", c.key).expect(c.first.status, "")
		if string(again.body) != string(c.first.body) || again.header.Get("Idempotent-Replayed") != "true" {
			p.t.Errorf("%s, %s %s answers\n%s\nfirst\n%s", when, c.method, c.path, again.body, c.first.body)
		}
		for _, name := range []string{"ETag", "Tidemark", "Location", "Content-Type"} {
			if again.header.Get(name) != c.first.header.Get(name) {
				p.t.Errorf("%s, %s %s: %s %q, first %q", when, c.method, c.path, name, again.header.Get(name), c.first.header.Get(name))
			}
		}
	}
	if after := p.events(); jsonText(after) != jsonText(before) {
		p.t.Errorf("%s, repeats appended: %v, %v before", when, after, before)
	}
}

// reaches waits until a field has a value.
func (p *promising) reaches(path, field string, want any) {
	p.t.Helper()
	p.until(path+" is "+jsonText(want), patience, func() bool { return p.send("GET", path, nil).json()[field] == want })
}

// TestEveryCommandKeepsItsPromises: a dry run changes nothing, If-Match applies at one revision only, and
// the same key gets the same answer, from memory, from snapshots, from first events and after a restart.
func TestEveryCommandKeepsItsPromises(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{config: func(c *Config) { c.SnapshotEvery = 2; c.RateLimit = "off" }})
	p := &promising{edge: e}
	products, stock := "/v1/products/TEA", "/v1/inventory/TEA"
	p.do("POST", "/v1/products", map[string]any{"sku": "TEA", "name": "Tea", "unitPrice": 400, "currency": "EUR"}, 201, "")
	p.do("POST", products+"/price", map[string]any{"unitPrice": 450, "currency": "EUR"}, 200, products)
	p.do("POST", stock+"/receipts", map[string]any{"quantity": 100}, 201, "")
	p.do("POST", stock+"/receipts", map[string]any{"quantity": 5, "reference": "more"}, 200, stock)
	p.do("POST", stock+"/damages", map[string]any{"quantity": 1, "reason": "wet"}, 200, stock)
	held := uuid.NewString()
	p.do("POST", stock+"/reservations", map[string]any{"orderId": held, "quantity": 3}, 200, stock)
	p.do("DELETE", stock+"/reservations/"+held, nil, 200, stock)
	account := p.do("POST", "/v1/accounts", map[string]any{"customerId": "ann", "currency": "EUR"}, 201, "")["id"].(string)
	at := "/v1/accounts/" + account
	for range 3 { // over the snapshots' distance
		p.do("POST", at+"/deposits", map[string]any{"amount": 5000, "currency": "EUR", "reference": "cash"}, 200, at)
		p.do("POST", at+"/withdrawals", map[string]any{"amount": 10, "currency": "EUR"}, 200, at)
		p.do("POST", at+"/credits", map[string]any{"amount": 3, "currency": "EUR", "reason": "sorry"}, 200, at)
	}
	other := p.do("POST", "/v1/accounts", map[string]any{"customerId": "bob", "currency": "EUR"}, 201, "")["id"].(string)
	p.do("POST", "/v1/accounts/"+other+"/close", nil, 200, "/v1/accounts/"+other)
	order := map[string]any{"customerId": "ann", "accountId": account, "currency": "EUR", "items": []any{map[string]any{"sku": "TEA", "quantity": 2, "unitPrice": 450}}}
	first := "/v1/orders/" + p.do("POST", "/v1/orders", order, 201, "")["id"].(string)
	p.do("POST", first+"/items", map[string]any{"sku": "TEA", "quantity": 2, "unitPrice": 450}, 200, first)
	p.do("DELETE", first+"/items/TEA?quantity=1", nil, 200, first)
	second := "/v1/orders/" + p.do("POST", "/v1/orders", order, 201, "")["id"].(string)
	p.do("POST", second+"/cancel", map[string]any{"reason": "changed my mind"}, 200, second)
	p.send("POST", first+"/confirm", nil, "If-Match", `"999"`).expect(http.StatusPreconditionFailed, "revision_mismatch")
	p.done = append(p.done, carried{"POST", first + "/confirm", "confirm", nil, p.send("POST", first+"/confirm", nil, "Idempotency-Key", "confirm").expect(200, "")})
	p.reaches(first, "status", "prepared")
	p.reaches(strings.Replace(first, "orders", "fulfilments", 1), "status", "prepared")
	p.do("POST", first+"/ship", map[string]any{"carrier": "DHL", "trackingNumber": "4711"}, 200, first)
	p.reaches(strings.Replace(first, "orders", "fulfilments", 1), "status", "completed")
	p.do("POST", products+"/withdraw", nil, 200, products)

	p.repeat("at once")
	e.stop()
	e.start()
	p.repeat("after a restart, from snapshots")
	e.stop()
	e.config.SnapshotEvery = 0
	e.start()
	p.repeat("after a restart, from first events")
}

// jsonText is a value in one line; members of objects are sorted.
func jsonText(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestAMalformedTokenIsSaidFirst: by every query, also where the thing that it asks for does not exist.
func TestAMalformedTokenIsSaidFirst(t *testing.T) {
	e := startEdge(t, edgeOptions{})
	good := e.send("POST", "/v1/accounts", `{"customerId":"ann","currency":"EUR"}`).expect(http.StatusCreated, "").header.Get("Tidemark")
	unknown := strings.NewReplacer("{id}", uuid.NewString(), "{orderId}", uuid.NewString(), "{sku}", "NONE")
	asked := 0
	for path, item := range e.documented().document.Paths.Map() {
		if item.Get == nil || item.Get.Parameters.GetByInAndName("header", "Tidemark") == nil {
			continue
		}
		asked++
		target := unknown.Replace(path)
		for _, token := range []string{"nonsense", good + "x", good + ", nonsense", ",", good[:len(good)-1]} {
			e.send("GET", target, nil, "Tidemark", token).expect(http.StatusBadRequest, "invalid_tidemark")
			e.send("GET", target+"?after="+url.QueryEscape(token), nil).expect(http.StatusBadRequest, "invalid_tidemark")
		}
		if got := e.send("GET", target, nil, "Tidemark", good+", "+good); got.status != http.StatusOK && got.status != http.StatusNotFound {
			t.Errorf("%s with good tokens: %d %s", target, got.status, got.body)
		}
	}
	if asked < 15 {
		t.Errorf("only %d queries take tokens", asked)
	}
}
