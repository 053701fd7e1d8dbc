package groups

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine runs a script against a group: each line is an input and, behind "=>", the effects it must
// have. Consumers have letters; a message is called by its place in the source, a replayed one by "p"
// and its place in the parked stream. "a:3#2" is the delivery of message 3, for the third time, to a.
type machine struct {
	group     *Group
	now       time.Time
	messages  map[string]*Message
	consumers []string
	effects   Effects
	keys      map[int64]uint32
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newMachine(s Settings, checkpoint int64, has bool) *machine {
	return &machine{group: New(s, checkpoint, has, epoch), now: epoch, messages: map[string]*Message{}, keys: map[int64]uint32{}}
}

func idOf(name string) (id [16]byte) {
	copy(id[:], name)
	return id
}

// run executes one line and returns its effects.
func (m *machine) run(line string) string {
	words := strings.Fields(line)
	switch words[0] {
	case "offer": // offer 0-4, or offer 5-9 skip 3 to 12
		m.offer(words[1:])
	case "replay": // replay 0-2
		from, to := span(words[1])
		var batch []*Message
		for i := from; i <= to; i++ {
			batch = append(batch, m.message("p", i))
		}
		m.group.Replay(m.now, batch, to, 0)
	case "connect": // connect a 10
		size, _ := strconv.Atoi(words[2])
		m.consumers = append(m.consumers, words[1])
		if err := m.group.Connect(m.now, uint64(len(m.consumers)), size); err != nil {
			return err.Error()
		}
	case "disconnect":
		m.group.Disconnect(m.now, m.number(words[1]))
	case "ack":
		m.group.Ack(m.now, ids(words[1:])...)
	case "park", "retry", "skip", "stop", "unknown":
		action := map[string]Action{"park": Park, "retry": Retry, "skip": Skip, "stop": Stop, "unknown": Unknown}[words[0]]
		m.group.Nack(m.now, action, "broken", ids(words[1:])...)
	case "tick": // tick +1s
		d, _ := time.ParseDuration(words[1])
		m.now = m.now.Add(d)
		m.group.Tick(m.now)
	case "stored", "unstored":
		m.group.Checkpointed(m.now, words[0] == "stored")
	case "parked", "unparked":
		for _, name := range words[1:] {
			m.group.Parked(m.now, m.messages[name], words[0] == "parked")
		}
	case "key": // key 3 17: message 3 hashes to 17
		at, _ := strconv.ParseInt(words[1], 10, 64)
		key, _ := strconv.ParseUint(words[2], 10, 32)
		m.keys[at] = uint32(key)
	case "same": // same 3 as 1: message 3 has the id of message 1
		m.messages[words[1]].ID = m.messages[words[3]].ID
	case "room":
		return fmt.Sprint(m.group.Room())
	case "stats":
		return m.stats()
	case "replayed":
		at, open := m.group.Replayed()
		return fmt.Sprintf("%d open %d", at, open)
	default:
		return "unknown input " + words[0]
	}
	return m.took()
}

func (m *machine) offer(words []string) {
	var batch []*Message
	var examined int64
	skipped := 0
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "skip":
			skipped, _ = strconv.Atoi(words[i+1])
			examined, _ = strconv.ParseInt(words[i+3], 10, 64)
			i += 3
		default:
			from, to := span(words[i])
			for at := from; at <= to; at++ {
				batch = append(batch, m.message("", at))
				examined = at
			}
		}
	}
	m.group.Offer(m.now, batch, examined, skipped)
}

func (m *machine) message(kind string, at int64) *Message {
	name := kind + strconv.FormatInt(at, 10)
	msg := &Message{Seq: at, ID: idOf(name), Key: m.keys[at], Event: name}
	m.messages[name] = msg
	return msg
}

func (m *machine) number(consumer string) uint64 {
	for i := len(m.consumers) - 1; i >= 0; i-- {
		if m.consumers[i] == consumer {
			return uint64(i + 1)
		}
	}
	return 0
}

func (m *machine) took() string {
	m.effects = m.group.Take(m.effects)
	var out []string
	for _, d := range m.effects.Deliveries {
		text := fmt.Sprintf("%s:%s", m.consumers[d.Consumer-1], d.Message.Event)
		if d.Retries > 0 {
			text += fmt.Sprintf("#%d", d.Retries)
		}
		out = append(out, text)
	}
	for _, p := range m.effects.Parkings {
		out = append(out, fmt.Sprintf("park %s (%s)", p.Message.Event, strings.ReplaceAll(p.Reason, "\n", "/")))
	}
	if m.effects.Store {
		out = append(out, fmt.Sprintf("checkpoint %d", m.effects.Checkpoint))
	}
	return strings.Join(out, " ")
}

func (m *machine) stats() string {
	s := m.group.Stats(m.now)
	out := fmt.Sprintf("total %d since %d buffered %d retrying %d in flight %d outstanding %d",
		s.Total, s.SinceLast, s.Buffered, s.Retrying, s.InFlight, s.Outstanding)
	for _, c := range s.Consumers {
		out += fmt.Sprintf("; %s total %d free %d in flight %d", m.consumers[c.ID-1], c.Total, c.Free, c.InFlight)
	}
	return out
}

func span(text string) (from, to int64) {
	a, b, both := strings.Cut(text, "-")
	from, _ = strconv.ParseInt(a, 10, 64)
	if to = from; both {
		to, _ = strconv.ParseInt(b, 10, 64)
	}
	return from, to
}

func ids(words []string) (all [][16]byte) {
	for _, w := range words {
		from, to := span(w)
		if strings.HasPrefix(w, "p") {
			all = append(all, idOf(w))
			continue
		}
		for at := from; at <= to; at++ {
			all = append(all, idOf(strconv.FormatInt(at, 10)))
		}
	}
	return all
}

// defaults are those that the clients fill in.
func defaults(change ...func(*Settings)) Settings {
	s := Settings{
		MessageTimeout: 30 * time.Second, MaxRetryCount: 10, CheckpointAfter: 2 * time.Second,
		MinCheckpointCount: 10, MaxCheckpointCount: 1000, HistoryBufferSize: 500, Strategy: RoundRobin,
	}
	for _, f := range change {
		f(&s)
	}
	return s
}

// check runs a script line by line.
func check(t *testing.T, m *machine, script string) {
	t.Helper()
	for i, line := range strings.Split(strings.TrimSpace(script), "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		input, want, _ := strings.Cut(line, "=>")
		if got := m.run(strings.TrimSpace(input)); got != strings.TrimSpace(want) {
			t.Fatalf("line %d %q\n got  %q\n want %q", i+1, input, got, strings.TrimSpace(want))
		}
	}
}

func key32(n uint64) [16]byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], n)
	return id
}
