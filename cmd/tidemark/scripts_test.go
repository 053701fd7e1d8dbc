package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runScript runs an operator script with this test binary as the program.
func runScript(t *testing.T, name string, args []string, env ...string) (code int, out string) {
	t.Helper()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the scripts are for machines that have bash; this one has none")
	}
	cmd := exec.Command("bash", append([]string{filepath.Join("..", "..", "scripts", name)}, args...)...)
	cmd.Env = append([]string{asProgram + "=1", "TIDEMARK_BIN=" + os.Args[0], "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TIDEMARK_LOG_LEVEL=error"}, env...)
	text, _ := cmd.CombinedOutput() // the exit code tells
	return cmd.ProcessState.ExitCode(), string(text)
}

// TestOperatorScripts does what an operator does, on a running service: look first, then act.
func TestOperatorScripts(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	account := openAccount(t, p.api)
	running := "TIDEMARK_DATA_DIR=" + p.data
	p.await("the workers' groups", func() bool {
		_, err := p.api.call(t.Context(), "GET", "/v1/ops/subscriptions/account_statement", nil, nil)
		return err == nil
	})
	for _, step := range []struct {
		script string
		args   []string
		code   int
		says   string
	}{
		{"reset-subscription", []string{"--help"}, 0, "usage"},
		{"reset-subscription", nil, 2, "usage"},
		{"reset-subscription", []string{"account_statement"}, 0, "Nothing was done"},
		{"reset-subscription", []string{"account_statement", "nowhere", "--yes"}, 2, "neither start, end"},
		{"reset-subscription", []string{"no_such_group", "start", "--yes"}, 1, "no_such_group"},
		{"reset-subscription", []string{"account_statement", "start", "--yes"}, 0, "starts again from start"},
		{"replay-parked", []string{"account_statement"}, 0, "Nothing was done"},
		{"replay-parked", []string{"account_statement", "--yes"}, 0, "delivered again"},
		{"replay-parked", nil, 2, "usage"},
		{"rebuild-readmodel", []string{"account_statement"}, 0, "Nothing was done"},
		{"rebuild-readmodel", []string{"account_statement", "--yes"}, 0, ""},
		{"rebuild-readmodel", []string{"no_such_model", "--yes"}, 1, "no_such_model"},
		{"bootstrap-eventstore", nil, 0, "Nothing was done"},
		{"replay-parked", []string{"account_statement", "--limit", "few"}, 2, "usage"},
		{"check", []string{"--help"}, 0, "usage"},
		{"check", []string{"nonsense"}, 2, "usage"},
		{"compat", []string{"nonsense"}, 2, "usage"},
	} {
		code, out := runScript(t, step.script, step.args, running)
		if code != step.code || !strings.Contains(out, step.says) {
			t.Errorf("%s %v ended with %d, want %d and %q; it said:\n%s", step.script, step.args, code, step.code, step.says, out)
		}
	}
	// Everything is still there, and the screens agree with the log.
	mustRun(t, 0, running, "readmodels", "verify")
	var state struct {
		Status string `json:"status"`
	}
	if _, err := p.api.call(t.Context(), "GET", "/v1/accounts/"+account, nil, &state); err != nil || state.Status != "open" {
		t.Errorf("the account is %+v, %v", state, err)
	}
}

// TestBackupAndRestore copies a log in use and goes back to it.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := startProcess(t, dir, nil)
	kept := openAccount(t, p.api)
	data, backup := "TIDEMARK_DATA_DIR="+dir, filepath.Join(t.TempDir(), "backup.db")
	if code, out := runScript(t, "backup", []string{backup}, data); code != 0 || !strings.Contains(out, "is sound") {
		t.Fatalf("backup ended with %d:\n%s", code, out)
	}
	if code, _ := runScript(t, "backup", []string{backup}, data); code != 1 {
		t.Errorf("a second backup to the same file ended with %d", code)
	}
	lost := openAccount(t, p.api)
	if code, out := runScript(t, "restore", []string{backup, "--yes"}, data); code != 1 || !strings.Contains(out, "in use") {
		t.Errorf("a restore under a running service ended with %d:\n%s", code, out)
	}
	if code := p.interrupt(); code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.output())
	}
	if code, out := runScript(t, "restore", []string{backup}, data); code != 0 || !strings.Contains(out, "Nothing was done") {
		t.Errorf("a restore without --yes ended with %d:\n%s", code, out)
	}
	if code, out := runScript(t, "restore", []string{backup, "--yes"}, data); code != 0 {
		t.Fatalf("restore ended with %d:\n%s", code, out)
	}
	again := startProcess(t, dir, nil)
	if _, err := again.api.call(t.Context(), "GET", "/v1/accounts/"+kept, nil, nil); err != nil {
		t.Errorf("what the backup has is missing: %v", err)
	}
	if _, err := again.api.call(t.Context(), "GET", "/v1/accounts/"+lost, nil, nil); err == nil {
		t.Error("what came after the backup is still shown")
	}
	mustRun(t, 0, data, "readmodels", "verify")
}
