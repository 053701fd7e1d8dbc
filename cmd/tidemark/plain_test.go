package main

import (
	"context"
	"strings"
	"testing"
	"unicode"

	client "github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/google/uuid"
)

func TestWhatTerminalsObeyIsSpeltOut(t *testing.T) {
	for text, want := range map[string]string{
		"Grüße, 日本 ‚quoted‘\u00a0👩‍🚀\n\tnext": "Grüße, 日本 ‚quoted‘\u00a0👩‍🚀\n\tnext", "a\x1b[2Jb": `a\x1b[2Jb`, "\u009b31m": `\u009b31m`,
		"\x9b31m": `\x9b31m`, "back\b\r\a\x7f": `back\x08\x0d\x07\x7f`, "user\u202egnp.exe\u2066": `user\u202egnp.exe\u2066`, "\ufffd kept": "\ufffd kept",
	} {
		var b strings.Builder
		if n, err := (plainOut{&b}).Write([]byte(text)); n != len(text) || err != nil || b.String() != want {
			t.Errorf("%q: %q, %d, %v", text, b.String(), n, err)
		}
	}
	var b strings.Builder
	if err := table(&b, []string{"name", "reason"}, [][]string{{"one\ntwo\tthree", "\x1b[2J"}}); err != nil || b.String() != "NAME                 REASON\none\\x0atwo\\x09three  \\x1b[2J\n" {
		t.Errorf("a table: %q, %v", b.String(), err)
	}
}

// Whoever may append events must not get at the terminals of those who look at them.
func TestEventsDontReachTheTerminal(t *testing.T) {
	t.Parallel()
	p := startProcess(t, t.TempDir(), nil)
	p.spoilt = true
	config, err := client.ParseConnectionString(p.node)
	if err != nil {
		t.Fatal(err)
	}
	config.Logger = client.NoopLogging()
	writer, err := client.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	stream := "order-\x1b]0;title\x07"
	event := client.EventData{EventID: uuid.New(), EventType: "Odd\x1b[31m\nforged", ContentType: client.ContentTypeBinary,
		Data: []byte("{\"note\":\"\x1b[2J\"}"), Metadata: []byte(`{"actor":"eve\u001b[2J"}`)}
	if _, err := writer.AppendToStream(context.Background(), stream, client.AppendToStreamOptions{}, event); err != nil {
		t.Fatal(err)
	}
	p.await("the stream is blocked", func() bool {
		_, out, _ := runProgram(t, []string{"readmodels", "blocked", "order_details"}, "TIDEMARK_DATA_DIR="+p.data)
		return strings.Contains(out, "forged")
	})
	for _, args := range [][]string{
		{"events", "show", stream}, {"events", "show", stream, "--json"}, {"events", "check"}, {"events", "show", stream + "none"}, {"events", "export", "--prefix", "order-"},
		{"readmodels", "blocked", "order_details"}, {"readmodels", "blocked", "order_details", "--json"}, {"readmodels", "skip", "order_details", stream},
	} {
		_, out, errs := runProgram(t, args, "TIDEMARK_DATA_DIR="+p.data)
		if text := out + errs; text == "" || strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }) {
			t.Errorf("%q:\n%q", args, text)
		}
	}
}
