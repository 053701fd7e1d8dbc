package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds what the client reads of one answer.
const maxAnswer = 64 << 20

// apiClient calls a running service as any other client would: the operator commands, the demo and
// the import have no way around the public API.
type apiClient struct {
	base  string // "http://127.0.0.1:8080"
	token string
	own   bool // the service runs in this process, for this one command
	http  *http.Client
}

func newAPIClient(base, token string) *apiClient {
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       30 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
	}
	return &apiClient{base: strings.TrimRight(base, "/"), token: token, http: &http.Client{Transport: transport}}
}

// problem is a refusal by the service.
type problem struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Title    string `json:"title"`
	Detail   string `json:"detail"`
	Findings []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
	retryAfter time.Duration
}

// Error implements error: one line for a person.
func (p *problem) Error() string {
	text := strings.TrimSuffix(p.Detail, ".")
	if text == "" {
		text = p.Title
	}
	for _, f := range p.Findings {
		text += fmt.Sprintf("; %s: %s", f.Pointer, strings.TrimSuffix(f.Detail, "."))
	}
	return fmt.Sprintf("%s (%d %s)", text, p.Status, p.Code)
}

// answer is a finished call.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends one request and decodes the answer into out, unless that is nil. A refusal comes back as
// *problem. Refusals that name a time to come back (429, 503) are obeyed up to three times.
func (c *apiClient) call(ctx context.Context, method, path string, in, out any, headers ...string) (answer, error) {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return answer{}, err
		}
	}
	for attempt := 1; ; attempt++ {
		got, err := c.once(ctx, method, path, body, headers)
		if refusal, ok := errors.AsType[*problem](err); ok && refusal.retryAfter > 0 && attempt <= 3 {
			select {
			case <-time.After(refusal.retryAfter):
				continue
			case <-ctx.Done():
				return answer{}, ctx.Err()
			}
		}
		if err != nil {
			return got, err
		}
		if out != nil && len(got.body) > 0 {
			if err := json.Unmarshal(got.body, out); err != nil {
				return got, fmt.Errorf("%s %s answered what can't be read: %w", method, path, err)
			}
		}
		return got, nil
	}
}

// unreachable says in a person's words why there was no answer at all.
func (c *apiClient) unreachable(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no service answers at %s; start one with tidemark serve, or name another with --api", redact(c.base))
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		err = request.Err // the rest repeats the address
	}
	return fmt.Errorf("%s can't be reached: %w", redact(c.base), err)
}

func (c *apiClient) once(ctx context.Context, method, path string, body []byte, headers []string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != nil {
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
		return answer{}, c.unreachable(ctx, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s broke off: %w", method, path, err)
	}
	got := answer{status: response.StatusCode, header: response.Header, body: text}
	if response.StatusCode < 400 {
		return got, nil
	}
	refusal := &problem{Status: response.StatusCode, Title: response.Status}
	if strings.Contains(response.Header.Get("Content-Type"), "json") {
		_ = json.Unmarshal(text, refusal) // what can't be read leaves the status line
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		refusal.retryAfter = min(time.Duration(max(seconds, 1))*time.Second, 10*time.Second)
	}
	return got, refusal
}

// maxListed bounds what a command lists.
const maxListed = 10_000

// all reads a list to its end, page by page; a list with more than maxListed items is cut there.
func (c *apiClient) all(ctx context.Context, path string) ([]byte, error) {
	items := []json.RawMessage{}
	var next *string
	for {
		at := path + separator(path) + "limit=200"
		if next != nil {
			at += "&cursor=" + url.QueryEscape(*next)
		}
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor *string           `json:"nextCursor"`
		}
		if _, err := c.call(ctx, "GET", at, nil, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if next = page.NextCursor; next == nil || len(items) >= maxListed {
			return json.Marshal(map[string]any{"items": items, "nextCursor": next})
		}
	}
}

// items decodes a whole list.
func (c *apiClient) items(ctx context.Context, path string, out any) error {
	body, err := c.all(ctx, path)
	if err != nil {
		return err
	}
	var list struct {
		Items json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return err
	}
	return json.Unmarshal(list.Items, out)
}

func separator(path string) string {
	if strings.Contains(path, "?") {
		return "&"
	}
	return "?"
}
