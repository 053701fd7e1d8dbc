package main

import (
	"strings"
	"testing"
)

// FuzzConfig: whatever settings say, they are taken or each named in a line of its own, and a password in a
// connection string is not repeated.
func FuzzConfig(f *testing.F) {
	f.Add("127.0.0.1:8080", "esdb://user:secret@host:2113?tls=true", "100", "info")
	f.Add(":", "esdb://", "off", "loud")
	f.Add("[::1]:0", "mongodb://a:b@c/d", "1e9", "")
	f.Fuzz(func(t *testing.T, addr, store, rate, level string) {
		c := Config{HTTPAddr: addr, NodeAddr: "off", Eventstore: store, Documents: store, RateLimit: rate, LogLevel: level, OrderOpenFor: 1, PrepareWithin: 1, RequestTimeout: 1}
		for _, problem := range c.check() {
			if !strings.HasPrefix(problem.Error(), envPrefix+"_") {
				t.Fatalf("%q names no setting", problem)
			}
		}
		if n, err := c.rateLimit(); err == nil && rate != "off" && !(n > 0 && n <= 1e6) {
			t.Fatalf("rate limit %q is %g", rate, n)
		}
		if shown := redact("esdb://user:" + "hunter2" + "@" + addr); strings.Contains(shown, "hunter2") && !strings.Contains(addr, "hunter2") {
			t.Fatalf("%q shows the password", shown)
		}
	})
}
