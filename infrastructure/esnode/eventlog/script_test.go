package eventlog

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the expected output of the scripts")

// TestScripts runs each file of testdata/scripts on a log of its own. A script is blocks of a command,
// a line "----" and the expected output, separated by empty lines.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/scripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("scripts: %v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := newMachine(t, Options{VFS: quickDisk(t)})
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(string(text)), "\n\n") {
		if i > 0 {
			out.WriteString("\n")
		}
		var command string
		for line := range strings.Lines(block) {
			if strings.TrimSpace(line) == "----" {
				break
			}
			out.WriteString(strings.TrimRight(line, "\n") + "\n")
			if !strings.HasPrefix(line, "#") {
				command = strings.TrimSpace(line)
			}
		}
		if command == "" {
			continue
		}
		out.WriteString("----\n")
		out.WriteString(m.run(command))
	}
	if err := m.log.Check(context.Background()); err != nil {
		t.Error(err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(text), out.String()); diff != "" {
		t.Errorf("output differs (-want +got):\n%s", diff)
	}
}

// machine carries out commands on a log with a clock that stands still and ids that count.
type machine struct {
	t       *testing.T
	path    string
	options Options
	log     *Log
	now     time.Time
	ids     uint64
}

func newMachine(t *testing.T, options Options) *machine {
	m := &machine{t: t, path: filepath.Join(t.TempDir(), "events.db"), options: options,
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	m.options.Now = func() time.Time { return m.now }
	m.options.NewID = func() [16]byte { m.ids++; return id(fmt.Sprintf("own%d", m.ids)) }
	m.open()
	t.Cleanup(func() {
		if err := m.log.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func (m *machine) open() {
	log, err := Open(m.path, m.options)
	if err != nil {
		m.t.Fatal(err)
	}
	m.log = log
}

func (m *machine) reopen() {
	if err := m.log.Close(); err != nil {
		m.t.Fatal(err)
	}
	m.open()
}

// id makes an event id of a short name.
func id(name string) (b [16]byte) {
	copy(b[:], name)
	return b
}

func nameOf(id [16]byte) string { return strings.TrimRight(string(id[:]), "\x00") }

// arguments of a command: words, and options like from=3.
type arguments struct {
	words   []string
	options map[string]string
}

func parse(command string) (name string, a arguments) {
	a.options = map[string]string{}
	fields := strings.Fields(command)
	for _, field := range fields[1:] {
		if key, value, ok := strings.Cut(field, "="); ok && !strings.ContainsAny(key, ":{\"") {
			a.options[key] = value
		} else {
			a.words = append(a.words, field)
		}
	}
	return fields[0], a
}

func (a arguments) int(key string, otherwise int64) int64 {
	n, err := strconv.ParseInt(a.options[key], 10, 64)
	if err != nil {
		return otherwise
	}
	return n
}

func (a arguments) has(word string) bool {
	_, ok := a.options[word]
	return ok
}

func (m *machine) run(command string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name, a := parse(command)
	var text string
	var err error
	switch name {
	case "append":
		text, err = m.append(ctx, a)
	case "meta":
		data := strings.Join(a.words[1:], " ")
		m.ids++
		var done Appended
		done, err = m.log.Append(ctx, "$$"+a.words[0], Any, []Proposed{{ID: id(fmt.Sprintf("m%d", m.ids)), Type: TypeMetadata, JSON: true, Data: []byte(data)}})
		text = fmt.Sprintf("ok revision=%d\n", done.Revision)
	case "delete":
		_, err = m.log.Delete(ctx, a.words[0], expectation(a.words[1]))
		text = "ok\n"
	case "tombstone":
		_, err = m.log.Tombstone(ctx, a.words[0], expectation(a.words[1]))
		text = "ok\n"
	case "read":
		text, err = m.read(ctx, a)
	case "all":
		text, err = m.all(ctx, a)
	case "state":
		text, err = m.state(ctx, a.words[0])
	case "event":
		var e Event
		e, err = m.log.ReadEvent(ctx, a.words[0], expectation(a.words[1]))
		text = show(Resolved{Event: &e})
	case "advance":
		var d time.Duration
		d, err = time.ParseDuration(a.words[0])
		m.now = m.now.Add(d)
	case "reopen":
		m.reopen()
	default:
		text, err = m.operate(ctx, name, a)
	}
	if err != nil {
		return "error: " + describeError(err) + "\n"
	}
	return text
}

// operate carries out what operators do.
func (m *machine) operate(ctx context.Context, name string, a arguments) (text string, err error) {
	switch name {
	case "scavenge":
		var done ScavengeResult
		done, err = m.log.Scavenge(ctx)
		text = fmt.Sprintf("removed %d events\n", done.Events)
	case "check":
		err, text = m.log.Check(ctx), "ok\n"
	case "enable":
		if err = m.log.EnableProjection(ctx, a.words[0]); err == nil {
			err = settle(ctx, m.log) // one after the other: two that catch up at once take turns as they like
		}
	case "disable":
		err = m.log.DisableProjection(ctx, a.words[0])
	case "reset":
		err = m.log.ResetProjection(ctx, a.words[0])
	case "update":
		err = m.log.UpdateProjection(ctx, a.words[0], strings.ReplaceAll(a.words[1], `\n`, "\n"))
	case "settle":
		err = settle(ctx, m.log)
	case "projections":
		for _, p := range m.log.Projections() {
			text += fmt.Sprintf("%s enabled=%v live=%v position=%d version=%d epoch=%d emitted=%d query=%q\n",
				p.Name, p.Enabled, p.Live, p.Position, p.Version, p.Epoch, p.Emitted, p.Query)
		}
	default:
		err = fmt.Errorf("unknown command %q", name)
	}
	return text, err
}

// settle waits until every enabled projection has caught up.
func settle(ctx context.Context, log *Log) error {
	for {
		changed := log.Changed()
		behind := false
		for _, p := range log.Projections() {
			behind = behind || p.Enabled && !p.Live
		}
		if !behind {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func expectation(word string) int64 {
	switch word {
	case "any":
		return Any
	case "none":
		return NoStream
	case "exists":
		return StreamExists
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func describeError(err error) string {
	var wrong *WrongVersion
	var deleted *StreamDeleted
	switch {
	case errors.As(err, &wrong):
		return fmt.Sprintf("wrong version, expected %d, current %d", wrong.Expected, wrong.Current)
	case errors.As(err, &deleted):
		return fmt.Sprintf("deleted: %s", deleted.Stream)
	}
	return err.Error()
}
