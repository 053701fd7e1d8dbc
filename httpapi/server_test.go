package httpapi

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// patience bounds every wait of a test. Only a test that fails needs it, so it is generous.
const patience = time.Minute

// eventually waits until holds does, or fails.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("not within %s: %s", patience, what)
		case <-tick.C:
		}
	}
}

func TestEachPrincipalHasItsRate(t *testing.T) {
	i := newIssuer(t)
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	w := i.secured(func(o *Options) {
		o.RateLimit = 5
		o.Now = func() time.Time { return time.Unix(0, now.Load()) }
	})
	ann, ben := i.good(map[string]any{"sub": "ann"}), i.good(map[string]any{"sub": "ben"})
	w.token = ann
	for n := range 20 {
		if got := w.send("GET", "/v1/board", ""); got.Code != http.StatusOK {
			t.Fatalf("request %d of a burst of 4 × 5: %d", n, got.Code)
		}
	}
	got := w.send("GET", "/v1/board", "").expect(http.StatusTooManyRequests, "rate_limited")
	if seconds, err := strconv.Atoi(got.Header().Get("Retry-After")); err != nil || seconds < 1 || seconds > 2 {
		t.Errorf("Retry-After %q", got.Header().Get("Retry-After"))
	}
	w.token = ben
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	w.token = ann
	now.Add(int64(time.Second))
	for range 5 {
		w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	}
	w.send("GET", "/v1/board", "").expect(http.StatusTooManyRequests, "rate_limited")
	w.token = "made up"
	for range 20 {
		w.send("GET", "/v1/board", "").expect(http.StatusUnauthorized, "unauthenticated")
	}
	w.send("GET", "/v1/board", "").expect(http.StatusTooManyRequests, "rate_limited") // by address: guessing is slow
	w.send("GET", "/healthz", "").expect(http.StatusOK, "")
}

// Addresses of version 6 come by the network: whoever has one has all of it.
func TestAddressesOfOneNetworkAreOneCaller(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "2001:db8:1:2::9": "2001:db8:1:2::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "nonsense": "nonsense",
	} {
		if got := networkOf(ip); got != want {
			t.Errorf("%s is of %s, want %s", ip, got, want)
		}
	}
	w := newIssuer(t).secured(func(o *Options) { o.RateLimit, o.RateBurst, o.TrustedProxies = 0.001, 5, []string{"192.0.2.0/24"} })
	ask := func(ip string) int { return w.send("GET", "/v1/board", "", "X-Forwarded-For", ip).Code }
	for n := range 5 {
		if got := ask(fmt.Sprintf("2001:db8::%x", n)); got != http.StatusUnauthorized {
			t.Fatalf("%d", got)
		}
	}
	if got := ask("2001:db8::ffff"); got != http.StatusTooManyRequests {
		t.Errorf("another address of the network: %d", got)
	}
	if got := ask("2001:db8:0:1::1"); got != http.StatusUnauthorized {
		t.Errorf("another network: %d", got)
	}
}

func TestLoopbackWithoutKeysHasNoRate(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RateLimit = 1 })
	for range 50 {
		w.send("GET", "/v1/board", "").expect(http.StatusOK, "")
	}
}

func TestTheLimiterForgetsCallersItNeedsNotRemember(t *testing.T) {
	now := time.Now()
	l := newLimiter(10, 40, func() time.Time { return now })
	for n := range 2 * maxCallers {
		l.take(strconv.Itoa(n))
	}
	if n := len(l.current) + len(l.before); n > maxCallers {
		t.Errorf("%d callers", n)
	}
	for range 2 {
		now = now.Add(2 * time.Minute)
		l.take("one")
	}
	if n := len(l.current) + len(l.before); n != 2 {
		t.Errorf("%d remembered after two quiet turns", n)
	}
	for n := range 2 * maxCallers / 2 { // who comes often is not forgotten in a flood of others
		if l.take(strconv.Itoa(n)); n%1000 == 0 {
			l.take("one")
		}
	}
	if _, ok := l.take("one"); ok && l.bucket("one", now).TokensAt(now) > 30 {
		t.Error("a caller got a new bucket")
	}
}

