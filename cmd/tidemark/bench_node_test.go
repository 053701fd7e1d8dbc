package main

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"
)

// The benchmark checks what it reads; a short run of all of it shows that it still can.
func TestBenchNodePrintsEveryMeasurement(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := &program{out: &out, errs: io.Discard}
	if err := p.benchNode(t.Context(), benchOptions{duration: 20 * time.Millisecond, events: 5_300, dir: t.TempDir()}); err != nil {
		t.Fatal(err, out.String())
	}
	for _, want := range []string{
		"NodeStart/events=0-", "NodeStart/events=5300-", "NodeMemory/idle-",
		"BaselineReadStream/events=1000-", "NodeReadStream/events=1000-", "NodeReadStreamRatio/events=1000-",
		"NodeReadAll/events=5300-", "NodeTailFiltered/match=all/events=5300-", "NodeTailFiltered/match=fifth/events=5300-",
		"NodePersistentAcked/groups=1-", "NodePersistentAcked/groups=10-",
		"NodeFanOut/consumers=1-", "NodeFanOut/consumers=8-", "NodeFanOut/consumers=32-",
		"BaselineAppend/writers=1-", "NodeAppend/writers=1-", "NodeAppendRatio/writers=1-", "NodeAppendRatio/writers=8-",
		"NodeAppendRatio/writers=32-", "NodeAppendRatio/writers=128-", "NodeMemory-",
	} {
		if strings.Count(out.String(), "Benchmark"+want) != 1 {
			t.Errorf("%s is not there once", want)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestBenchNodeRefusesALogThatIsThere(t *testing.T) {
	p := &program{out: io.Discard, errs: io.Discard}
	dir := t.TempDir()
	options := benchOptions{duration: time.Millisecond, events: 1, dir: dir}
	if err := p.benchNode(t.Context(), options); err != nil {
		t.Fatal(err)
	}
	if err := p.benchNode(t.Context(), options); err == nil || !strings.Contains(err.Error(), "empty log") {
		t.Errorf("the second run over one directory: %v", err)
	}
}
