package fulfilment_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/fulfilment"
)

var (
	noon   = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	limits = fulfilment.Limits{OpenFor: 24 * time.Hour, PrepareWithin: 15 * time.Minute, Nudge: 30 * time.Second}
)

// facts are those of an order for 2 A and 1 B at 300 in all, confirmed at noon.
func facts(status string) fulfilment.Order {
	return fulfilment.Order{
		Status: status, CustomerID: "c", AccountID: "acc", Currency: "EUR", Total: 300,
		Lines:     []fulfilment.Line{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 1}},
		CreatedAt: noon, ConfirmedAt: &noon, UpdatedAt: noon,
	}
}

func fold(p fulfilment.Process, at time.Time, events ...domain.Event) fulfilment.Process {
	for _, e := range events {
		p = p.Apply(domain.Recorded{Event: e, ID: "id", Meta: domain.Meta{At: at}})
	}
	return p
}

// script drives a process: each word answers the step that was sent last, or says what the order did.
func script(t *testing.T, words string) (fulfilment.Process, *fulfilment.Step) {
	t.Helper()
	p, o, now := fulfilment.Process{}, facts("confirmed"), noon
	events, send := p.Advance(o, now, limits)
	p = fold(p, now, events...)
	for word := range strings.FieldsSeq(words) {
		outcome := fulfilment.Outcome{Code: "why"}
		switch word {
		case "done":
			outcome.Result = fulfilment.CarriedOut
		case "refused":
			outcome.Result = fulfilment.NotPossible
		case "nothing":
			outcome.Result = fulfilment.NothingTo
		case "stuck":
			outcome.Result = fulfilment.Stuck
		case "late":
			now = noon.Add(15 * time.Minute)
		case "hour":
			now = now.Add(time.Hour)
		case "resolve":
			resolved, err := p.Resolve("by phone")
			if err != nil {
				t.Fatal(err)
			}
			p = fold(p, now, resolved...)
		case "retry":
			retried, err := p.Retry()
			if err != nil {
				t.Fatal(err)
			}
			p = fold(p, now, retried...)
		default:
			o.Status, o.UpdatedAt = word, now
			if word == "cancelled" {
				o.CancelReason = "changed my mind"
			}
		}
		if outcome.Result != fulfilment.Unsettled {
			if send == nil {
				t.Fatalf("%q answers nothing", word)
			}
			p = fold(p, now, p.Settle(send.Name, send.SKU, outcome, now)...)
		}
		events, send = p.Advance(o, now, limits)
		p = fold(p, now, events...)
	}
	return p, send
}

// shown is a process in one line.
func shown(p fulfilment.Process, send *fulfilment.Step) string {
	text := string(p.Status)
	if p.Reason != "" {
		text += "(" + p.Reason + ")"
	}
	for _, s := range p.Steps {
		text += fmt.Sprintf(" %s%s=%s", s.Name, s.SKU, s.Status)
	}
	if send != nil {
		text += fmt.Sprintf(" -> %s%s", send.Name, send.SKU)
	}
	return text
}

