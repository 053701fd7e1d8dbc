package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tidemark-dev/tidemark/infrastructure/esdb"
)

// asProgram makes the test binary behave as the program itself, so that tests can start, kill and
// restart real processes without building anything.
const asProgram = forTests + "AS_PROGRAM"

// forTests begins the variables that tests are told by how large they are and against what.
const forTests = envPrefix + "_TEST_"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	for _, pair := range os.Environ() { // the settings of whoever runs the tests stay out
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix+"_") && !strings.HasPrefix(name, forTests) {
			_ = os.Unsetenv(name) // it is there
		}
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given { // tests wait more than they compute: for disks, intervals and processes
		_ = flag.Set("test.parallel", strconv.Itoa(3*runtime.GOMAXPROCS(0))) // it is a number
	}
	os.Exit(m.Run())
}

// patience bounds every wait of a test. Only a test that fails needs it, so it is generous.
const patience = time.Minute

// process is a running tidemark.
type process struct {
	t      *testing.T
	data   string
	cmd    *exec.Cmd
	exited chan struct{} // closed once the process has gone
	api    *apiClient
	node   string
	killed sync.Once
	spoilt bool // the test put into the log what breaks the invariants

	mu  sync.Mutex
	log bytes.Buffer
}

// Write collects what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// startProcess runs the program on free ports with its data in dir and waits until it answers.
func startProcess(t *testing.T, dir string, args []string, env ...string) *process {
	t.Helper()
	p := &process{t: t, data: dir, exited: make(chan struct{})}
	p.cmd = programCommand(t, args, append([]string{"TIDEMARK_DATA_DIR=" + dir, "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0"}, env...)...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code tells
		close(p.exited)
	}()
	t.Cleanup(p.kill)
	t.Cleanup(p.holdInvariants)
	p.awaitAddresses()
	return p
}

// holdInvariants reads the log of a process that is still there at the end of its test.
func (p *process) holdInvariants() {
	select {
	case <-p.exited:
		return
	default:
	}
	if p.t.Failed() || p.spoilt || p.node == "" {
		return
	}
	store, err := esdb.Open(p.node, esdb.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	consult(p.t, store)
	screensAreFolds(p.t, p.api)
	closing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := store.Close(closing); err != nil {
		p.t.Error(err)
	}
	for line := range strings.Lines(p.output()) {
		if strings.Contains(line, "panic") || strings.Contains(line, `"status":500`) {
			p.t.Errorf("I-24: %s", line)
		}
	}
}

// programCommand is the program with arguments and nothing of this process's settings.
func programCommand(t *testing.T, args []string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append([]string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	return cmd
}

// awaitAddresses waits until the process has published where it listens, or has ended.
func (p *process) awaitAddresses() {
	p.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		a, err := publishedAddresses(p.data)
		if err == nil && a.API+a.Node != "" {
			p.api, p.node = newAPIClient(a.API, ""), a.Node
			return
		}
		select {
		case <-p.exited:
			p.t.Fatalf("the process ended at its start:\n%s", p.output())
		case <-time.After(10 * time.Millisecond):
		}
	}
	p.t.Fatalf("the process did not get ready:\n%s", p.output())
}

// await polls until something holds.
func (p *process) await(what string, holds func() bool) {
	p.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); !holds(); <-ticker.C {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s did not come\n%s", what, p.output())
		}
	}
}

// kill ends the process as a power cut would, as far as the process can tell. Whoever calls it again waits for the
// first call to be done: the addresses that it removes must not be those of a successor.
func (p *process) kill() {
	p.killed.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGKILL) // it may be gone already
		<-p.exited
		_ = os.Remove(filepath.Join(p.data, addressesFile)) // a killed process leaves its addresses behind
	})
}

// interrupt asks the process to stop and gives its exit code.
func (p *process) interrupt() int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatalf("still running %s after SIGTERM:\n%s", patience, p.output())
		return -1
	}
}

// runProgram runs a command to its end.
func runProgram(t *testing.T, args []string, env ...string) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := programCommand(t, args, env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	_ = cmd.Wait() // the exit code tells
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}
