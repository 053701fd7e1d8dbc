package main

import (
	"bufio"
	"errors"
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

// overloadVariable turns the overload test on: it wants the machine for itself for two minutes.
const overloadVariable = "TIDEMARK_TEST_OVERLOAD"

const (
	overloadStep  = 4 * time.Second
	overloadConns = 1024                 // connections of the open loop: what may be under way at once
	overloadLate  = 2 * time.Second      // an answer later than this after its request was due is no goodput
	overloadRSS   = uint64(640) << 20    // bytes that the service may hold at most: its caches fill during the test, up to their bounds
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

// processorTime is what a process has used of the processors so far.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // the name may have spaces
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100 on every Linux
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
// Capacity is what 64 callers get who each wait for their answer (a closed loop). It is measured before and
// after each step, since machines that are shared change their pace from one minute to the next. The steps
// are open loops: requests come evenly, whether or not those before were answered. Goodput is 2xx within
// overloadLate of when the request was due, per second of the step. Peak goodput is the mean of the two
// capacities around the step: the most that was seen done when no more was asked for than could be done.
// What is kept is the median of overloadRounds.
func TestOverloadCostsLittleGoodput(t *testing.T) {
	if os.Getenv(overloadVariable) == "" {
		t.Skip("set " + overloadVariable + "=1; it wants the machine for itself")
	}
	p := startProcess(t, t.TempDir(), nil, "TIDEMARK_LOG_LEVEL=info", "TIDEMARK_LOG_FORMAT=json")
	stepAside(t)
	e := p.edge()
	s := e.furnish("ann")
	body := fmt.Sprintf(`{"customerId":"ann","accountId":%q,"currency":"EUR","items":[{"sku":%q,"quantity":1,"unitPrice":450}]}`, s.account, s.sku)
	l := load{addr: strings.TrimPrefix(p.api.base, "http://"), request: fmt.Appendf(nil,
		"POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)}
	l.closed(16) // warm
	measure := func() float64 {
		e.until("the screens have caught up", settleWithin, e.caughtUp)
		return l.closed(64)
	}
	before := measure()
	kept := map[int][]float64{}
	t.Logf("%s", overloadHeader)
	for range overloadRounds {
		for _, step := range overloadKeeps {
			e.until("the screens have caught up", settleWithin, e.caughtUp)
			run := overloadStepRun{times: step.times, offered: before * float64(step.times)}
			service, client := processorTime(t, p.cmd.Process.Pid), processorTime(t, os.Getpid())
			run.counted = l.open(run.offered)
			run.service, run.client = processorTime(t, p.cmd.Process.Pid)-service, processorTime(t, os.Getpid())-client
			run.held = peakMemory(t, p.cmd.Process.Pid)
			after := measure()
			run.capacity = (before + after) / 2
			before = after
			kept[step.times] = append(kept[step.times], run.kept())
			t.Logf("%s", run)
			run.check(t)
		}
	}
	for _, step := range overloadKeeps {
		slices.Sort(kept[step.times])
		if median := kept[step.times][overloadRounds/2]; median < step.least {
			t.Errorf("%d× keeps %.0f %% of peak goodput, want %.0f", step.times, 100*median, 100*step.least)
		}
	}
}

const overloadRounds = 3

// overloadStepRun is one step as it went.
type overloadStepRun struct {
	times             int
	capacity, offered float64 // orders a second
	counted           *tally
	service, client   time.Duration // of the processors
	held              uint64        // bytes, the most so far
}

// kept is how much of what could be done was done. Offered less than the machine turns out to be able to do,
// a service can't do more than it is offered.
func (r overloadStepRun) kept() float64 {
	return float64(r.counted.good) / overloadStep.Seconds() / min(r.capacity, r.offered)
}

const overloadHeader = "times  capacity  offered/s  good/s  not sent  slowest  memory  processors   kept  statuses"

func (r overloadStepRun) String() string {
	return fmt.Sprintf("%4d×  %8.0f  %9.0f  %6.0f  %8d  %7s  %3d MiB   %.2f+%.2f  %3.0f %%  %s", r.times, r.capacity, r.offered,
		float64(r.counted.good)/overloadStep.Seconds(), r.counted.unsent, r.counted.slowest.Round(time.Millisecond), r.held>>20,
		r.service.Seconds()/overloadStep.Seconds(), r.client.Seconds()/overloadStep.Seconds(), 100*r.kept(), r.counted)
}

// check holds what holds of every step, however quick the machine: refusals say so, and memory is bounded.
func (r overloadStepRun) check(t *testing.T) {
	t.Helper()
	for status := range r.counted.statuses {
		if status/100 != 2 && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
			t.Errorf("%d×: %d answers with status %d", r.times, r.counted.statuses[status], status)
		}
	}
	if r.held > overloadRSS {
		t.Errorf("the service held %d MiB", r.held>>20)
	}
}
