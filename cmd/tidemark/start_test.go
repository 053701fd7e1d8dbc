package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAStartThatCannotWorkSaysWhyInOneLine starts the program with everything that can be wrong from outside.
func TestAStartThatCannotWorkSaysWhyInOneLine(t *testing.T) {
	running := startProcess(t, t.TempDir(), nil)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, logFile), []byte("this is no database of ours, and long enough to have a header of its own: "+strings.Repeat("x", 200)), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0"}
	for name, c := range map[string]struct {
		env  []string
		says string
		code int
	}{
		"second process on the data": {append(free, "TIDEMARK_DATA_DIR="+running.data), "in use by another", exitFailed},
		"taken port":                 {[]string{"TIDEMARK_HTTP_ADDR=" + taken.Addr().String(), "TIDEMARK_NODE_ADDR=127.0.0.1:0"}, "TIDEMARK_HTTP_ADDR", exitFailed},
		"taken node port":            {[]string{"TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=" + taken.Addr().String()}, "TIDEMARK_NODE_ADDR", exitFailed},
		"data directory is a file":   {append(free, "TIDEMARK_DATA_DIR="+file), "data directory", exitFailed},
		"foreign file":               {append(free, "TIDEMARK_DATA_DIR="+newer), logFile, exitFailed},
		"unreachable event store":    {append(free, "TIDEMARK_EVENTSTORE=esdb://127.0.0.1:1?tls=false"), "TIDEMARK_EVENTSTORE", exitFailed},
		"open to others without key": {[]string{"TIDEMARK_HTTP_ADDR=0.0.0.0:0"}, "TIDEMARK_HTTP_ADDR", exitUsage},
		"wrong value":                {append(free, "TIDEMARK_ORDER_OPEN_FOR=soon"), "TIDEMARK_ORDER_OPEN_FOR", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := c.env
			if !strings.Contains(strings.Join(env, " "), "DATA_DIR") {
				env = append([]string{"TIDEMARK_DATA_DIR=" + t.TempDir()}, env...)
			}
			code, _, errs := runProgram(t, []string{"serve"}, append([]string{"TIDEMARK_LOG_LEVEL=error"}, env...)...)
			if lines := strings.Split(strings.TrimSpace(errs), "\n"); code != c.code || len(lines) != 1 || !strings.Contains(lines[0], c.says) {
				t.Errorf("exit code %d, said:\n%s", code, errs)
			}
		})
	}
}

func TestANewerFileIsRefusedUntouched(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, nil)
	if code := p.interrupt(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, p.output())
	}
	path := filepath.Join(dir, logFile)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	copy(text[60:64], []byte{0, 0, 3, 231}) // user_version 999 in SQLite's header
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := runProgram(t, []string{"serve"}, "TIDEMARK_DATA_DIR="+dir, "TIDEMARK_HTTP_ADDR=127.0.0.1:0", "TIDEMARK_NODE_ADDR=127.0.0.1:0", "TIDEMARK_LOG_LEVEL=error")
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if code != exitFailed || !strings.Contains(errs, "newer") || string(after) != string(text) {
		t.Errorf("exit code %d, changed %v, said:\n%s", code, string(after) != string(text), errs)
	}
}
