package inventory_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tidemark-dev/tidemark/domain"
	"github.com/tidemark-dev/tidemark/domain/inventory"
)

const (
	first  = "0198c1f2-7b3a-7c4d-8e5f-60718293a4b1"
	second = "0198c1f2-7b3a-7c4d-8e5f-60718293a4b2"
	third  = "0198c1f2-7b3a-7c4d-8e5f-60718293a4b3"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func given(events ...domain.Event) inventory.Stock { return after(inventory.Stock{}, events...) }

func after(s inventory.Stock, events ...domain.Event) inventory.Stock {
	for _, e := range events {
		s = s.Apply(domain.Recorded{Event: e, Meta: domain.Meta{At: noon}})
	}
	return s
}

func received(n int64) domain.Event { return inventory.Received{Quantity: n} }
func reserved(id string, n int64) domain.Event {
	return inventory.Reserved{OrderID: id, Quantity: n}
}
func released(id string, n int64) domain.Event {
	return inventory.Released{OrderID: id, Quantity: n}
}

func TestDecisions(t *testing.T) {
	type events = []domain.Event
	for _, c := range []struct {
		name   string
		given  events
		decide func(inventory.Stock) ([]domain.Event, error)
		want   events
		code   string
	}{
		{"receive", nil, receive(5), events{inventory.Received{Quantity: 5, Reference: "r"}}, ""},
		{"receive more", events{received(1)}, receive(5), events{inventory.Received{Quantity: 5, Reference: "r"}}, ""},
		{"receive nothing", nil, receive(0), nil, "invalid_request"},
		{"receive too much", nil, receive(domain.MaxQuantity + 1), nil, "invalid_request"},
		{"receive beyond what can be counted", events{received(domain.MaxAmount)}, receive(1), nil, "invalid_request"},

		{"damage", events{received(5)}, damage(5), events{inventory.Damaged{Quantity: 5, Reason: "wet"}}, ""},
		{"damage what is reserved", events{received(5), reserved(first, 1)}, damage(5), nil, "insufficient_stock"},
		{"damage nothing", events{received(5)}, damage(0), nil, "invalid_request"},
		{"damage twice", events{received(5), inventory.Damaged{Quantity: 5}}, damage(5), nil, "insufficient_stock"},

		{"reserve", events{received(5)}, reserve(first, 5), events{reserved(first, 5)}, ""},
		{"reserve too much", events{received(5)}, reserve(first, 6), nil, "insufficient_stock"},
		{"reserve what never was", nil, reserve(first, 1), nil, "insufficient_stock"},
		{"reserve what another has", events{received(5), reserved(second, 3)}, reserve(first, 3), nil, "insufficient_stock"},
		{"reserve again", events{received(5), reserved(first, 5)}, reserve(first, 5), nil, ""},
		{"reserve again, more", events{received(5), reserved(first, 2)}, reserve(first, 3), nil, ""},
		{"reserve after release", events{received(5), reserved(first, 5), released(first, 5)}, reserve(first, 5), events{reserved(first, 5)}, ""},
		{"reserve for no order", events{received(5)}, reserve("123", 1), nil, "invalid_request"},
		{"reserve nothing", events{received(5)}, reserve(first, 0), nil, "invalid_request"},

		{"hold", events{received(5)}, hold("123", 5), events{reserved("123", 5)}, ""},
		{"hold the same", events{received(5), reserved(first, 5)}, hold(first, 5), nil, ""},
		{"hold more", events{received(5), reserved(first, 2)}, hold(first, 5), events{released(first, 2), reserved(first, 5)}, ""},
		{"hold less", events{received(5), reserved(first, 5)}, hold(first, 1), events{released(first, 5), reserved(first, 1)}, ""},
		{"hold too much", events{received(5), reserved(first, 2), reserved(second, 1)}, hold(first, 5), nil, "insufficient_stock"},

		{"release", events{received(5), reserved(first, 2)}, release(first), events{released(first, 2)}, ""},
		{"release twice", events{received(5), reserved(first, 2), released(first, 2)}, release(first), nil, "not_reserved"},
		{"release another's", events{received(5), reserved(second, 2)}, release(first), nil, "not_reserved"},

		{"ship", events{received(5), reserved(first, 2)}, ship(first), events{inventory.Shipped{OrderID: first, Quantity: 2}}, ""},
		{"ship twice", events{received(5), reserved(first, 2), inventory.Shipped{OrderID: first, Quantity: 2}}, ship(first), nil, "not_reserved"},
		{"ship what is released", events{received(5), reserved(first, 2), released(first, 2)}, ship(first), nil, "not_reserved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.decide(given(c.given...))
			if code := codeOf(err); code != c.code {
				t.Fatalf("refused with %q, want %q", code, c.code)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

type decision = func(inventory.Stock) ([]domain.Event, error)

func receive(n int64) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Receive(n, "r") }
}
func damage(n int64) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Damage(n, "wet") }
}
func reserve(id string, n int64) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Reserve(id, n) }
}
func hold(id string, n int64) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Hold(id, n) }
}
func release(id string) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Release(id) }
}
func ship(id string) decision {
	return func(s inventory.Stock) ([]domain.Event, error) { return s.Ship(id) }
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return domain.CodeOf(err)
}

