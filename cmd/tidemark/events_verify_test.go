package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVerifyFindsTheFirstBadEvent: whoever changes events in the file itself, behind everybody's back, is
// found out, at the first event that is not what it was, and nowhere else.
func TestVerifyFindsTheFirstBadEvent(t *testing.T) {
	t.Parallel()
	source := startProcess(t, t.TempDir(), nil)
	good, bad := openAccount(t, source.api), openAccount(t, source.api)
	for _, account := range []string{good, bad} {
		for _, reference := range []string{"first", "forged-here", "forged-too", "last"} {
			deposit := map[string]any{"amount": 5, "currency": "EUR", "reference": reference + " " + account}
			if _, err := source.api.call(t.Context(), "POST", "/v1/accounts/"+account+"/deposits", deposit, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	key, checkpoint := filepath.Join(dir, "key"), filepath.Join(dir, "checkpoint")
	from := "TIDEMARK_DATA_DIR=" + source.data
	mustRun(t, 0, from, "events", "checkpoint", "--key", key, "--out", checkpoint)
	if code := source.interrupt(); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	mustRun(t, 0, from, "events", "verify", "--checkpoint", checkpoint)

	file := filepath.Join(source.data, "events.db")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, reference := range []string{"forged-here ", "forged-too "} {
		if n := bytes.Count(content, []byte(reference+bad)); n != 1 {
			t.Fatalf("%q stands %d times in the file", reference, n)
		}
		content = bytes.Replace(content, []byte(reference+bad), []byte(strings.ToUpper(reference)+bad), 1)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	out := mustRun(t, exitFailed, from, "events", "verify")
	if !strings.Contains(out, "event 2 of account-"+bad) || strings.Contains(out, "event 3 of") || strings.Contains(out, good) || !strings.Contains(out, "1 bad") {
		t.Errorf("verify says:\n%s", out)
	}
	mustRun(t, exitFailed, from, "events", "verify", "account-"+bad)
	mustRun(t, 0, from, "events", "verify", "account-"+good)
	mustRun(t, exitFailed, from, "events", "verify", "--checkpoint", checkpoint)

	// A checkpoint that somebody has changed, to go with the log, is not signed any more.
	forged := strings.Replace(mustRead(t, checkpoint), `"hash":"`, `"hash":"0`, 1)
	if forged == mustRead(t, checkpoint) {
		forged = strings.Replace(forged, `"hash": "`, `"hash": "0`, 1)
	}
	if err := os.WriteFile(checkpoint, []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := runProgram(t, []string{"events", "verify", "--checkpoint", checkpoint}, from); code == 0 || !strings.Contains(out+errs, "signature") {
		t.Errorf("a forged checkpoint: %d\n%s%s", code, out, errs)
	}
}
