package main

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// overloadVariable turns the overload test on: it wants the machine for itself for half a minute.
const overloadVariable = "TIDEMARK_TEST_OVERLOAD"

const (
	overloadStep  = 4 * time.Second
	overloadConns = 1024                 // connections of the open loop: what may be under way at once
	overloadLate  = 2 * time.Second      // an answer later than this after its request was due is no goodput
	overloadRSS   = uint64(512) << 20    // bytes that the service may hold at most
	settleWithin  = 60 * time.Second     // for the read models to catch up between steps
	maxDue        = 4 * overloadConns    // requests that may wait for a connection; more are not sent
	tick          = 2 * time.Millisecond // how often due requests are handed out
)

// load offers one request over and over to an address.
type load struct {
	addr    string
	request []byte
}

// tally counts answers by status; 0 is a connection that broke.
type tally struct {
	mu       sync.Mutex
	statuses map[int]int
	good     int // 2xx in time
	unsent   int
	slowest  time.Duration
}

func (c *tally) add(status int, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.statuses[status]++
	if status/100 == 2 && took <= overloadLate {
		c.good++
		c.slowest = max(c.slowest, took)
	}
}

func (c *tally) String() string {
	var b strings.Builder
	for _, status := range slices.Sorted(maps.Keys(c.statuses)) {
		fmt.Fprintf(&b, " %d×%d", status, c.statuses[status])
	}
	return strings.TrimSpace(b.String())
}

// client answers due requests over one connection, dialled anew when it breaks.
func (l load) client(due <-chan time.Time, counted *tally) {
	var conn net.Conn
	var reader *bufio.Reader
	for at := range due {
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", l.addr, overloadLate); err != nil {
				counted.add(0, 0)
				continue
			}
			reader = bufio.NewReaderSize(conn, 4096)
		}
		status, last := l.exchange(conn, reader)
		counted.add(status, time.Since(at))
		if last {
			conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// exchange sends the request and reads its answer by hand: net/http's client costs as much as the service.
func (l load) exchange(conn net.Conn, reader *bufio.Reader) (status int, last bool) {
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write(l.request); err != nil {
		return 0, true
	}
	line, err := reader.ReadSlice('\n')
	if err != nil || len(line) < 12 {
		return 0, true
	}
	status, _ = strconv.Atoi(string(line[9:12]))
	length := 0
	for {
		line, err := reader.ReadSlice('\n')
		if err != nil {
			return 0, true
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length":
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		case "Connection":
			last = strings.TrimSpace(value) == "close"
		}
	}
	if _, err := io.CopyN(io.Discard, reader, int64(length)); err != nil {
		return 0, true
	}
	return status, last
}

// closed keeps so many requests under way and gives the answers a second: the capacity.
func (l load) closed(callers int) float64 {
	counted := &tally{statuses: map[int]int{}}
	due := make(chan time.Time)
	var running sync.WaitGroup
	for range callers {
		running.Go(func() { l.client(due, counted) })
	}
	for end := time.Now().Add(overloadStep); time.Now().Before(end); {
		due <- time.Now()
	}
	close(due)
	running.Wait()
	return float64(counted.good) / overloadStep.Seconds()
}

// open offers so many requests a second whatever becomes of those before.
func (l load) open(rate float64) *tally {
	counted := &tally{statuses: map[int]int{}}
	due := make(chan time.Time, maxDue)
	var running sync.WaitGroup
	for range overloadConns {
		running.Go(func() { l.client(due, counted) })
	}
	ticks := time.NewTicker(tick)
	defer ticks.Stop()
	began, offered := time.Now(), 0
	for now := range ticks.C {
		elapsed := min(now.Sub(began), overloadStep)
		for ; offered < int(rate*elapsed.Seconds()); offered++ {
			select {
			case due <- began.Add(time.Duration(float64(offered) / rate * float64(time.Second))):
			default:
				counted.unsent++
			}
		}
		if elapsed == overloadStep {
			break
		}
	}
	close(due)
	running.Wait()
	return counted
}

// stepAside lowers the priority of this process, so that the client does not take the service's machine.
func stepAside(t *testing.T) {
	t.Helper()
	threads, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(threads) == 0 {
		t.Skip("priorities are set thread by thread, which this system does not list")
	}
	for _, thread := range threads { // threads made later have the priority of their maker
		if id, err := strconv.Atoi(filepath.Base(thread)); err == nil {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, id, 10) // the thread may have ended
		}
	}
}

