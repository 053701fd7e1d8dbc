package telemetry

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestACollectorThatIsAwayFillsNoLog: it fails every batch, many times a minute under load.
func TestACollectorThatIsAwayFillsNoLog(t *testing.T) {
	var text bytes.Buffer
	now := time.Unix(0, 0)
	l := &lost{log: slog.New(slog.NewTextHandler(&text, nil)), now: func() time.Time { return now }}
	for range 3600 {
		l.Handle(errors.New("refused"))
		now = now.Add(time.Second)
	}
	if n := strings.Count(text.String(), "spans were lost"); n != 60 {
		t.Errorf("%d lines about 3600 batches", n)
	}
}

// TestTimesInTheLogCanBeRead: a number of nanoseconds says nowhere what it is.
func TestTimesInTheLogCanBeRead(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		var text bytes.Buffer
		log, err := NewLogger(&text, "info", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("connected", "after", 1500*time.Millisecond)
		if !strings.Contains(text.String(), "1.5s") {
			t.Errorf("%s: %s", format, &text)
		}
	}
}
