package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
)

// shopClient is an example of a client in Go, to be copied: it repeats safely, reads its own writes and
// tells refusals from failures. TestAClientThatRepeatsSafely keeps it working.
type shopClient struct {
	base, token string
	http        *http.Client
	tidemark    string // of the newest write: queries wait until they include it
}

// refusal is a problem document: Code is what programs look at.
type refusal struct {
	Status          int    `json:"status"`
	Code            string `json:"code"`
	Detail          string `json:"detail"`
	CurrentRevision *int64 `json:"currentRevision"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%d): %s", r.Code, r.Status, r.Detail) }

// command sends a command until there is an answer that will not change. The key is made once, so however
// often the request arrives it is carried out once.
func (c *shopClient) command(ctx context.Context, method, path string, in, out any) error {
	key := uuid.NewString()
	for {
		header, err := c.once(ctx, method, path, in, out, "Idempotency-Key", key)
		if err == nil {
			c.tidemark = header.Get("Tidemark")
			return nil
		}
		if again, wait := repeatable(err, header); !again {
			return err
		} else if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

// query asks for a state that includes everything this client has written.
func (c *shopClient) query(ctx context.Context, path string, out any) error {
	_, err := c.once(ctx, http.MethodGet, path, nil, out, "Tidemark", c.tidemark, "Prefer", "wait=10")
	return err
}

func (c *shopClient) once(ctx context.Context, method, path string, in, out any, headers ...string) (http.Header, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		r := &refusal{Status: response.StatusCode}
		_ = json.NewDecoder(response.Body).Decode(r) // a proxy in between may answer otherwise
		return response.Header, r
	}
	return response.Header, json.NewDecoder(response.Body).Decode(out)
}

// repeatable: 429, 503 and 504 pass, and so do broken connections; anything else is an answer.
func repeatable(err error, header http.Header) (bool, time.Duration) {
	var r *refusal
	if errors.As(err, &r) && r.Status != 429 && r.Status != 503 && r.Status != 504 {
		return false, 0
	}
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil {
		return true, 100 * time.Millisecond
	}
	return true, time.Duration(seconds) * time.Second
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// forgetful is a network that loses every second answer after the request was carried out.
type forgetful struct{ calls int }

func (f *forgetful) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if f.calls++; err == nil && f.calls%2 == 1 && r.Method != http.MethodGet {
		response.Body.Close()
		return nil, errors.New("connection reset by peer")
	}
	return response, err
}

func TestAClientThatRepeatsSafely(t *testing.T) {
	t.Parallel()
	e := startEdge(t, edgeOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := &shopClient{base: e.app.url, http: &http.Client{Transport: &forgetful{}}}
	var account, order struct {
		ID      string
		Balance int64
		Status  string
	}
	open := map[string]any{"customerId": "ann", "currency": "EUR"}
	if err := c.command(ctx, "POST", "/v1/accounts", open, &account); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := c.command(ctx, "POST", "/v1/accounts/"+account.ID+"/deposits", map[string]any{"amount": 100, "currency": "EUR"}, &account); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.query(ctx, "/v1/accounts/"+account.ID, &account); err != nil || account.Balance != 500 {
		t.Fatalf("balance %d after five deposits of 100: %v", account.Balance, err)
	}
	lines := []any{map[string]any{"sku": "TEA", "quantity": 1, "unitPrice": 400}}
	if err := c.command(ctx, "POST", "/v1/orders", map[string]any{"customerId": "ann", "accountId": account.ID, "currency": "EUR", "items": lines}, &order); err != nil {
		t.Fatal(err)
	}
	var list struct{ Items []struct{ ID string } }
	if err := c.query(ctx, "/v1/customers/ann/orders", &list); err != nil || len(list.Items) != 1 || list.Items[0].ID != order.ID {
		t.Fatalf("the list after the order: %+v %v", list, err)
	}
	var said *refusal
	if err := c.command(ctx, "POST", "/v1/orders/"+order.ID+"/ship", map[string]any{"carrier": "x", "trackingNumber": "y"}, &order); !errors.As(err, &said) || said.Code != "invalid_transition" {
		t.Fatalf("shipping an unconfirmed order: %v", err)
	}
}