// TestMoreThanFitsIsRefusedBeforeWork: slots and queue full, the rest goes away at once.
func TestMoreThanFitsIsRefusedBeforeWork(t *testing.T) {
	var shed atomic.Int64
	w := newWorld(t, func(o *Options) {
		o.Limits = Limits{Commands: 2, Queue: 3, QueueWait: time.Minute}
		o.Hooks.Shed = func(class, reason string) {
			if class == classCommand && reason == "queue" {
				shed.Add(1)
			}
		}
	})
	w.commands.block = make(chan struct{})
	codes := make(chan int, 20)
	var sending sync.WaitGroup
	for range 5 {
		sending.Go(func() { codes <- w.send("POST", "/v1/orders", orderBody).Code })
	}
	g := w.gates[classCommand]
	eventually(t, "two at work and three waiting", func() bool { return len(g.slots) == 2 && g.waiting.Load() == 3 })
	for range 10 {
		got := w.send("POST", "/v1/orders", orderBody).expect(http.StatusServiceUnavailable, "overloaded")
		if got.Header().Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
	}
	if shed.Load() != 10 {
		t.Errorf("%d shed", shed.Load())
	}
	w.send("GET", "/v1/board", "").expect(http.StatusOK, "") // another class has its own room
	close(w.commands.block)
	sending.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusCreated {
			t.Errorf("one that waited got %d", code)
		}
	}
	if len(g.slots) != 0 || g.waiting.Load() != 0 {
		t.Errorf("%d slots and %d places are still taken", len(g.slots), g.waiting.Load())
	}
}

func TestACommandThatTakesTooLongIsUnknown(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.RequestTimeout = 20 * time.Millisecond })
	w.commands.block = make(chan struct{})
	defer close(w.commands.block)
	w.send("POST", "/v1/orders", orderBody).expect(http.StatusGatewayTimeout, "outcome_unknown")
}

func TestABodyThatDoesNotComeHoldsNothingUp(t *testing.T) {
	w := newWorld(t)
	addr := w.listening()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/orders HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", addr); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.send("POST", "/v1/orders", orderBody).expect(http.StatusCreated, "")
	}
	if n := len(w.gates[classCommand].slots); n != 0 {
		t.Errorf("a body on its way holds %d slots", n)
	}
}

func TestEveryAnswerHasTheHeadersThatKeepBrowsersSafe(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{"/v1/board", "/nothing", "/healthz", "/docs", "/openapi.json"} {
		h := w.send("GET", target, "").Header()
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Content-Security-Policy") == "" || h.Get("X-Request-Id") == "" {
			t.Errorf("%s: %v", target, h)
		}
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Server") != "" {
			t.Errorf("%s: %v", target, h)
		}
	}
}

func TestOtherOriginsAreLetInByNameOnly(t *testing.T) {
	shop := "https://shop.example"
	i := newIssuer(t)
	w := i.secured(func(o *Options) { o.CORSOrigins = []string{shop} })
	preflight := func(origin string) http.Header {
		return w.send("OPTIONS", "/v1/orders", "", "Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,content-type").Header()
	}
	h := preflight(shop)
	if h.Get("Access-Control-Allow-Origin") != shop || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Idempotency-Key") || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight %v", h)
	}
	for _, origin := range []string{"https://evil.example", "http://shop.example", "https://shop.example.evil.example", "null", "https://shop.example:8443"} {
		if got := preflight(origin).Get("Access-Control-Allow-Origin"); got != "" {
			t.Errorf("%s is let in as %s", origin, got)
		}
	}
	w.token = i.good(nil)
	got := w.send("GET", "/v1/board", "", "Origin", shop).expect(http.StatusOK, "")
	if !strings.Contains(got.Header().Get("Access-Control-Expose-Headers"), "Tidemark") || !slices.Contains(got.Header().Values("Vary"), "Origin") {
		t.Errorf("%v", got.Header())
	}
	for _, wrong := range []string{"*", "https://*.example", "shop.example", "https://shop.example/", "ftp://shop.example"} {
		if err := (Options{CORSOrigins: []string{wrong}}).Validate("127.0.0.1:1"); err == nil {
			t.Errorf("%q passes as an origin", wrong)
		}
	}
}