func TestWordsAreBounded(t *testing.T) {
	s := given(received(5))
	if _, err := s.Damage(1, ""); domain.KindOf(err) != domain.KindInvalid {
		t.Errorf("damage without reason: %v", err)
	}
	if _, err := s.Receive(1, strings.Repeat("x", inventory.MaxReference+1)); domain.KindOf(err) != domain.KindInvalid {
		t.Errorf("long reference: %v", err)
	}
}

func TestFold(t *testing.T) {
	got := given(received(10), reserved(second, 3), reserved(first, 2), reserved(third, 1), inventory.Damaged{Quantity: 1},
		released(first, 2), inventory.Shipped{OrderID: second, Quantity: 3})
	want := inventory.Stock{OnHand: 6, Reserved: 1, Available: 5, UpdatedAt: noon,
		Reservations: []inventory.Reservation{{OrderID: third, Quantity: 1}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got.ReservedFor(third) != 1 || got.ReservedFor(first) != 0 {
		t.Errorf("reserved for: %+v", got)
	}
	for _, e := range inventory.Events() {
		if given(e).UpdatedAt.IsZero() {
			t.Errorf("%s does not fold", e.EventType())
		}
	}
}

var someOrder = rapid.SampledFrom([]string{first, second, third, "123"})

func TestRandomCommandsKeepTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s inventory.Stock
		var in, out int64
		for range rapid.IntRange(1, 60).Draw(t, "commands") {
			id, n := someOrder.Draw(t, "order"), rapid.Int64Range(0, 9).Draw(t, "quantity")
			command := rapid.SampledFrom([]decision{receive(n), damage(n), reserve(id, n), hold(id, n+1), release(id), ship(id)}).Draw(t, "command")
			events, err := command(s)
			if err != nil && len(events) > 0 {
				t.Fatalf("refused and decided: %v", err)
			}
			for _, e := range events {
				s = after(s, e)
				in, out = counted(e, in, out)
				checkRules(t, s, in-out)
			}
		}
	})
}

func counted(e domain.Event, in, out int64) (int64, int64) {
	switch e := e.(type) {
	case inventory.Received:
		in += e.Quantity
	case inventory.Damaged:
		out += e.Quantity
	case inventory.Shipped:
		out += e.Quantity
	}
	return in, out
}

func checkRules(t *rapid.T, s inventory.Stock, onHand int64) {
	var sum int64
	for i, r := range s.Reservations {
		if r.Quantity <= 0 || i > 0 && s.Reservations[i-1].OrderID >= r.OrderID {
			t.Fatalf("reservations %+v", s.Reservations)
		}
		sum += r.Quantity
	}
	if s.OnHand != onHand || s.Reserved != sum || s.Available != onHand-sum || s.Available < 0 {
		t.Fatalf("%+v with %d on hand, %d reserved", s, onHand, sum)
	}
}

// Any history folds without panic, leaves the states before untouched, and survives being a snapshot.
func TestAnyHistoryFolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s inventory.Stock
		for range rapid.IntRange(0, 30).Draw(t, "events") {
			id, n := rapid.SampledFrom([]string{first, second, ""}).Draw(t, "order"), rapid.Int64().Draw(t, "quantity")
			event := rapid.SampledFrom([]domain.Event{nil, received(n), reserved(id, n), released(id, n),
				inventory.Damaged{Quantity: n}, inventory.Shipped{OrderID: id, Quantity: n}}).Draw(t, "event")
			before, _ := json.Marshal(s)
			next := after(s, event)
			if now, _ := json.Marshal(s); string(before) != string(now) {
				t.Fatalf("Apply changed the state it came from: %s to %s", before, now)
			}
			var restored inventory.Stock
			if err := json.Unmarshal(before, &restored); err != nil {
				t.Fatal(err)
			}
			want, _ := json.Marshal(next)
			if got, _ := json.Marshal(after(restored, event)); string(got) != string(want) {
				t.Fatalf("after a snapshot %s, else %s", got, want)
			}
			s = next
		}
	})
}

func BenchmarkFoldWithTenThousandReservations(b *testing.B) {
	s := given(received(20_000))
	ids := make([]byte, 36)
	copy(ids, first)
	for i := range 10_000 {
		for d, n := 35, i; d > 30; d, n = d-1, n/10 {
			ids[d] = byte('0' + n%10)
		}
		s = after(s, reserved(string(ids), 1))
	}
	b.ResetTimer()
	for b.Loop() {
		_ = after(s, reserved(third, 1))
	}
}
