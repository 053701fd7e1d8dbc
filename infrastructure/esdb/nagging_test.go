package esdb

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestAFailureThatGoesOnIsToldOnceInAWhile: an outage of an hour is some lines a subscription, not thousands.
func TestAFailureThatGoesOnIsToldOnceInAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := slog.New(slog.NewTextHandler(&text, nil))
		var broke nagging
		for range 3600 {
			broke.warn(log, "it broke off", "error", "gone")
			<-time.After(time.Second)
		}
		lines := strings.Split(strings.TrimSpace(text.String()), "\n")
		if len(lines) != 60 || strings.Contains(lines[0], "repeated") || !strings.Contains(lines[1], "repeated=59") {
			t.Errorf("%d lines for 3600 failures, at first\n%s\n%s", len(lines), lines[0], lines[1])
		}
	})
}