func TestCourses(t *testing.T) {
	const reserved = "reserveA=done reserveB=done"
	for _, c := range []struct{ name, script, want string }{
		{"start", "", "running reserveA=running reserveB=pending pay=pending prepare=pending -> reserveA"},
		{"one line", "done", "running reserveA=done reserveB=running pay=pending prepare=pending -> reserveB"},
		{"paying", "done done", "running " + reserved + " pay=running prepare=pending -> pay"},
		{"preparing", "done done done", "running " + reserved + " pay=done prepare=running -> prepare"},
		{"prepared", "done done done done prepared", "prepared " + reserved + " pay=done prepare=done"},
		{"prepared, found out by the order", "done done done prepared", "prepared " + reserved + " pay=done prepare=done"},
		{"shipping", "done done done done shipped", "prepared " + reserved + " pay=done prepare=done shipA=running shipB=pending -> shipA"},
		{"completed", "done done done done shipped done done", "completed " + reserved + " pay=done prepare=done shipA=done shipB=done"},

		{"second line refused", "done refused", "compensating(out_of_stock) reserveA=done reserveB=refused pay=skipped prepare=skipped releaseB=running releaseA=pending cancel=pending -> releaseB"},
		{"undone", "done refused nothing done done", "compensated(out_of_stock) reserveA=done reserveB=refused pay=skipped prepare=skipped releaseB=skipped releaseA=done cancel=done"},
		{"declined", "done done refused", "compensating(payment_declined) " + reserved + " pay=refused prepare=skipped credit=running releaseB=pending releaseA=pending cancel=pending -> credit"},

		{"cancelled before anything", "cancelled", "compensating(changed my mind) reserveA=skipped reserveB=skipped pay=skipped prepare=skipped releaseA=running -> releaseA"},
		{"cancelled while paying", "done done cancelled", "compensating(changed my mind) " + reserved + " pay=skipped prepare=skipped credit=running releaseB=pending releaseA=pending -> credit"},
		{"cancelled when prepared", "done done done done cancelled", "compensating(changed my mind) " + reserved + " pay=done prepare=done credit=running releaseB=pending releaseA=pending -> credit"},

		{"late while paying", "done done late", "compensating(expired) " + reserved + " pay=skipped prepare=skipped credit=running releaseB=pending releaseA=pending cancel=pending -> credit"},
		{"late while preparing", "done done done late", "running(expired) " + reserved + " pay=done prepare=running cancel=running -> cancel"},
		{"late, but prepared", "done done done late prepared", "prepared " + reserved + " pay=done prepare=done cancel=skipped"},
		{"late and cancelled", "done done done late done", "compensating(expired) " + reserved + " pay=done prepare=skipped cancel=done credit=running releaseB=pending releaseA=pending -> credit"},
		{"late and cancelled by another", "done done done late cancelled", "compensating(changed my mind) " + reserved + " pay=done prepare=skipped cancel=skipped credit=running releaseB=pending releaseA=pending -> credit"},

		{"stuck step holds up the next", "stuck", "running reserveA=failed reserveB=pending pay=pending prepare=pending"},
		{"stuck step is tried again when due", "stuck hour", "compensating(expired) reserveA=skipped reserveB=skipped pay=skipped prepare=skipped releaseA=running cancel=pending -> releaseA"},
		{"stuck step is tried again at once", "stuck retry", "running reserveA=running reserveB=pending pay=pending prepare=pending -> reserveA"},
		{"stuck step resolved gives up", "stuck resolve", "compensating(by phone) reserveA=resolved reserveB=skipped pay=skipped prepare=skipped releaseA=running cancel=pending -> releaseA"},
		{"stuck credit lets the rest go on", "done done done done cancelled stuck", "compensating(changed my mind) " + reserved + " pay=done prepare=done credit=failed releaseB=running releaseA=pending -> releaseB"},
		{"stuck credit keeps it open", "done done done done cancelled stuck done done", "compensating(changed my mind) " + reserved + " pay=done prepare=done credit=failed releaseB=done releaseA=done"},
		{"stuck credit resolved", "done done done done cancelled stuck done done resolve", "compensated(changed my mind) " + reserved + " pay=done prepare=done credit=resolved releaseB=done releaseA=done"},
		{"stuck credit comes right", "done done done done cancelled stuck done done hour done", "compensated(changed my mind) " + reserved + " pay=done prepare=done credit=done releaseB=done releaseA=done"},
		{"stuck shipment", "done done done done shipped stuck done", "prepared " + reserved + " pay=done prepare=done shipA=failed shipB=done"},
		{"last look", "refused nothing done hour done", "compensated(out_of_stock) reserveA=refused reserveB=skipped pay=skipped prepare=skipped releaseA=skipped cancel=done"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, shown(script(t, c.script))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNotStarted(t *testing.T) {
	for status, want := range map[string]fulfilment.Status{
		"": "", "created": "", "confirmed": fulfilment.StatusRunning, "prepared": "", "shipped": "", "cancelled": fulfilment.StatusCompensated,
	} {
		o := facts(status)
		events, _ := fulfilment.Process{}.Advance(o, noon, limits)
		if got := fold(fulfilment.Process{}, noon, events...).Status; got != want {
			t.Errorf("%q: %q, want %q", status, got, want)
		}
	}
	never := facts("cancelled")
	never.ConfirmedAt = nil
	if events, send := (fulfilment.Process{}).Advance(never, noon, limits); events != nil || send != nil {
		t.Errorf("an order cancelled before its confirmation: %v, %v", events, send)
	}
}

func TestWhatCostsNothingIsNotPaid(t *testing.T) {
	o := facts("confirmed")
	o.Total = 0
	events, _ := fulfilment.Process{}.Advance(o, noon, limits)
	p := fold(fulfilment.Process{}, noon, events...)
	if _, ok := p.Step(fulfilment.StepPay, ""); ok {
		t.Errorf("steps %+v", p.Steps)
	}
}

func TestOperators(t *testing.T) {
	ended, _ := script(t, "refused nothing done")
	waiting, _ := script(t, "done done done done prepared")
	running, _ := script(t, "done")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"retry what never was", last(fulfilment.Process{}.Retry()), "not_found"},
		{"retry what has ended", last(ended.Retry()), "fulfilment_ended"},
		{"retry what waits", last(waiting.Retry()), ""},
		{"resolve what has ended", last(ended.Resolve("x")), "fulfilment_ended"},
		{"resolve what waits", last(waiting.Resolve("x")), "nothing_to_resolve"},
		{"resolve what hangs in a command", last(running.Resolve("x")), ""},
		{"resolve without reason", last(running.Resolve(" ")), "invalid_request"},
		{"resolve at length", last(running.Resolve(strings.Repeat("x", 501))), "invalid_request"},
	} {
		got := ""
		if c.err != nil {
			got = domain.CodeOf(c.err)
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func last[A any](_ A, err error) error { return err }

func TestRetriesWaitLongerAndLonger(t *testing.T) {
	p, send := script(t, "")
	now, pauses := noon, []time.Duration{}
	for range 9 {
		p = fold(p, now, p.Settle(send.Name, send.SKU, fulfilment.Outcome{Result: fulfilment.Stuck}, now)...)
		step, _ := p.Step(send.Name, send.SKU)
		pauses = append(pauses, step.RetryAt.Sub(now))
		p = fold(p, now, fulfilment.StepIntended{Step: send.Name, SKU: send.SKU, Attempt: step.Attempts + 1})
	}
	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour}
	if diff := cmp.Diff(want, pauses); diff != "" {
		t.Error(diff)
	}
}

func TestAttention(t *testing.T) {
	at := func(d time.Duration) string { return noon.Add(d).Format(time.TimeOnly) }
	for _, c := range []struct{ script, status, want string }{
		{"", "confirmed", at(30 * time.Second)},
		{"stuck", "confirmed", at(30 * time.Second)},
		{"done done done done", "prepared", "never"},
		{"done done done done", "shipped", at(30 * time.Second)},
		{"done done done done", "cancelled", at(30 * time.Second)},
		{"done done done late", "confirmed", at(15*time.Minute + 30*time.Second)},
		{"refused nothing done", "cancelled", at(30 * time.Second)}, // the last look
		{"refused nothing done hour done", "cancelled", "never"},
		{"done done done done shipped done done", "shipped", "never"},
	} {
		p, _ := script(t, c.script)
		got := "never"
		if when, ok := fulfilment.Attention(facts(c.status), p, limits); ok {
			got = when.Format(time.TimeOnly)
		}
		if got != c.want {
			t.Errorf("after %q, order %s: %s, want %s", c.script, c.status, got, c.want)
		}
	}
	open := facts("created")
	open.ConfirmedAt = nil
	if when, ok := fulfilment.Attention(open, fulfilment.Process{}, limits); !ok || !when.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("an unconfirmed order: %v, %v", when, ok)
	}
	if open.Expired(noon.Add(24*time.Hour-1), limits) || !open.Expired(noon.Add(24*time.Hour), limits) {
		t.Error("an unconfirmed order expires early or late")
	}
}

// Whatever outcomes come, in whatever order others see them, a process ends once nothing fails any more.
func TestEveryProcessEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, o, now := fulfilment.Process{}, facts("confirmed"), noon
		for turn := 0; !p.Ended() && !(p.Status == fulfilment.StatusPrepared && o.Status == "prepared"); turn++ {
			if turn > 200 {
				t.Fatalf("does not end: %s", shown(p, nil))
			}
			events, send := p.Advance(o, now, limits)
			p = fold(p, now, events...)
			wild := turn < 30
			if wild {
				now = now.Add(rapid.SampledFrom([]time.Duration{0, 0, time.Second, time.Hour}).Draw(t, "pass"))
				o.Status = rapid.SampledFrom(follow(o.Status)).Draw(t, "order")
			} else {
				now = now.Add(time.Hour)
			}
			if send == nil {
				continue
			}
			results := []fulfilment.Result{fulfilment.CarriedOut}
			if wild {
				results = append(results, fulfilment.NotPossible, fulfilment.NothingTo, fulfilment.Stuck, fulfilment.Unsettled)
			}
			result := rapid.SampledFrom(results).Draw(t, "result")
			o.Status = carry(o.Status, send.Name, &result)
			p = fold(p, now, p.Settle(send.Name, send.SKU, fulfilment.Outcome{Result: result}, now)...)
		}
	})
}

