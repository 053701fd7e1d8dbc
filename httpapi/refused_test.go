package httpapi

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestRefusalsGetFewLinesAndAreAllCounted(t *testing.T) {
	var out bytes.Buffer
	r := refusals{log: slog.New(slog.NewTextHandler(&out, nil))}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	own := 0
	for i := range 1000 {
		if r.tell(now.Add(time.Duration(i) * time.Microsecond)) {
			own++
		}
	}
	if own != refusedLines || out.Len() != 0 {
		t.Fatalf("%d lines within a second, and: %s", own, out.String())
	}
	if !r.tell(now.Add(time.Second)) || !strings.Contains(out.String(), "requests=990") {
		t.Errorf("the next second begins with: %s", out.String())
	}
	out.Reset()
	if !r.tell(now.Add(5*time.Second)) || out.Len() != 0 {
		t.Errorf("a quiet second is told: %s", out.String())
	}
}
