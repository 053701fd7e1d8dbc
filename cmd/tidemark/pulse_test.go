package main

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// pulse notes how much time the machine does not give to whoever needs it, processor and disk alike. A promise in
// seconds is held plus that: what a busy machine does not run, it can't make quick.
type pulse struct{ lost atomic.Int64 }

// pulseEvery is how often it beats; a beat may take as long again before time counts as lost.
const pulseEvery = 20 * time.Millisecond

// startPulse beats until the test ends.
func startPulse(t *testing.T) *pulse {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "pulse"))
	if err != nil {
		t.Fatal(err)
	}
	p, stop, ended := &pulse{}, make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(stop)
		<-ended
		file.Close()
	})
	go func() {
		defer close(ended)
		for began := time.Now(); ; began = time.Now() {
			select {
			case <-stop:
				return
			case <-time.After(pulseEvery):
			}
			_, err := file.WriteAt([]byte{1}, 0)
			if err == nil {
				err = file.Sync()
			}
			if err != nil {
				t.Errorf("pulse: %v", err)
				return
			}
			p.lost.Add(int64(max(0, time.Since(began)-2*pulseEvery)))
		}
	}()
	return p
}

// allowance gives what may be added to a promise made now. Work may need several turns of the machine, and a beat is
// counted when it is over; so it is more than what was lost.
func (p *pulse) allowance() func() time.Duration {
	before := p.lost.Load()
	return func() time.Duration { return 3*time.Duration(p.lost.Load()-before) + 10*pulseEvery }
}