// follow is what people may do to an order, often nothing.
func follow(status string) []string {
	switch status {
	case "confirmed":
		return []string{status, status, status, status, status, "cancelled"}
	case "prepared":
		return []string{status, "cancelled", "shipped"}
	}
	return []string{status}
}

// carry does to the order what a step's command does, if it can.
func carry(status string, step fulfilment.StepName, result *fulfilment.Result) string {
	switch {
	case step == fulfilment.StepPrepare && *result == fulfilment.CarriedOut:
		if status == "confirmed" {
			return "prepared"
		}
		*result = fulfilment.Unsettled
	case step == fulfilment.StepCancel && *result == fulfilment.CarriedOut:
		if status == "confirmed" {
			return "cancelled"
		}
		*result = fulfilment.NothingTo
	}
	return status
}

// Any history folds without panic, leaves the states before untouched, and survives being a snapshot.
func TestAnyHistoryFolds(t *testing.T) {
	for _, e := range fulfilment.Events() {
		if fold(fulfilment.Process{}, noon, e).UpdatedAt.IsZero() {
			t.Errorf("%s does not fold", e.EventType())
		}
	}
	planned := []fulfilment.Planned{{Step: "reserve", SKU: "A"}, {Step: "pay"}}
	events := append(fulfilment.Events(), nil,
		fulfilment.Started{Steps: planned, Lines: []fulfilment.Line{{SKU: "A", Quantity: 1}}}, fulfilment.Compensating{Steps: planned},
		fulfilment.StepIntended{Step: "reserve", SKU: "A", Attempt: 1}, fulfilment.LineRefused{SKU: "A"}, fulfilment.LineReserved{SKU: "A"},
		fulfilment.StepFailed{Step: "pay", RetryAt: noon}, fulfilment.Resolved{Step: "pay"})
	rapid.Check(t, func(t *rapid.T) {
		var p fulfilment.Process
		for range rapid.IntRange(0, 30).Draw(t, "length") {
			event := rapid.SampledFrom(events).Draw(t, "event")
			before, _ := json.Marshal(p)
			next := fold(p, noon, event)
			if now, _ := json.Marshal(p); string(before) != string(now) {
				t.Fatalf("Apply changed the state it came from: %s to %s", before, now)
			}
			var restored fulfilment.Process
			if err := json.Unmarshal(before, &restored); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(next)
			if got, _ := json.Marshal(fold(restored, noon, event)); string(got) != string(want) {
				t.Fatalf("after a snapshot %s, else %s", got, want)
			}
			p = next
		}
	})
}