func TestForwardedAddressesAreBelievedFromProxiesOnly(t *testing.T) {
	plain := newWorld(t)
	behind := newWorld(t, func(o *Options) { o.TrustedProxies = []string{"10.0.0.0/8", "::1/128"} })
	for _, c := range []struct {
		w       *world
		remote  string
		forward []string
		want    string
	}{
		{plain, "203.0.113.5:99", []string{"1.2.3.4"}, "203.0.113.5"},
		{behind, "203.0.113.5:99", []string{"1.2.3.4"}, "203.0.113.5"},
		{behind, "10.1.1.1:99", []string{"1.2.3.4"}, "1.2.3.4"},
		{behind, "10.1.1.1:99", []string{"6.6.6.6, 1.2.3.4, 10.9.9.9"}, "1.2.3.4"},
		{behind, "10.1.1.1:99", []string{"6.6.6.6", "1.2.3.4"}, "1.2.3.4"},
		{behind, "10.1.1.1:99", []string{"1.2.3.4, nonsense"}, "10.1.1.1"},
		{behind, "10.1.1.1:99", nil, "10.1.1.1"},
		{behind, "[::1]:99", []string{"2001:db8::7"}, "2001:db8::7"},
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.RemoteAddr = c.remote
		r.Header["X-Forwarded-For"] = c.forward
		r.Header.Set("X-Real-Ip", "9.9.9.9")
		if got := c.w.clientIP(r); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.remote, c.forward, got, c.want)
		}
	}
	if _, err := New(Options{TrustedProxies: []string{"everybody"}}); err == nil {
		t.Error("a proxy that is no CIDR passes")
	}
}

func TestReadinessTellsWhichOnlyToThoseWithARole(t *testing.T) {
	i := newIssuer(t)
	status := "ok"
	ready := func(context.Context) []Check {
		return []Check{{Name: "event store", Kind: "dependency", Status: status, Detail: "secret address"}, {Name: "board", Kind: "readmodel", Status: "degraded"}}
	}
	w := i.secured(func(o *Options) { o.Ready = ready })
	anonymous := w.send("GET", "/readyz", "").expect(http.StatusOK, "")
	w.token = i.good(map[string]any{"role": "customer"})
	known := w.send("GET", "/readyz", "").expect(http.StatusOK, "")
	if strings.Contains(anonymous.Body.String(), "checks") || !strings.Contains(known.Body.String(), "event store") {
		t.Errorf("anonymous %s, known %s", anonymous.Body, known.Body)
	}
	status = "failed"
	known = w.send("GET", "/readyz", "").expect(http.StatusServiceUnavailable, "service_not_ready")
	w.token = ""
	anonymous = w.send("GET", "/readyz", "").expect(http.StatusServiceUnavailable, "service_not_ready")
	if strings.Contains(anonymous.Body.String(), "secret") || !strings.Contains(known.Body.String(), "secret") {
		t.Errorf("anonymous %s, known %s", anonymous.Body, known.Body)
	}
	w.send("GET", "/healthz", "").expect(http.StatusOK, "")
}

func TestStoppingDrainsAndRefusesWhatComesLate(t *testing.T) {
	w := newWorld(t)
	addr := w.listening()
	w.commands.block = make(chan struct{})
	answer := make(chan int, 1)
	go func() {
		response, err := http.Post("http://"+addr+"/v1/orders", "application/json", strings.NewReader(orderBody))
		if err != nil {
			answer <- -1
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		answer <- response.StatusCode
	}()
	eventually(t, "a command at work", func() bool { return len(w.commands.took()) == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(t.Context()) }()
	eventually(t, "stopping", func() bool { return w.stopping.Load() })
	w.send("GET", "/v1/board", "").expect(http.StatusServiceUnavailable, "stopping")
	w.send("GET", "/readyz", "").expect(http.StatusServiceUnavailable, "service_not_ready")
	close(w.commands.block)
	if code := <-answer; code != http.StatusCreated {
		t.Errorf("what was under way got %d", code)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestAServerWithoutKeysDoesNotServeTheWorld(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := w.Start(listener); err == nil {
		t.Error("it serves everybody")
	}
}

// Probes tell what failed, as a problem like the API's.
func TestProbesTellWhatFailed(t *testing.T) {
	status := "ok"
	mux := http.NewServeMux()
	Probes(mux, func(context.Context) []Check {
		return []Check{{Name: "event store", Kind: "dependency", Status: status}}
	})
	ask := func(want int) string {
		t.Helper()
		recorder := httptest.NewRecorder()
		mux.ServeHTTP(recorder, httptest.NewRequest("GET", "/readyz", nil))
		if recorder.Code != want {
			t.Errorf("%s: %d, want %d", status, recorder.Code, want)
		}
		return recorder.Body.String()
	}
	ask(http.StatusOK)
	status = "failed"
	if body := ask(http.StatusServiceUnavailable); !strings.Contains(body, `"code":"service_not_ready"`) || !strings.Contains(body, `"status":"failed"`) {
		t.Errorf("says %s", body)
	}
	status = "degraded"
	ask(http.StatusOK)
}