// peakMemory is the most a process ever held, in bytes.
func peakMemory(t *testing.T, pid int) uint64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	var kilobytes uint64
	if _, err := fmt.Sscan(after, &kilobytes); err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// overloadKeeps is how much of the peak goodput each multiple of the capacity keeps. Offered exactly what it
// can do, a service does all of it, but for what noise takes: two measurements of the same thing differ.
var overloadKeeps = []struct {
	times int
	least float64
}{{1, .97}, {2, .85}, {4, .75}, {10, .5}}

// TestOverloadCostsLittleGoodput offers 1, 2, 4 and 10 times of what the service can do and holds that it
// goes on doing most of that: what is too much is refused before work.
//
// Capacity is what 64 callers get who each wait for their answer (a closed loop). The steps are open loops:
// requests come evenly, whether or not those before were answered. Goodput is 2xx within overloadLate of
// when the request was due, per second of the step. Peak goodput is the capacity: the most that was seen done
// when no more was asked for than could be done.
func TestOverloadCostsLittleGoodput(t *testing.T) {
	if os.Getenv(overloadVariable) == "" {
		t.Skip("set " + overloadVariable + "=1; it wants the machine for itself")
	}
	p := startProcess(t, t.TempDir(), nil, "TIDEMARK_LOG_LEVEL=info", "TIDEMARK_LOG_FORMAT=json")
	stepAside(t)
	e := &edge{t: t, app: &app{url: p.api.base}}
	s := e.furnish("ann")
	body := fmt.Sprintf(`{"customerId":"ann","accountId":%q,"currency":"EUR","items":[{"sku":%q,"quantity":1,"unitPrice":450}]}`, s.account, s.sku)
	l := load{addr: strings.TrimPrefix(p.api.base, "http://"), request: fmt.Appendf(nil,
		"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}
	l.closed(16) // warm
	capacity := l.closed(64)
	t.Logf("capacity %.0f orders a second with 64 callers; load average %s", capacity, loadAverage())
	goodput := map[int]float64{}
	table := []string{"times  offered/s  good/s  refused/s  not sent  slowest  memory  statuses"}
	for _, step := range overloadKeeps {
		times := step.times
		e.until("the screens have caught up", settleWithin, e.caughtUp)
		counted := l.open(capacity * float64(times))
		goodput[times] = float64(counted.good) / overloadStep.Seconds()
		refused := float64(counted.statuses[http.StatusTooManyRequests]+counted.statuses[http.StatusServiceUnavailable]) / overloadStep.Seconds()
		table = append(table, fmt.Sprintf("%4d×  %9.0f  %6.0f  %9.0f  %8d  %7s  %3d MiB %s", times, capacity*float64(times), goodput[times], refused,
			counted.unsent, counted.slowest.Round(time.Millisecond), peakMemory(t, p.cmd.Process.Pid)>>20, counted))
		for status := range counted.statuses {
			if status/100 != 2 && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
				t.Errorf("%d×: %d answers with status %d", times, counted.statuses[status], status)
			}
		}
	}
	t.Logf("load average %s\n%s", loadAverage(), strings.Join(table, "\n"))
	for _, step := range overloadKeeps {
		kept := goodput[step.times] / capacity
		t.Logf("%2d× keeps %3.0f %% of peak goodput, wanted %.0f %%", step.times, 100*kept, 100*step.least)
		if kept < step.least {
			t.Errorf("%d× keeps %.0f %% of peak goodput, want %.0f", step.times, 100*kept, 100*step.least)
		}
	}
	if held := peakMemory(t, p.cmd.Process.Pid); held > overloadRSS {
		t.Errorf("the service held %d MiB", held>>20)
	}
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg") // decoration
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
